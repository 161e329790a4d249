"""Layers of napari, and where a viewer stands in a volume."""
