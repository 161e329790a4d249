"""Labels of a volume as other programs are to read them: predicted, painted or the reference, with names and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Shape
from napari_sortingloss.disk.pyramid import level_factors
from napari_sortingloss.disk.slabs import slab_height, steps
from napari_sortingloss.errors import BadSetting, StudyError
from napari_sortingloss.formats.label_names import BACKGROUND, LabelName
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import BACKGROUND as PAINTED_BACKGROUND
from napari_sortingloss.study.classes import LabelClass, all_classes, next_color, read_classes
from napari_sortingloss.study.predictions.reading import find_prediction
from napari_sortingloss.study.schema import VolumeRecord, family
from napari_sortingloss.study.volumes.frames import paste_slabs
from napari_sortingloss.study.volumes.references import FOLDER as REFERENCES

if TYPE_CHECKING:
    from napari_sortingloss.study.exchange.export_settings import ExportSettings
    from napari_sortingloss.study.folder import Study

_SLAB_BYTES = 16 << 20
_HELD_BYTES = 256 << 20

UNKNOWN = LabelName(0, "unknown", "#000000")
KNOWN_BACKGROUND = LabelName(PAINTED_BACKGROUND, "background", "#808080")

Labels = NDArray[np.unsignedinteger[Any]]


@dataclass
class ExportedLabels:
    """Labels of a volume on their way out, (z, y, x), read as they are asked for.

    Attributes
    ----------
    record : VolumeRecord
    levels : sequence of array-like
        The full level and those of every second, fourth ... voxel, as `level_factors` says.
    names : tuple of LabelName
        What the values mean, background first.
    table : ndarray
        What each stored value is written as.
    facts : dict
        Where they are from, for the result and the file beside.
    complete : sequence of (axis, index)
        The slices on which unpainted voxels are known background and shall be told from unknown ones.
    depth : int
        How many slices along z are best read at a time.
    """

    record: VolumeRecord
    levels: Sequence[Any]
    names: tuple[LabelName, ...]
    table: Labels
    facts: Mapping[str, Any] = field(default_factory=dict)
    complete: Sequence[tuple[int, int]] = ()
    depth: int = 1

    def __post_init__(self) -> None:
        self.dtype = self.table.dtype
        self._held: tuple[int, Labels] | None = None

    @property
    def shape(self) -> Shape:
        """(z, y, x) in voxels."""
        return self.record.shape

    def __getitem__(self, rows: slice) -> Labels:
        """Return slices along z of the full level, as they are written."""
        start, stop, _ = rows.indices(self.shape[0])
        plane = math.prod(self.shape[1:]) * self.dtype.itemsize
        depth = max(1, min(self.depth, _HELD_BYTES // plane))  # what is compressed together is read once
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for first in range(start // depth * depth, stop, depth):
            if self._held is None or self._held[0] != first or depth == 1:
                self._held = first, self._read(first, min(first + depth, self.shape[0]))
            low, high = max(first, start), min(first + depth, stop)
            if low < high:
                out[low - start : high - start] = self._held[1][low - first : high - first]
        return out

    def _read(self, start: int, stop: int) -> Labels:
        found = _mapped(np.asarray(self.levels[0][start:stop]), self.table)
        for axis, index in self.complete:
            at = index - start if axis == 0 else index
            if axis or 0 <= at < len(found):
                cut: list[Any] = [slice(None)] * 3
                cut[axis] = at
                plane = found[tuple(cut)]
                plane[plane == 0] = PAINTED_BACKGROUND
        return found

    def slabs(self) -> Iterator[Labels]:
        """Yield the full level slab by slab."""
        height = slab_height(self.shape, self.dtype.itemsize, budget=_SLAB_BYTES)
        for start, stop in steps(self.shape[0], height):
            yield self[start:stop]

    def slabs_in(self, target: VolumeRecord) -> Iterator[Labels]:
        """Yield the slabs of a larger volume of the same original, 0 around these labels."""
        return paste_slabs(self, self.record, target)


def labels_to_export(study: Study, settings: ExportSettings) -> ExportedLabels:
    """Return the labels that the settings choose.

    Raises
    ------
    StudyError
        If the volume has none of that kind, or they are damaged.
    BadSetting
        If a class is asked for that they do not have.
    """
    made = {"prediction": _predicted, "annotations": _painted, "reference": _reference}[settings.source]
    return made(study, settings)


def original_of(study: Study, record: VolumeRecord) -> VolumeRecord:
    """Return the volume at the head of the line that a crop was cut from.

    Raises
    ------
    StudyError
        If the study does not hold it any more: nobody knows how large it was.
    """
    records = study.volumes
    for name in family(records, record.name):
        if records[name].parent is None and not any(records[name].offset):
            return records[name]
    raise StudyError(
        f"Cannot bring the labels of '{record.name}' into the frame of its original",
        "the original is not in the study any more",
        "export them in the crop's own frame (option 'frame'); the file says where that lies",
    )


def _predicted(study: Study, settings: ExportSettings) -> ExportedLabels:
    found = find_prediction(study, settings.volume, settings.run)
    known = {c.value: c for c in (*found.classes, *all_classes(study))}  # names may have changed since
    values = [c.value for c in found.classes]
    classes = _chosen(settings, [known[value] for value in values])
    depth = found.block if found.axis == "z" else 64
    return ExportedLabels(
        study.volume(settings.volume).record,
        found.pyramid(),
        _named(classes),
        _table(classes, 256),
        {"source": "prediction", "run": found.run, "step": found.step},
        depth=depth,
    )


def _painted(study: Study, settings: ExportSettings) -> ExportedLabels:
    annotations = Annotations(study, settings.volume)
    slices = annotations.slices()
    if not slices:
        raise StudyError(
            f"Cannot export the annotations of '{settings.volume}'",
            "nothing has been painted on it",
            "annotate some slices first",
        )
    classes = _chosen(settings, read_classes(study))
    table, names = _table(classes, 256), _named(classes)
    complete: list[tuple[int, int]] = []
    if settings.unpainted == "unknown":
        table[PAINTED_BACKGROUND] = PAINTED_BACKGROUND
        names = (UNKNOWN, *names[1:], KNOWN_BACKGROUND)
        complete = [("zyx".index(s.axis), s.index) for s in slices if s.status == "complete"]
    labels = annotations.labels()
    return ExportedLabels(
        annotations.record,
        [labels[::z, ::y, ::x] for z, y, x in level_factors(annotations.shape)],
        names,
        table,
        {
            "source": "annotations",
            "slices": [{"axis": s.axis, "index": s.index, "status": s.status} for s in slices],
        },
        complete,
    )


def _reference(study: Study, settings: ExportSettings) -> ExportedLabels:
    import zarr

    record = study.volume(settings.volume).record
    what = f"Cannot export the reference of '{record.name}'"
    if record.reference is None:
        raise StudyError(what, "it has none", "add the volume with one (option 'reference' of 'add')")
    try:
        group: Any = zarr.open_group(study.path / REFERENCES / f"{record.reference}.zarr", mode="r")
        levels = [group[str(level)] for level in range(len(level_factors(record.shape)))]
        values = _values_in(levels[0])
    except Exception as error:  # whatever zarr and its codecs raise at a broken file
        raise StudyError(what, "it is damaged or incomplete", "add the volume again with it") from error
    known = {c.value: c for c in all_classes(study)}
    taken = [c.color for c in known.values()]
    classes = []
    for value in values:
        if value not in known:
            taken.append(next_color(taken))
            known[value] = LabelClass(value, f"label {value}", taken[-1])
        classes.append(known[value])
    classes = _chosen(settings, classes)
    table = _table(classes, 2 ** (8 * levels[0].dtype.itemsize))
    facts = {"source": "reference"}
    return ExportedLabels(record, levels, _named(classes), table, facts, depth=int(levels[0].chunks[0]))


def _mapped(labels: Labels, table: Labels) -> Labels:
    """Return labels with each value replaced by what the table says; indexing would take eight times the memory."""
    if labels.dtype == np.uint8 and table.dtype == np.uint8:
        found = bytearray(np.ascontiguousarray(labels)).translate(table.tobytes())
        return np.frombuffer(found, np.uint8).reshape(labels.shape)
    out = np.empty(labels.shape, table.dtype)
    for plane, into in zip(labels, out, strict=True):
        into[...] = table[plane]
    return out


def _values_in(array: Any) -> list[int]:
    """Return the labels of a zarr array, but 0."""
    counts = np.zeros(2 ** (8 * array.dtype.itemsize), bool)
    depth = int(array.chunks[0])
    for start, stop in steps(array.shape[0], depth):
        counts[array[start:stop]] = True
    return [int(value) for value in np.flatnonzero(counts) if value]


def _chosen(settings: ExportSettings, classes: Iterable[LabelClass]) -> list[LabelClass]:
    """Return the classes that were asked for, in their own order.

    Raises
    ------
    BadSetting
        If one is not there.
    """
    classes = list(classes)
    if not settings.classes:
        return classes
    wanted = {one.strip().casefold() for one in settings.classes}
    missing = [
        one
        for one in settings.classes
        if not any(one.strip().casefold() in (c.name.casefold(), str(c.value)) for c in classes)
    ]
    if missing:
        listed = ", ".join(f"{c.value} ({c.name})" for c in classes)
        raise BadSetting(
            f"Cannot export the class '{missing[0]}' of '{settings.volume}'",
            f"its {settings.source} has no such class",
            f"choose of {listed}" if listed else "it has none at all",
        )
    return [c for c in classes if c.name.casefold() in wanted or str(c.value) in wanted]


def _named(classes: Iterable[LabelClass]) -> tuple[LabelName, ...]:
    return (BACKGROUND, *(LabelName(c.value, c.name, c.color) for c in classes))


def _table(classes: Iterable[LabelClass], size: int) -> Labels:
    """Return what each stored value is written as: itself where it is one of the classes, else 0."""
    table: Labels = np.zeros(size, np.uint8 if size == 256 else np.uint16)
    for c in classes:
        table[c.value] = c.value
    return table
