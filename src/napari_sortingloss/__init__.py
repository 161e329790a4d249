"""Pre-train on unlabelled CT slices with SortingLoss, in napari and headless; importing this loads neither torch nor Qt."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-sortingloss")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
