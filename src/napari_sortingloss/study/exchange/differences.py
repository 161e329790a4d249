"""What makes volumes unlike that are to be trained on together: ordering axes, units and voxel sizes, said in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from napari_sortingloss.formats.units import METRES, unit_of

MUCH = 2.0
"""Voxels whose sides differ by more than this factor are worth a look: a unit may be wrong."""


class Described(Protocol):
    """A volume, or what will be one; `VolumeRecord` and `Volume` are such."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    @property
    def axis(self) -> str:
        """The ordering axis."""

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """(z, y, x) in `unit`."""

    @property
    def unit(self) -> str:
        """Empty where it is not known."""


def differences(volumes: Sequence[Described]) -> list[str]:
    """Say what is worth a look before volumes are trained on together; nothing where they are alike."""
    found = (_axes(volumes), _units(volumes), _sizes(volumes))
    return [sentence for sentence in found if sentence]


def _axes(volumes: Sequence[Described]) -> str:
    """Different axes are right only where the files are stored so."""
    named: dict[str, list[str]] = {}
    for volume in volumes:
        named.setdefault(volume.axis, []).append(volume.name)
    if len(named) < 2:
        return ""
    parts = [f"{axis} ({len(names)}, e.g. {names[0]})" for axis, names in sorted(named.items())]
    return (
        f"The volumes are ordered along different axes: {', '.join(parts)}. "
        "Right if the same direction of the specimen lies along them; otherwise change the axis in the study."
    )


def _units(volumes: Sequence[Described]) -> str:
    unknown = [volume.name for volume in volumes if not unit_of(volume.unit)]
    if not unknown or len(volumes) < 2:
        return ""
    count = "all" if len(unknown) == len(volumes) else f"{len(unknown)} of"
    who = f"{count} {len(volumes)} volumes (e.g. {unknown[0]})"
    return f"The voxel size of {who} is not known: their slices cannot be brought to one scale."


def _sizes(volumes: Sequence[Described]) -> str:
    sides = [(_side(volume), volume) for volume in volumes if unit_of(volume.unit)]
    if not sides:
        return ""
    least, most = (pick(sides, key=lambda pair: pair[0]) for pick in (min, max))
    if most[0] <= MUCH * least[0]:
        return ""
    small, large = (f"{side * 1e3:.3g} mm ({volume.name})" for side, volume in (least, most))
    return f"The voxels are of different sizes: from {small} to {large}. Right if they were scanned so."


def _side(volume: Described) -> float:
    """Return the side, in metres, of a cube as large as a voxel."""
    z, y, x = volume.voxel_size
    return float((z * y * x) ** (1 / 3) * METRES[unit_of(volume.unit)])
