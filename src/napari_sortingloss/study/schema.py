"""What study.json holds and how a document is checked before anything trusts it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from napari_sortingloss.disk.atomic import plain
from napari_sortingloss.errors import BadInput, BadSetting

SCHEMA_VERSION = 1
FORMAT = "napari-sortingloss study"

Axis = Literal["z", "y", "x"]
Direction = Literal["+", "-"]
AXES: tuple[Axis, ...] = get_args(Axis)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def now() -> str:
    """Return the present moment as ISO 8601 with its offset from UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class VolumeRecord:
    """What the study knows about one volume.

    Attributes
    ----------
    name : str
        Its name; the voxels lie in ``volumes/NAME.zarr``.
    shape : tuple of int
        (z, y, x) in voxels.
    voxel_size : tuple of float
        (z, y, x) in `unit`.
    unit : str
        ``"mm"``, ``"um"``, ...; empty where unknown.
    axis : {"z", "y", "x"}
        The ordering axis.
    direction : {"+", "-"}
        Whether slices are counted along the array (``+``) or against it.
    offset : tuple of int
        (z, y, x) of the first voxel within the original, the volume at the head of the line of parents; so a crop of
        a crop adds up. Not changed when a parent is removed.
    parent : str or None
        The volume of the study that it was cut from, or, where that was removed, the one that was cut from.
    source : dict
        Where it came from: path, format, dtype, shape, metadata. Provenance only; nothing is read from it again.
    window : tuple of float
        The intensities that became 0 and 255.
    downsample : int
        How many voxels of the source became one, along each axis.
    reference : str or None
        The name of its reference labels in ``references/``.
    created : str
        ISO 8601.
    """

    name: str
    shape: tuple[int, int, int]
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unit: str = ""
    axis: Axis = "z"
    direction: Direction = "+"
    offset: tuple[int, int, int] = (0, 0, 0)
    parent: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    window: tuple[float, float] = (0.0, 255.0)
    downsample: int = 1
    reference: str | None = None
    created: str = field(default_factory=now)

    def __post_init__(self) -> None:
        check_name(self.name)
        what = f"Cannot describe volume '{self.name}'"
        if self.axis not in AXES:
            raise BadSetting(what, f"'{self.axis}' is not an axis", "choose z, y or x")
        if self.direction not in DIRECTIONS:
            raise BadSetting(what, f"'{self.direction}' is not a direction", "choose + or -")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise BadInput(what, f"its shape {tuple(self.shape)} is not 3D", "use a volume with three axes")
        sizes = self.voxel_size
        if len(sizes) != 3 or not all(0 < size < float("inf") for size in sizes):
            raise BadSetting(
                what, f"its voxel size {tuple(sizes)} is not positive", "give three sizes above 0"
            )

    @property
    def size_in_file(self) -> tuple[tuple[float, float, float], str] | None:
        """Voxel size (z, y, x) and unit as the file said them, downsampled as the volume is; None where it said none."""
        source = self.source
        while isinstance(source.get("source"), Mapping):  # a crop: the file is that of the original
            source = source["source"]
        try:
            z, y, x = (float(size) * self.downsample for size in source.get("voxel_size") or ())
        except (TypeError, ValueError):
            return None
        return (z, y, x), str(source.get("unit") or "")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        document: dict[str, Any] = plain(dataclasses.asdict(self))
        return document

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> VolumeRecord:
        """Rebuild a record; keys of a later program are left to study.json and ignored here.

        Raises
        ------
        ValueError, TypeError, KeyError, UserError
            If a value does not fit.
        """
        z, y, x = (int(n) for n in values["shape"])
        sz, sy, sx = (float(n) for n in values.get("voxel_size", (1.0, 1.0, 1.0)))
        oz, oy, ox = (int(n) for n in values.get("offset", (0, 0, 0)))
        low, high = (float(n) for n in values.get("window", (0.0, 255.0)))
        return cls(
            name=str(values["name"]),
            shape=(z, y, x),
            voxel_size=(sz, sy, sx),
            unit=str(values.get("unit", "")),
            axis=values.get("axis", "z"),
            direction=values.get("direction", "+"),
            offset=(oz, oy, ox),
            parent=values.get("parent"),
            source=dict(values.get("source", {})),
            window=(low, high),
            downsample=int(values.get("downsample", 1)),
            reference=values.get("reference"),
            created=str(values.get("created", "")),
        )

    def replace(self, **changes: Any) -> VolumeRecord:
        """Return a copy with some values changed."""
        return dataclasses.replace(self, **changes)


_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*\[\]]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")


def check_name(name: str) -> None:
    """Check that `name` can be a volume's: it becomes a folder on any system and is never a pattern.

    Raises
    ------
    BadSetting
        If it cannot.
    """
    if not name or name != tidy_name(name):
        raise BadSetting(
            f"Cannot name a volume '{name}'",
            "names become folders on any system",
            f"use letters, digits, '-', '_' and '.', for instance '{tidy_name(name)}'",
        )


def tidy_name(name: str, taken: Iterable[str] = ()) -> str:
    """Return the closest allowed name that is not in `taken` (compared without case), e.g. ``"fish-2"``."""
    tidy = _FORBIDDEN.sub("_", name).strip().lstrip(".").rstrip(". ")[:120] or "volume"
    if _RESERVED.match(tidy):
        tidy = f"{tidy}_"
    used = {other.casefold() for other in taken}
    found, count = tidy, 1
    while found.casefold() in used:
        count += 1
        found = f"{tidy}-{count}"
    return found


def new_document() -> dict[str, Any]:
    """Return the study.json of an empty study."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "created": now(),
        "classes": [],
        "volumes": {},
        "settings": {},
    }


class NewerSchemaError(ValueError):
    """The document was written by a later version of the program."""


def check_document(document: Mapping[str, Any]) -> dict[str, VolumeRecord]:
    """Check a study.json and return its volumes in order.

    Raises
    ------
    NewerSchemaError
        If a later version of the program wrote it.
    ValueError
        If it is not a study's document; the message says what is wrong.
    """
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError("it has no schema version")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(f"it has schema version {version}, this program knows up to {SCHEMA_VERSION}")
    for key, kind in (("volumes", dict), ("classes", list), ("settings", dict)):
        if not isinstance(document.get(key), kind):
            raise ValueError(f"'{key}' is missing or malformed")
    records: dict[str, VolumeRecord] = {}
    for name, values in document["volumes"].items():
        try:
            records[name] = VolumeRecord.from_json({**values, "name": name})
        except Exception as error:
            raise ValueError(f"the entry of volume '{name}' is malformed") from error
    return records


def family(records: Mapping[str, VolumeRecord], name: str) -> list[str]:
    """Return a volume and all that were cut from the same original, in the study's order."""

    def head(one: str) -> str:
        seen = {one}
        while (parent := records[one].parent) in records and parent not in seen:
            assert parent is not None
            seen.add(parent)
            one = parent
        return one

    wanted = head(name)
    return [other for other in records if head(other) == wanted]
