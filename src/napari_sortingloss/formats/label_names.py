"""What the values of a label image mean: names and colours, as the formats and the programs that read them expect them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LabelName:
    """What one value means.

    Attributes
    ----------
    value : int
    name : str
    color : str
        ``"#rrggbb"``.
    """

    value: int
    name: str
    color: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The parts of the colour, 0 to 255."""
        r, g, b = bytes.fromhex(self.color.removeprefix("#"))
        return r, g, b

    @property
    def alpha(self) -> int:
        """How opaque it is shown, 0 to 255: the background not at all."""
        return 255 if self.value else 0


BACKGROUND = LabelName(0, "background", "#000000")


def image_label(names: Iterable[LabelName], image: str | None = None) -> dict[str, Any]:
    """Return the ``image-label`` attribute of a label image.

    Parameters
    ----------
    names : iterable of LabelName
    image : str, optional
        The way from the label image's folder to the image that it belongs to.
    """
    found: dict[str, Any] = {}
    names = list(names)
    if names:
        found["colors"] = [{"label-value": n.value, "rgba": [*n.rgb, n.alpha]} for n in names]
        found["properties"] = [{"label-value": n.value, "name": n.name} for n in names]
    if image is not None:
        found["source"] = {"image": image}
    return found
