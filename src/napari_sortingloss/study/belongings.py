"""What belongs to a volume beside its image: each kind of thing says here how it follows when a volume changes.

The study's folder knows no kind of thing: it goes over those that are registered, see `napari_sortingloss.study`. So a
kind of thing may know the study, and never the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_sortingloss.study.schema import VolumeRecord


@dataclass(frozen=True)
class Belonging:
    """One kind of thing that a volume can have, in a folder (or file) of its own that carries the volume's name.

    Attributes
    ----------
    pattern : str
        Its path in the study, ``{}`` for the volume's name, e.g. ``"predictions/{}"``.
    tidy : callable or None
        ``tidy(study, volumes)``: finish what killed programs began and clear away what they left. Called when a study
        is opened, under its lock.
    place : callable or None
        ``place(study, record)``: bring what is stored of the volume's name, place and size up to its record. Called
        when the record has changed, under the study's lock; may be called again after a crash.
    hold : callable or None
        ``hold(folder, what)``: refuse, by a `StudyError`, that `folder` is moved now.
    keep : callable or None
        ``keep(folder, what)``: refuse that it is removed with the volume.
    """

    pattern: str
    tidy: Callable[[Path, Mapping[str, VolumeRecord]], None] | None = None
    place: Callable[[Path, VolumeRecord], None] | None = None
    hold: Callable[[Path, str], None] | None = None
    keep: Callable[[Path, str], None] | None = None

    def path(self, study: Path, volume: str) -> Path:
        """Return where it lies for a volume, whether or not it is there."""
        return study / self.pattern.format(volume)


BELONGINGS: list[Belonging] = []
"""The kinds there are, in the order in which they are tidied, placed and removed."""
