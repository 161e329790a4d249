"""What a localisation found in one volume, where that lies in a study and how region.json holds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import NO_BOX, Box, Shape, box_of, share_of
from napari_sortingloss.disk.atomic import plain
from napari_sortingloss.study.schema import NewerSchemaError

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

FOLDER = "localizations"
REGION_FILE = "region.json"
REGION_VERSION = 1

Status = Literal["found", "accepted", "skipped"]
STATUSES: tuple[Status, ...] = get_args(Status)

Which = Literal["uncertainty", "evidence"]
MAPS: tuple[Which, ...] = get_args(Which)


def localization_path(study: Study, volume: str, run: str) -> Path:
    """Return the folder of a localisation, whether or not it exists."""
    return study.path / FOLDER / volume / run


@dataclass(frozen=True, eq=False)
class Hull:
    """The convex hull of a region, as a mesh.

    Attributes
    ----------
    vertices : ndarray of float, shape (n, 3)
        (z, y, x) in voxel indices of the volume: the centre of its first voxel is 0.
    faces : ndarray of int, shape (m, 3)
        Triangles, as indices into `vertices`.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.intp]

    def __post_init__(self) -> None:
        vertices = np.asarray(self.vertices, np.float64).reshape(-1, 3)
        faces = np.asarray(self.faces, np.intp).reshape(-1, 3)
        if faces.size and not (faces.min() >= 0 and faces.max() < len(vertices)):
            raise ValueError("a face of the hull has no such corner")
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hull):
            return NotImplemented
        return np.array_equal(self.vertices, other.vertices) and np.array_equal(self.faces, other.faces)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; vertices to a thousandth of a voxel."""
        return {"vertices": np.round(self.vertices, 3).tolist(), "faces": self.faces.tolist()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is malformed.
        """
        return cls(np.array(values["vertices"], np.float64), np.array(values["faces"], np.intp))


@dataclass(frozen=True)
class Profile:
    """A curve along one axis of the volume and the interval that was read from it.

    Attributes
    ----------
    start, step : float
        Where the first value lies and how far the next one is, in voxel indices of the volume.
    values : tuple of float
    low, high : int
        The interval, half-open, in voxels.
    threshold : float or None
        The value that divides inside from outside, where there is one.
    title : str
        What the values are.
    """

    start: float
    step: float
    values: tuple[float, ...]
    low: int
    high: int
    threshold: float | None = None
    title: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        document: dict[str, Any] = plain(dataclasses.asdict(self))
        return document

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`; values that were no numbers come back as NaN.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is malformed.
        """
        threshold = values.get("threshold")
        return cls(
            start=float(values["start"]),
            step=float(values["step"]),
            values=tuple(float("nan") if v is None else float(v) for v in values["values"]),
            low=int(values["low"]),
            high=int(values["high"]),
            threshold=None if threshold is None else float(threshold),
            title=str(values.get("title", "")),
        )


@dataclass(frozen=True, kw_only=True)
class Localization:
    """Where one run found the specimen in one volume, and what a person made of it.

    Boxes are half-open intervals of voxels (z, y, x) of that volume, not of the one that it may have been cut from.

    Attributes
    ----------
    volume, run : str
        The volume's name and the run's id.
    created : str
        When it was found, ISO 8601.
    shape : tuple of int
        Of the volume, (z, y, x).
    box : Box
        The one that counts; a person may have moved it. `NO_BOX` where nothing was found.
    found : Box
        As it was found.
    status : {"found", "accepted", "skipped"}
        What a person said of it.
    threshold : float
        What lies above it in the evidence is the region.
    fraction : float
        The share of the volume above the threshold, before only the largest part was kept.
    automatic : bool
        Whether the threshold was found by itself, not given as a fraction or by a person.
    statistic : str
        What the uncertainty is: ``"sensitivity"``, ``"variance"``, ``"relative variance"`` or ``"certainty"``.
    settings : dict
        Of the job.
    seconds : float
        How long it took.
    warnings : tuple of str
        What a person should know before trusting the box.
    hull : Hull or None
    profiles : dict
        ``"z"``, ``"y"``, ``"x"`` to `Profile`.
    uncertainty_grid, evidence_grid : dict or None
        Where the points of the two maps lie, as ``Grid.to_json`` says it. There is no evidence grid where the region
        was cut from the uncertainty itself.
    """

    volume: str
    run: str
    created: str
    shape: Shape
    box: Box
    found: Box
    status: Status = "found"
    threshold: float = float("nan")
    fraction: float = 0.0
    automatic: bool = True
    statistic: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    hull: Hull | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    uncertainty_grid: Mapping[str, Any] = field(default_factory=dict)
    evidence_grid: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("box", "found"):
            object.__setattr__(self, name, _box(getattr(self, name), self.shape, self.volume))
        if self.status not in STATUSES:
            raise ValueError(f"'{self.status}' is no status")

    @property
    def is_empty(self) -> bool:
        """Whether there is no box."""
        return self.box == NO_BOX

    @property
    def kept_fraction(self) -> float:
        """The share of the volume's voxels in the box."""
        return share_of(self.box, self.shape)

    @property
    def removed_fraction(self) -> float:
        """The share of the volume's voxels that a crop leaves out; 0 where there is no box to crop to."""
        return 0.0 if self.is_empty else 1.0 - self.kept_fraction

    @property
    def adjusted(self) -> bool:
        """Whether the box is another one than was found."""
        return self.box != self.found

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return what region.json holds."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["hull"] = None if self.hull is None else self.hull.to_json()
        values["profiles"] = {axis: profile.to_json() for axis, profile in self.profiles.items()}
        derived = {"kept_fraction": self.kept_fraction, "removed_fraction": self.removed_fraction}
        document: dict[str, Any] = plain({"schema_version": REGION_VERSION, **values, **derived})
        return document

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`.

        Raises
        ------
        NewerSchemaError
            If a later version of the program wrote it.
        ValueError, TypeError, KeyError, UserError
            If it is malformed.
        """
        version = values.get("schema_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise ValueError("it has no schema version")
        if version > REGION_VERSION:
            raise NewerSchemaError(
                f"it has schema version {version}, this program knows up to {REGION_VERSION}"
            )
        z, y, x = (int(n) for n in values["shape"])
        threshold, hull, evidence = values.get("threshold"), values.get("hull"), values.get("evidence_grid")
        return cls(
            volume=str(values["volume"]),
            run=str(values["run"]),
            created=str(values["created"]),
            shape=(z, y, x),
            box=values["box"],
            found=values["found"],
            status=values.get("status", "found"),
            threshold=float("nan") if threshold is None else float(threshold),
            fraction=float(values.get("fraction") or 0.0),
            automatic=bool(values.get("automatic", True)),
            statistic=str(values.get("statistic", "")),
            settings=dict(values.get("settings") or {}),
            seconds=float(values.get("seconds") or 0.0),
            warnings=tuple(str(warning) for warning in values.get("warnings") or ()),
            hull=None if hull is None else Hull.from_json(hull),
            profiles={axis: Profile.from_json(p) for axis, p in (values.get("profiles") or {}).items()},
            uncertainty_grid=dict(values["uncertainty_grid"]),
            evidence_grid=None if evidence is None else dict(evidence),
        )


def _box(values: Any, shape: Shape, volume: str) -> Box:
    if tuple(tuple(span) for span in values) == NO_BOX:
        return NO_BOX
    return box_of(values, shape, f"Cannot use this box for '{volume}'")
