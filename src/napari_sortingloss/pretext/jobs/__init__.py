"""The jobs of pre-training: `pretrain`, and `order` for networks that put slices in order."""
