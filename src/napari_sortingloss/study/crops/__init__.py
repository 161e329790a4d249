"""Volumes cut out of volumes, with all that lies on them."""
