"""The dock widgets of napari; nothing outside this package imports Qt or napari, and importing it loads neither."""
