"""What the demo found of each fish, beside the exact box that the generator knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box, box_of, share_of, shifted, whole

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, VolumeRecord
    from napari_sortingloss.study.localizations.reading import Localization


@dataclass(frozen=True)
class FishBox:
    """Where one fish was found, where it is, and what was cut out of its volume.

    Attributes
    ----------
    record : VolumeRecord
        Of the volume with the fish.
    found : Localization
    exact : Box
        The box that the generator knows.
    held_back : bool
        Whether the network never trained on this fish.
    crop : VolumeRecord or None
        The volume that was cut out of it, in this demo or an earlier one in the same folder.
    """

    record: VolumeRecord
    found: Localization
    exact: Box
    held_back: bool
    crop: VolumeRecord | None

    @property
    def name(self) -> str:
        """The volume's name."""
        return self.record.name

    @property
    def box(self) -> Box:
        """The box that was found; the whole volume where nothing was found, because nothing would be cut off then."""
        return whole(self.record.shape) if self.found.is_empty else self.found.box

    @property
    def error(self) -> float:
        """Mean distance of the six faces from the exact ones, as a fraction of the volume's side."""
        return float(np.mean(np.abs(self._faces()) / np.array(self.record.shape)[:, None]))

    @property
    def largest(self) -> int:
        """The largest distance of a face from the exact one, in voxels."""
        return int(np.abs(self._faces()).max())

    @property
    def cut(self) -> Box:
        """The box of the crop; the whole volume where there is none."""
        return (
            whole(self.record.shape)
            if self.crop is None
            else shifted(whole(self.crop.shape), self.crop.offset)
        )

    @property
    def removed_fraction(self) -> float:
        """Share of the volume's voxels that the crop leaves out."""
        return 1.0 - share_of(self.cut, self.record.shape)

    @property
    def is_whole(self) -> bool:
        """Whether no voxel of the fish lies outside the crop."""
        return all(
            low <= first and last <= high
            for (low, high), (first, last) in zip(self.cut, self.exact, strict=True)
        )

    def _faces(self) -> NDArray[np.int_]:
        return np.subtract(self.box, self.exact)

    def to_json(self) -> dict[str, Any]:
        """Return what the demo's result says of this fish."""
        return {
            "name": self.name,
            "box": [list(span) for span in self.found.box],
            "exact": [list(span) for span in self.exact],
            "box_error": self.error,
            "held_back": self.held_back,
            "crop": None if self.crop is None else self.crop.name,
            "removed_fraction": self.removed_fraction,
            "whole": self.is_whole,
        }


def fish_boxes(study: Study, run: str, names: Iterable[str], held_back: Sequence[str]) -> list[FishBox]:
    """Collect what a run found of the fish and what was cut.

    Parameters
    ----------
    study : Study
    run : str
        The id of the run that localised them.
    names : iterable of str
        The volumes that the sample study came with.
    held_back : sequence of str
        Those that the network never trained on.
    """
    from napari_sortingloss.study.localizations.reading import find_localization

    volumes, sample = study.volumes, study.settings["sample"]
    return [
        FishBox(
            record=volumes[name],
            found=find_localization(study, name, run),
            exact=box_of(sample[name]["box"], volumes[name].shape),
            held_back=name in held_back,
            crop=next((record for record in volumes.values() if record.parent == name), None),
        )
        for name in names
    ]


def mean_error(fish: Iterable[FishBox]) -> float:
    """Return the mean error of the box faces over several fish, as a fraction of the volumes' sides."""
    return float(np.mean([one.error for one in fish]))
