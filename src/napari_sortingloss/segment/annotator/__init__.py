"""The simulated annotator, and the interpolation between painted slices."""
