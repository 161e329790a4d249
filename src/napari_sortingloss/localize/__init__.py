"""From a trained encoder and no label to where the specimen is: uncertainty, region, hull and box.

Importing this room imports no torch; the job does when it runs.
"""

from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.settings import LocalizeSettings

__all__ = ["Grid", "LocalizeSettings"]
