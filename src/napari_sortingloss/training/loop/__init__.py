"""The one training loop: batches, steps, reports, checkpoints, several processes."""
