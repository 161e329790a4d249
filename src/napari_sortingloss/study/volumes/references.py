"""Reference labels: finding the file that belongs to a volume, and writing it into the study on the volume's voxels."""

from __future__ import annotations

import math
import shutil
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.disk.atomic import write_json
from napari_sortingloss.disk.downsample import block_majority, reduced_shape
from napari_sortingloss.disk.ome import label_metadata
from napari_sortingloss.disk.pyramid import level_factors, level_shapes
from napari_sortingloss.disk.slabs import Ahead, Spool, slab_height, steps
from napari_sortingloss.errors import BadInput, readable_os_errors
from napari_sortingloss.formats.label_names import image_label
from napari_sortingloss.study.belongings import Belonging
from napari_sortingloss.study.schema import VolumeRecord

if TYPE_CHECKING:
    from napari_sortingloss.formats.source import VoxelSource
    from napari_sortingloss.study.folder import Study
    from napari_sortingloss.study.volumes.scratch import Scratch

FOLDER = "references"
#: Words that a label file's name may have before or behind the volume's name.
WORDS = frozenset(
    {"label", "labels", "lab", "seg", "segs", "segmentation", "segmented", "mask", "masks", "gt", "truth"}
    | {"groundtruth", "ref", "reference", "manual", "annotation", "annotations", "annotated"}
)
_SEPARATORS = "_-. "
_SLAB = 8 << 20
#: Rows of chunks are at most so deep, and so large in memory; a chunk holds so many bytes before compression.
_DEPTH, _ROW, _CHUNK = 32, 64 << 20, 2 << 20

Labels = NDArray[np.unsignedinteger[Any]]


def match_references(stems: Sequence[str], volumes: Sequence[str]) -> dict[str, int]:
    """Find the label file of each volume by its name.

    The first of these rules that some file fulfils decides, for each volume: the same stem; the same stem but for
    upper and lower case; the volume's name with one of `WORDS` before or behind it, set off by ``_``, ``-``, ``.`` or
    a blank (``A_J_labels``, ``mask-a_j``), case ignored. No file serves two volumes under the last rule: it belongs
    to the volume with the longer name.

    Parameters
    ----------
    stems : sequence of str
        The label files' names without suffix.
    volumes : sequence of str
        The volumes' names as their own files give them.

    Returns
    -------
    dict
        Volume name to index into `stems`; volumes without a file are left out.

    Raises
    ------
    BadInput
        If two files fulfil the rule that decides for a volume.
    """
    found: dict[str, int] = {}
    for volume in volumes:
        for rule in (_same, _same_but_for_case, _same_with_a_word):
            fitting = [i for i, stem in enumerate(stems) if rule(stem, volume)]
            if len(fitting) > 1:
                raise BadInput(
                    f"Cannot choose the reference labels of '{volume}'",
                    f"both '{stems[fitting[0]]}' and '{stems[fitting[1]]}' fit its name",
                    "leave one of them in the folder",
                )
            if fitting:
                found[volume] = fitting[0]
                break
    return found


def _same(stem: str, volume: str) -> bool:
    return stem == volume


def _same_but_for_case(stem: str, volume: str) -> bool:
    return stem.casefold() == volume.casefold()


def _same_with_a_word(stem: str, volume: str) -> bool:
    stem, volume = stem.casefold(), volume.casefold()
    for rest, separator in (
        (stem.removeprefix(volume), stem[len(volume) : len(volume) + 1]),
        (stem.removesuffix(volume), stem[-len(volume) - 1 : -len(volume)]),
    ):
        if rest != stem and separator in _SEPARATORS and rest.strip(_SEPARATORS) in WORDS:
            return True
    return False


def check_reference(labels: VoxelSource, source: VoxelSource) -> None:
    """Check that labels lie on the voxels of a volume, before anything is written.

    Raises
    ------
    BadInput
        If their shape is another one.
    """
    if labels.shape != source.shape:
        theirs, ours = (" x ".join(map(str, s.shape)) for s in (labels, source))
        raise BadInput(
            f"Cannot use '{_name(labels)}' as the reference of '{source.name}'",
            f"it has {theirs} voxels (z, y, x) and the volume {ours}",
            "give labels drawn on this very volume",
        )


class ReferenceWriter:
    """Writes the reference labels of one volume; unless `publish` and `keep` are called nothing of them stays.

    The array is an OME-Zarr 0.5 label image of uint8 or uint16, whichever holds its largest label, with the levels
    of the volume, of which the smaller ones take every second voxel, in compressed chunks. The volume's downsampling
    is done by majority, see `block_majority`.

    Parameters
    ----------
    study : Study
    record : VolumeRecord
        Of the volume that they belong to.
    scratch : Scratch
        Where they lie until they are published.
    """

    def __init__(self, study: Study, record: VolumeRecord, scratch: Scratch) -> None:
        self.record = record
        folder = study.path / FOLDER
        folder.mkdir(exist_ok=True)
        self.path = folder / f"{record.name}.zarr"
        self._scratch = scratch.path
        self._part = scratch.folder()
        self._published = self._kept = False

    def write(self, labels: VoxelSource, factor: int) -> Generator[float]:
        """Write all voxels, yielding the fraction done at least every quarter of a second.

        Raises
        ------
        BadInput
            If the labels are not whole numbers from 0 to 65535.
        OutOfSpace, UserError
            If the disk is full or fails.
        """
        with readable_os_errors(f"Cannot write the reference labels of '{self.record.name}'"):
            shape = reduced_shape(labels.shape, factor)
            with (
                Spool(shape, np.dtype(np.uint16), self._scratch) as spool,
                Ahead(_slabs(labels, factor)) as slabs,
            ):
                done, largest = 0, 0
                for slab in slabs:
                    if slab is not None:
                        largest = max(largest, int(slab.max()))
                        spool.append(slab)
                        done += len(slab)
                    yield 0.7 * done / shape[0]
                dtype = np.dtype(np.uint8 if largest < 256 else np.uint16)
                for fraction in self._write_levels(spool, dtype):
                    yield 0.7 + 0.3 * fraction

    def publish(self) -> None:
        """Put the labels in place; what an interrupted import may have left there goes."""
        with readable_os_errors(f"Cannot write the reference labels of '{self.record.name}'"):
            shutil.rmtree(self.path, ignore_errors=True)
            self._part.rename(self.path)
        self._published = True

    def keep(self) -> None:
        """Let the labels stay: the study knows about them now."""
        self._kept = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
        if self._published and not self._kept:
            shutil.rmtree(self.path, ignore_errors=True)

    def _write_levels(self, spool: Spool, dtype: np.dtype[Any]) -> Iterator[float]:
        import zarr

        shapes = level_shapes(self.record.shape)
        factors = level_factors(self.record.shape)
        group = zarr.create_group(self._part, zarr_format=3, attributes=_attributes(self.record, factors))
        before: Any = spool
        total = sum(math.prod(shape) for shape in shapes)
        done = 0
        for level, shape in enumerate(shapes):
            depth = max(1, min(_DEPTH, _ROW // (shape[1] * shape[2] * dtype.itemsize)))
            side = math.isqrt(_CHUNK // (depth * dtype.itemsize))
            array = group.create_array(
                str(level),
                shape=shape,
                dtype=dtype,
                chunks=(min(depth, shape[0]), min(side, shape[1]), min(side, shape[2])),
                dimension_names=["z", "y", "x"],
            )
            strides = [1, 1, 1]
            if level:
                strides = [a // b for a, b in zip(factors[level], factors[level - 1], strict=True)]
            for start, stop in steps(shape[0], depth):
                slab = _rows(before, start * strides[0], stop * strides[0])
                array[start:stop] = slab[:: strides[0], :: strides[1], :: strides[2]].astype(dtype)
                done += (stop - start) * shape[1] * shape[2]
                yield done / total
            before = array


def place_reference(study: Path, record: VolumeRecord) -> None:
    """Bring the OME attributes of a volume's reference labels up to its record.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    path = study / FOLDER / f"{record.reference}.zarr"
    if record.reference is not None and path.is_dir():
        attributes = _attributes(record, level_factors(record.shape))
        write_json(path / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})


BELONGING = Belonging(FOLDER + "/{}.zarr", place=place_reference)


def _name(source: VoxelSource) -> str:
    return source.path.name if source.path else source.name


def _rows(array: Any, start: int, stop: int) -> Labels:
    stop = min(stop, array.shape[0])
    rows: Labels = array.read(start, stop) if isinstance(array, Spool) else array[start:stop]
    return rows


def _slabs(labels: VoxelSource, factor: int) -> Iterator[Labels]:
    height = slab_height(labels.shape, labels.dtype.itemsize, factor, _SLAB)
    for start, stop in steps(labels.shape[0], height):
        what = f"Cannot use '{_name(labels)}' as reference labels"
        yield block_majority(whole_numbers(labels.read(start, stop), what), factor)


def whole_numbers(slab: NDArray[Any], what: str) -> Labels:
    """Return labels as uint16.

    Raises
    ------
    BadInput
        If they are not whole numbers from 0 to 65535; `what` is what cannot be done then.
    """
    if slab.dtype.kind == "f" and not (np.isfinite(slab).all() and (slab == np.rint(slab)).all()):
        raise BadInput(what, "its voxels are not whole numbers", "give the label file, not the intensities")
    low, high = int(slab.min()), int(slab.max())
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise BadInput(what, f"it has the label {low if low < 0 else high}", "give labels from 0 to 65535")
    labels: Labels = slab.astype(np.uint16)
    return labels


def _attributes(record: VolumeRecord, factors: Iterable[Sequence[int]]) -> Mapping[str, Any]:
    document = label_metadata(
        record.name, record.voxel_size, record.unit, list(factors), {"kind": "reference labels"}
    )
    attributes: dict[str, Any] = document["attributes"]
    attributes["ome"]["image-label"] = image_label((), f"../../volumes/{record.name}.zarr")
    return attributes
