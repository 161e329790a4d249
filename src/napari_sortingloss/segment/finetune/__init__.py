"""Training on painted slices."""
