"""A stored localisation with its maps in memory: another threshold gives another region at once, without the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.localize.intervals import INSIDE
from napari_sortingloss.localize.region import Floats, Region, find_region
from napari_sortingloss.study.localizations.reading import Localization, find_localization, read_map

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, VolumeRecord

HALF = 0.5
"""The threshold of a refined map: half-way between the surroundings and the specimen, see `localize.refine`."""


@dataclass(frozen=True, eq=False)
class Review:
    """What is needed to look at a localisation and to change it.

    Attributes
    ----------
    record : VolumeRecord
        Of the volume, as it is now.
    localization : Localization
    uncertainty : ndarray of float32
    grid : Grid
        Of the uncertainty.
    evidence : ndarray of float32
        What the region is cut from; the uncertainty itself where it was not refined.
    evidence_grid : Grid
    """

    record: VolumeRecord
    localization: Localization
    uncertainty: Floats
    grid: Grid
    evidence: Floats
    evidence_grid: Grid

    @property
    def refined(self) -> bool:
        """Whether the evidence has been refined in the voxels."""
        return self.localization.evidence_grid is not None

    def region(self) -> Region:
        """Return the region that the stored threshold gives."""
        threshold = self.localization.threshold
        return self._find(threshold=threshold if threshold == threshold else None)

    def with_fraction(self, fraction: float | None) -> Region:
        """Return the region whose evidence is among the highest `fraction` of the volume; None finds a threshold."""
        automatic = None
        if fraction is None and (self.refined or self.localization.statistic == "certainty"):
            automatic = HALF if self.refined else INSIDE
        return self._find(threshold=automatic, fraction=fraction)

    def _find(self, *, threshold: float | None = None, fraction: float | None = None) -> Region:
        return find_region(
            self.evidence,
            self.evidence_grid,
            self.record.shape,
            self.record.voxel_size,
            threshold=threshold,
            fraction=fraction,
        )


def load(study: Study, volume: str, run: str | None = None) -> Review:
    """Read a localisation and its maps.

    Parameters
    ----------
    study : Study
    volume : str
    run : str, optional
        See `napari_sortingloss.study.localizations.reading.read_localization` for what is chosen without it.

    Raises
    ------
    StudyError
        If there is none, or it is damaged.
    """
    found = find_localization(study, volume, run)
    uncertainty, grid = read_map(study, volume, found.run, "uncertainty")
    evidence, evidence_grid = read_map(study, volume, found.run, "evidence")
    return Review(
        study.volume(volume).record,
        found,
        uncertainty,
        Grid.from_json(grid),
        evidence,
        Grid.from_json(evidence_grid),
    )
