"""The volumes chosen for an import and what is known of each so far; it knows no Qt and reads nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from napari_sortingloss.formats.units import Geometry
from napari_sortingloss.study.exchange.add_settings import AddSettings
from napari_sortingloss.study.exchange.axis_proposal import AxisProposal
from napari_sortingloss.widgets.study.previews import Candidate, Look

if TYPE_CHECKING:
    from napari_sortingloss.errors import UserError
    from napari_sortingloss.study.exchange.grey_values import Fill

KEPT_BYTES = 256 << 20
"""Thinned copies of about so many bytes are kept to draw from; what was measured on the others stays known."""


class Coming(NamedTuple):
    """A volume as the study will describe it."""

    name: str
    axis: str
    voxel_size: tuple[float, float, float]
    unit: str


class Batch:
    """What is about to be added.

    Attributes
    ----------
    candidates : list of Candidate
    looks : dict of str to Look
        Of those that were looked at, by `Candidate.label`; the older ones have no voxels left.
    problems : dict of str to UserError
        Why some could not be looked at.
    own : dict of str to str
        Windows that hold for one candidate only.
    """

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.looks: dict[str, Look] = {}
        self.problems: dict[str, UserError] = {}
        self.own: dict[str, str] = {}

    def add(self, candidates: Sequence[Candidate]) -> int:
        """Add those that are not there yet; return how many these are."""
        known = {_identity(candidate) for candidate in self.candidates}
        new = [candidate for candidate in candidates if _identity(candidate) not in known]
        self.candidates += new
        return len(new)

    def take_look(self, look: Look) -> None:
        """Learn what a candidate looks like."""
        label = look.candidate.label
        self.candidates = [look.candidate if one.label == label else one for one in self.candidates]
        self.problems.pop(label, None)
        self.looks.pop(label, None)
        self.looks[label] = look  # the newest is the last
        kept = 0
        for name, one in reversed(list(self.looks.items())):
            kept += one.preview.voxels.nbytes
            if kept > KEPT_BYTES and name != label:
                thin = dataclasses.replace(one.preview, voxels=one.preview.voxels[:0].copy())
                self.looks[name] = dataclasses.replace(one, preview=thin)

    def look_of(self, candidate: Candidate | None) -> Look | None:
        """Return what a candidate looks like, if there is something to draw from."""
        look = self.looks.get(candidate.label) if candidate is not None else None
        return look if look is not None and look.preview.voxels.size else None

    def to_look_at(self, first: Candidate | None) -> Candidate | None:
        """Return the next candidate to look at: `first`, or else one of which nothing is known."""
        if first is not None and self.look_of(first) is None and first.label not in self.problems:
            return first
        seen = {*self.looks, *self.problems}
        return next((one for one in self.candidates if one.label not in seen), None)

    def forget_looks(self, fields: Collection[str]) -> None:
        """Look again at those for which one of these fields of `ReadOptions` matters."""
        for one in self.candidates:
            if set(one.reading) & set(fields):
                self.looks.pop(one.label, None)
                self.problems.pop(one.label, None)

    def window_of(self, candidate: Candidate, common: str) -> str:
        """Return the window of a candidate: its own, or that of all."""
        return self.own.get(candidate.label, common)

    def fills(self, common: str) -> dict[str, Fill]:
        """Return how well each candidate that was looked at fills its window, by its label."""
        found = {}
        for one in self.candidates:
            look = self.looks.get(one.label)
            if look is not None:
                greys = look.preview.greys
                found[one.label] = greys.fill(*greys.window(self.window_of(one, common)))
        return found

    def proposal(self) -> AxisProposal | None:
        """Return the axis that stands out in most of those looked at; None while none was."""
        seen = [self.looks[one.label].proposal for one in self.candidates if one.label in self.looks]
        if not seen:
            return None
        for axis in {one.axis for one in seen if one.sure}:
            sure = [one for one in seen if one.sure and one.axis == axis]
            if 2 * len(sure) > len(seen):
                most = "" if len(sure) == len(seen) == 1 else f"in {len(sure)} of {len(seen)}, "
                return AxisProposal(axis, True, f"{most}{sure[0].reason}")
        return AxisProposal()

    def running_otherwise(self, axis: str) -> list[Candidate]:
        """Return those in which clearly another axis stands out."""
        looks = [(one, self.looks.get(one.label)) for one in self.candidates]
        return [
            one
            for one, look in looks
            if look is not None and look.proposal.sure and look.proposal.axis != axis
        ]

    def described(self, settings: AddSettings) -> list[Coming]:
        """Return the volumes as the study will describe them."""
        sizes = [settings.geometry(Geometry(one.voxel_size, one.unit)) for one in self.candidates]
        return [
            Coming(one.name, settings.axis, *size) for one, size in zip(self.candidates, sizes, strict=True)
        ]


def _identity(candidate: Candidate) -> object:
    """Return what is the same for two candidates only if they are the same file or layer."""
    return candidate.path.absolute() if candidate.path is not None else candidate.label
