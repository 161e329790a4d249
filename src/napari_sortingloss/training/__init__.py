"""The one training loop, its checkpoints, devices and curves; knows no particular task and imports no torch by itself."""
