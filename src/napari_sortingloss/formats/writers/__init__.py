"""Volumes and labels on their way out: OME-TIFF, NIfTI, NRRD and OME-Zarr."""
