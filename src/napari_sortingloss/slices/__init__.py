"""2D slices of a volume: drawing, fitting to a square, augmenting, feeding; importing this loads no torch."""

from __future__ import annotations

import os
from typing import Literal

# albumentations asks a server for its newest version whenever it is imported; a specimen's computer may be offline.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

AugmentLevel = Literal["none", "light", "normal", "tough"]
"""How strongly a slice is changed before the network sees it (see `napari_sortingloss.slices.augment`)."""

Weighting = Literal["uniform", "centred"]
"""How slices are drawn along the ordering axis (see `napari_sortingloss.slices.drawing`)."""

IGNORE = 255
"""In a label slice: nothing is known of this pixel."""

__all__ = ["IGNORE", "AugmentLevel", "Weighting"]
