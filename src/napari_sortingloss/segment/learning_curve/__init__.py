"""How good segmentation gets with how many painted slices, over methods and seeds."""
