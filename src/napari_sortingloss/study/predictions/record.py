"""What a run predicted for one volume: where that lies in a study, what is known of it, and reading its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Box, Shape, box_of, whole
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.label_shards import ShardLayout, SlabsLevel, slab_depth
from napari_sortingloss.disk.lazy import LazyArray
from napari_sortingloss.disk.ome import PROVENANCE, label_metadata
from napari_sortingloss.disk.pyramid import level_factors
from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.formats.label_names import BACKGROUND, LabelName, image_label
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.study.schema import AXES, Axis, NewerSchemaError, VolumeRecord

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study

FOLDER = "predictions"
UNCERTAINTY = "uncertainty"
VERSION = 1

Bytes = NDArray[np.uint8]


def prediction_path(study: Study, volume: str, run: str) -> Path:
    """Return the OME-Zarr image of a prediction, whether or not it exists."""
    return study.path / FOLDER / volume / f"{run}.zarr"


def part_path(study: Study, volume: str, run: str) -> Path:
    """Return the folder in which a prediction grows; its image is ``image.zarr`` in it."""
    return study.path / FOLDER / volume / f".{run}.part"


def image_of(part: Path) -> Path:
    """Return the image that grows in a part."""
    return part / "image.zarr"


@dataclass(frozen=True)
class Prediction:
    """The labels that one run predicted for one volume, read only; many threads may read it at once.

    Attributes
    ----------
    volume, run : str
        The volume's name and the run's id.
    step : int
        The training step whose weights predicted it.
    axes : str
        Across which axes slices were predicted, e.g. ``"z"`` or ``"zyx"``; slabs were written along the first.
    classes : tuple of LabelClass
        Those that the run was trained on, with their names and colours at that time. Labels are their values; 0 is
        background.
    created : str
        When it was begun (while it grows) or finished, ISO 8601.
    complete : bool
        Whether it is whole; otherwise it grows, or waits to be continued.
    path : Path
        The folder of the OME-Zarr image.
    has_uncertainty : bool
        Whether there is a second image of the entropy.
    shape : tuple of int
        (z, y, x) in voxels.
    voxel_size : tuple of float
        (z, y, x) in `unit`.
    unit : str
    settings : dict
        What the job was told.
    """

    volume: str
    run: str
    step: int
    axes: str
    classes: tuple[LabelClass, ...]
    created: str
    complete: bool
    path: Path
    has_uncertainty: bool
    shape: Shape
    voxel_size: tuple[float, float, float]
    unit: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def axis(self) -> Axis:
        """Along which slabs were written."""
        return _axis(self.axes)

    @property
    def block(self) -> int:
        """How many slices along `axis` are written at a time."""
        return slab_depth(self.shape, AXES.index(self.axis))

    @property
    def done(self) -> list[tuple[int, int]]:
        """The half-open intervals along `axis` that are written, as the disk says now."""
        size = self.shape[AXES.index(self.axis)]
        return [(0, size)] if self.complete else written_slabs(self.path, self.shape, AXES.index(self.axis))

    @cached_property
    def _labels(self) -> list[SlabsLevel]:
        return self._levels("")

    @cached_property
    def _entropy(self) -> list[SlabsLevel]:
        if not self.has_uncertainty:
            raise StudyError(
                f"Cannot show where '{self.run}' is unsure about '{self.volume}'",
                "it was predicted without the uncertainty",
                "predict it again with the option 'uncertainty'",
            )
        return self._levels(UNCERTAINTY)

    def _levels(self, image: str) -> list[SlabsLevel]:
        places = [self.path]
        if not self.complete:  # once finished it lies elsewhere, and a viewer may still hold this one
            places.append(self.path.parent.parent / f"{self.run}.zarr")
        axis = AXES.index(self.axis)
        return [
            SlabsLevel([place / image / str(level) for place in places], axis)
            for level in range(len(level_factors(self.shape)))
        ]

    def read_slice(self, axis: Axis, index: int) -> Bytes:
        """Read the labels of one slice, shape (h, w) in the axis order of `Volume.read_slices`.

        Parameters
        ----------
        axis : {"z", "y", "x"}
        index : int
            Along the array, not a position in the ordering direction.

        Raises
        ------
        BadSetting
            If there is no such slice.
        StudyError
            If the prediction is damaged.
        """
        return _slice(self._labels[0], axis, index)

    def read_box(self, box: Box) -> Bytes:
        """Read the labels of a box, inside the volume.

        Raises
        ------
        BadSetting
            If the box reaches out of the volume.
        StudyError
            If the prediction is damaged.
        """
        return _box(self._labels[0], box)

    def uncertainty_slice(self, axis: Axis, index: int) -> Bytes:
        """Read the entropy of one slice, 0 to 255 for 0 to the logarithm of the number of classes; see `read_slice`.

        Raises
        ------
        StudyError
            If the prediction has no uncertainty, or is damaged.
        """
        return _slice(self._entropy[0], axis, index)

    def uncertainty_box(self, box: Box) -> Bytes:
        """Read the entropy of a box; see `uncertainty_slice` and `read_box`."""
        return _box(self._entropy[0], box)

    def pyramid(self) -> list[LazyArray]:
        """Return the labels' levels as lazy arrays (z, y, x) of uint8 for a viewer, the full one first.

        Cutting them reads nothing; only what is shown is read. While the prediction grows, what is not there yet is 0,
        and what is added appears in the same arrays.
        """
        return [LazyArray.of(level) for level in self._labels]

    def uncertainty_pyramid(self) -> list[LazyArray]:
        """Return the levels of the entropy; see `pyramid` and `uncertainty_slice`."""
        return [LazyArray.of(level) for level in self._entropy]

    @property
    def level_scales(self) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        """(scale, translation) of each level, (z, y, x) in `unit`; the centre of voxel 0 of the full level is 0.

        The smaller levels take every second voxel, so that the first voxels of all levels have one place.
        """
        return [
            (tuple(s * f for s, f in zip(self.voxel_size, factor, strict=True)), (0.0, 0.0, 0.0))
            for factor in level_factors(self.shape)
        ]


def written_slabs(image: Path, shape: Shape, axis: int) -> list[tuple[int, int]]:
    """Return the intervals along `axis` of a growing image whose slabs are safe on the disk, joined."""
    layout = ShardLayout.levels(shape, axis)[0]
    depth = layout.cube[axis]
    found: list[tuple[int, int]] = []
    for start in range(0, shape[axis], depth):
        if layout.file(image / "0", start // depth).exists():
            stop = min(start + depth, shape[axis])
            if found and found[-1][1] == start:
                found[-1] = (found[-1][0], stop)
            else:
                found.append((start, stop))
    return found


def describe(
    record: VolumeRecord, run: str, about: Mapping[str, Any], classes: Sequence[LabelClass]
) -> dict[str, Any]:
    """Return the zarr.json of a prediction.

    Parameters
    ----------
    record : VolumeRecord
        Of the volume.
    run : str
    about : mapping
        What only this program reads: step, axes, settings and so on.
    classes : sequence of LabelClass
    """
    factors = level_factors(record.shape)
    provenance = {**about, "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in classes]}
    name = f"{record.name} {run}"
    document = label_metadata(name, record.voxel_size, record.unit, factors, provenance)
    document["attributes"]["ome"]["image-label"] = image_label(
        [BACKGROUND, *(LabelName(c.value, c.name, c.color) for c in classes)],
        f"../../../volumes/{record.name}.zarr",
    )
    return document


def describe_uncertainty(record: VolumeRecord, run: str) -> dict[str, Any]:
    """Return the zarr.json of the entropy that lies in a prediction."""
    about = {"kind": UNCERTAINTY, "unit": "entropy / log(number of classes) x 255"}
    factors = level_factors(record.shape)
    return label_metadata(f"{record.name} {run} uncertainty", record.voxel_size, record.unit, factors, about)


def read_about(image: Path) -> dict[str, Any]:
    """Return what a prediction says about itself.

    Raises
    ------
    NewerSchemaError
        If a later version of the program wrote it.
    OSError, ValueError, KeyError, TypeError
        If it is missing or damaged.
    """
    about = atomic.read_json(image / "zarr.json")["attributes"][PROVENANCE]
    if about["kind"] != "prediction":
        raise ValueError("it is no prediction")
    if int(about["schema_version"]) > VERSION:
        raise NewerSchemaError(
            f"it has schema version {about['schema_version']}, this program knows up to {VERSION}"
        )
    return dict(about)


def read_prediction(record: VolumeRecord, run: str, image: Path, complete: bool) -> Prediction:
    """Return the prediction in a folder.

    Raises
    ------
    StudyError
        If it is damaged, does not fit the volume, or was written by a newer program.
    """
    what = f"Cannot read what '{run}' predicted for '{record.name}'"
    try:
        about = read_about(image)
        if list(about["shape"]) != list(record.shape):
            raise ValueError("it has another shape than the volume")
        return Prediction(
            volume=record.name,
            run=run,
            step=int(about["step"]),
            axes=str(about["axes"]),
            classes=classes_from(about["classes"]),
            created=str(about["created"]),
            complete=complete,
            path=image,
            has_uncertainty=bool(about["uncertainty"]),
            shape=record.shape,
            voxel_size=record.voxel_size,
            unit=record.unit,
            settings=dict(about["settings"]),
        )
    except NewerSchemaError as error:
        raise StudyError(what, f"a newer program wrote it ({error})", "update napari-sortingloss") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            what,
            "the stored prediction is damaged or incomplete",
            "predict the volume again with this run",
        ) from error


def classes_from(values: Sequence[Mapping[str, Any]]) -> tuple[LabelClass, ...]:
    """Return classes as a prediction stores them."""
    return tuple(
        LabelClass(value=int(v["value"]), name=str(v["name"]), color=str(v["color"]), key="") for v in values
    )


def _axis(axes: str) -> Axis:
    return next(axis for axis in AXES if axis == axes[0])


def _slice(level: SlabsLevel, axis: Axis, index: int) -> Bytes:
    across = AXES.index(axis)
    if not 0 <= index < level.shape[across]:
        raise BadSetting(
            "Cannot read a prediction",
            f"there is no slice {index} along {axis}",
            f"choose slices from 0 to {level.shape[across] - 1}",
        )
    spans = list(whole(level.shape))
    spans[across] = (index, index + 1)
    z, y, x = spans
    return np.squeeze(_box(level, (z, y, x)), across)


def _box(level: SlabsLevel, box: Box) -> Bytes:
    (z0, z1), (y0, y1), (x0, x1) = box_of(box, level.shape, "Cannot read a prediction")
    return level.box((z0, y0, x0), (z1, y1, x1))
