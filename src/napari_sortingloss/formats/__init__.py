"""Voxels in and out of files, slab by slab; importing this loads no format library, each loads when a file needs it."""

from napari_sortingloss.formats.naming import SUFFIXES
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.registry import find_sources, open_source
from napari_sortingloss.formats.source import VoxelSource
from napari_sortingloss.formats.units import Geometry

__all__ = [
    "SUFFIXES",
    "WRITABLE",
    "Geometry",
    "ReadOptions",
    "VoxelSource",
    "array_source",
    "find_sources",
    "open_source",
    "write_volume",
]

from napari_sortingloss.formats.readers.plain import array_source
from napari_sortingloss.formats.writers.write import WRITABLE, write_volume
