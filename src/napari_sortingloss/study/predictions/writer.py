"""Writing what a run predicts for one volume, slab by slab, so that a killed job goes on where it was."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.boxes import Shape
from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.label_shards import SlabsWriter
from napari_sortingloss.disk.lock import Ownership, is_owned
from napari_sortingloss.disk.parts import is_alive, remove_folder
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.study.belongings import Belonging
from napari_sortingloss.study.predictions.record import (
    FOLDER,
    UNCERTAINTY,
    VERSION,
    Prediction,
    classes_from,
    describe,
    describe_uncertainty,
    image_of,
    part_path,
    prediction_path,
    read_about,
    read_prediction,
    written_slabs,
)
from napari_sortingloss.study.schema import AXES, Axis, VolumeRecord, now

if TYPE_CHECKING:
    from napari_sortingloss.study.classes import LabelClass
    from napari_sortingloss.study.folder import Study

_OLD = re.compile(r"^\.(?P<name>.+\.zarr)\.old-[0-9a-f]+$")
_PART = re.compile(r"^\.(?P<run>.+)\.part$")
_COMPARED = ("step", "axes", "settings", "uncertainty", "shape")

Bytes = NDArray[np.uint8]


class PredictionWriter:
    """Writes what one run predicts for one volume; until `commit` an earlier prediction stays as it is.

    What a writer for the same run, step, axes, settings and classes left unfinished is continued; anything else that
    was left is dropped. Leaving the `with` block without `commit` keeps what was written, for the next writer.

    Parameters
    ----------
    study : Study
    volume : str
    run : str
        The run's whole id.
    step : int
        The training step whose weights predict.
    classes : sequence of LabelClass
        What the run was trained on. Labels are their values, 0 is background.
    axes : str
        Across which axes slices are predicted, e.g. ``"z"`` or ``"zyx"``; slabs are written along the first.
    settings : mapping
        JSON-ready: all that the result depends on.
    uncertainty : bool
        Whether the entropy is written too.

    Raises
    ------
    StudyError
        If the study has no such volume, or another program or job is predicting it with this run.
    OutOfSpace, UserError
        If the folder cannot be written.

    Notes
    -----
    The part is ``predictions/NAME/.RUN.part``, whose lock file this process holds while it lives. A slab counts as done
    when its file, flushed and renamed, lies in the full level; see `label_shards`.
    """

    def __init__(
        self,
        study: Study,
        volume: str,
        run: str,
        *,
        step: int,
        classes: Sequence[LabelClass],
        axes: str,
        settings: Mapping[str, Any],
        uncertainty: bool,
    ) -> None:
        if not axes or not set(axes) <= set(AXES):
            raise ValueError(f"'{axes}' are no axes")
        self.study, self.run = study, run
        self.classes = tuple(classes)
        self.record: VolumeRecord = study.volume(volume).record
        self.axis: Axis = next(axis for axis in AXES if axis == axes[0])
        self._what = f"Cannot predict '{volume}'"
        self._about: dict[str, Any] = atomic.plain(
            {
                "kind": "prediction",
                "schema_version": VERSION,
                "run": run,
                "step": step,
                "axes": axes,
                "settings": settings,
                "uncertainty": uncertainty,
                "shape": self.record.shape,
                "created": now(),
            }
        )
        self._part = part_path(study, volume, run)
        image, across = image_of(self._part), AXES.index(self.axis)
        self._labels = SlabsWriter(image, self.record.shape, across)
        self._entropy = SlabsWriter(image / UNCERTAINTY, self.record.shape, across) if uncertainty else None
        self._lock = self._part.with_name(self._part.name + ".lock")
        self._owner = Ownership(self._lock)
        self._open = False
        with readable_os_errors(self._what), study.transaction():
            self._part.parent.mkdir(parents=True, exist_ok=True)
            if is_alive(self._part) or not self._owner.take(timeout=0.1):
                raise StudyError(
                    self._what,
                    f"another program or job is predicting it with run '{run}'",
                    "wait until it is done, or stop it there",
                )
            self._open = True
            try:
                self._begin()
            except BaseException:
                self.close()
                raise

    def _begin(self) -> None:
        """Continue the part that is there, or begin one."""
        image = image_of(self._part)
        if self._fits(image):
            for writer in self._writers():
                writer.tidy()
        else:
            remove_folder(self._part)
            for writer in self._writers():
                writer.begin()
        self._describe(image, self.record)
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        (self._part / "owner.json").write_text(json.dumps(owner), "utf-8")

    def _fits(self, image: Path) -> bool:
        """Whether what was left unfinished there is a part of this very prediction."""
        try:
            about = read_about(image)
            same = [c.value for c in classes_from(about["classes"])] == [c.value for c in self.classes]
            return same and all(about[key] == self._about[key] for key in _COMPARED)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _writers(self) -> list[SlabsWriter]:
        """Return the writers; the one whose files say what is done comes last."""
        return [writer for writer in (self._entropy, self._labels) if writer is not None]

    def _describe(self, image: Path, record: VolumeRecord) -> None:
        if self._entropy is not None:
            atomic.write_json(image / UNCERTAINTY / "zarr.json", describe_uncertainty(record, self.run))
        atomic.write_json(image / "zarr.json", describe(record, self.run, self._about, self.classes))

    @property
    def shape(self) -> Shape:
        """(z, y, x) of the volume in voxels."""
        return self.record.shape

    @property
    def block(self) -> int:
        """How thick a slab is along `axis`; only the last one may be thinner."""
        return self._labels.block

    @property
    def done(self) -> list[tuple[int, int]]:
        """The half-open intervals along `axis` that are safe on the disk."""
        return written_slabs(image_of(self._part), self.shape, AXES.index(self.axis))

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The slabs that are still to be written, each `block` thick or up to the volume's end."""
        size = self.shape[AXES.index(self.axis)]
        return [
            (start, min(start + self.block, size))
            for start in range(0, size, self.block)
            if not self._labels.has(start)
        ]

    def write(self, start: int, stop: int, labels: Bytes, entropy: Bytes | None = None) -> None:
        """Write slabs, which are safe on the disk when this returns; written again they are replaced.

        Parameters
        ----------
        start, stop : int
            The slices along `axis`, in whole slabs: both are multiples of `block`, or `stop` is the volume's end.
        labels : ndarray of uint8, shape (z, y, x)
            Class values; the volume's size across `axis`, ``stop - start`` along it.
        entropy : ndarray of uint8, shape as `labels`, optional
            0 to 255 for 0 to the logarithm of the number of classes (background counted); given if and only if the
            writer was made for it.

        Raises
        ------
        StudyError
            If the volume was removed or renamed in the meantime.
        OutOfSpace, UserError
            If the disk is full or fails; what was written before stays.
        """
        across = AXES.index(self.axis)
        size = self.shape[across]
        box = tuple(stop - start if i == across else n for i, n in enumerate(self.shape))
        if not self._open or (entropy is None) != (self._entropy is None):
            raise ValueError("the writer is closed" if not self._open else "labels and entropy do not match")
        for given in (labels, entropy):
            if given is not None and (given.shape != box or given.dtype != np.uint8):
                raise ValueError(f"a slab {given.shape} of {given.dtype} is not {box} of uint8")
        whole = start % self.block == 0 and (stop % self.block == 0 or stop == size)
        if not 0 <= start < stop <= size or not whole:
            raise ValueError(f"slices {start} to {stop} are no whole slabs of {self.block}")
        with self._still_there():
            for first in range(start, stop, self.block):
                cut = [slice(None)] * 3
                cut[across] = slice(first - start, min(first + self.block, stop) - start)
                if self._entropy is not None and entropy is not None:
                    self._entropy.write(first, entropy[tuple(cut)])
                self._labels.write(first, labels[tuple(cut)])

    @contextmanager
    def _still_there(self) -> Iterator[None]:
        with readable_os_errors(self._what):
            try:
                yield
            except FileNotFoundError as error:
                if self._part.exists():
                    raise
                raise self._gone() from error

    def _gone(self) -> StudyError:
        return StudyError(self._what, "it was removed or renamed in the meantime", "predict it again")

    def commit(self) -> Prediction:
        """Put the prediction in place of an earlier one of this run.

        Returns
        -------
        Prediction

        Raises
        ------
        StudyError
            If the volume was removed or renamed in the meantime, or another program keeps the study locked.
        OutOfSpace, UserError
            If the disk is full or fails; the earlier prediction is then untouched, and the part stays.
        """
        if not self._open or self.missing:
            raise ValueError("a prediction is committed once, when all its slabs are written")
        name = self.record.name
        image = image_of(self._part)
        path = prediction_path(self.study, name, self.run)
        with self._still_there(), self.study.transaction():
            record = self.study.volumes.get(name)
            if record is None or record.shape != self.shape or not image.exists():
                raise self._gone()
            self._about["created"] = now()
            self._describe(image, record)
            _put_in_place(image, path)
        self.discard()
        return read_prediction(record, self.run, path, complete=True)

    def discard(self) -> None:
        """Remove what was written; harmless after `commit` and when repeated."""
        if self._open:
            self._open = False
            shutil.rmtree(self._part, ignore_errors=True)
            self._let_go()

    def close(self) -> None:
        """Keep what was written for the next writer, which may be in another program."""
        if self._open:
            self._open = False
            with suppress(OSError):
                (self._part / "owner.json").unlink()
            self._let_go()

    def _let_go(self) -> None:
        with suppress(OSError):
            self._lock.unlink()
        self._owner.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _put_in_place(image: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.old-{uuid.uuid4().hex[:12]}")
    if path.exists():
        path.rename(old)
    try:
        image.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    atomic.sync_folder(path.parent)
    with suppress(OSError):  # what is left goes when the study is opened next
        remove_folder(old)


def place_predictions(study: Path, record: VolumeRecord) -> None:
    """Bring the OME attributes of a volume's predictions, growing ones too, up to its record.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    folder = study / FOLDER / record.name
    for image in (*folder.glob("*.zarr"), *folder.glob(".*.part/image.zarr")):
        run = image.parent.name[1:-5] if image.name == "image.zarr" else image.stem
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):  # a damaged one lies nowhere
            about = read_about(image)
            classes = classes_from(about["classes"])
            atomic.write_json(image / "zarr.json", describe(record, run, about, classes))
            if about["uncertainty"]:
                atomic.write_json(image / UNCERTAINTY / "zarr.json", describe_uncertainty(record, run))


def tidy_predictions(study: Path, volumes: Mapping[str, VolumeRecord]) -> None:
    """Finish what killed programs began, and remove parts that nobody can continue: of no volume, or of no run.

    The caller holds the study's lock, under which parts are begun.
    """
    root = study / FOLDER
    if not root.is_dir():
        return
    for folder in [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]:
        for path in list(folder.iterdir()):
            part, old = _PART.match(path.name), _OLD.match(path.name)
            if part and path.is_dir():
                useful = folder.name in volumes and (study / "runs" / part["run"]).is_dir()
                empty = not (image_of(path) / "zarr.json").exists()
                if (not useful or empty) and not is_alive(path):
                    shutil.rmtree(path, ignore_errors=True)
            elif old and not path.with_name(old["name"]).exists():
                with suppress(OSError):
                    path.rename(path.with_name(old["name"]))
            elif old or re.search(r"\.leaving-[0-9a-f]+$", path.name):
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == ".lock" and not path.with_suffix("").exists() and not is_owned(path):
                with suppress(OSError):
                    path.unlink()
        if folder.name not in volumes:
            with suppress(OSError):  # only an empty one goes
                folder.rmdir()


BELONGING = Belonging(FOLDER + "/{}", tidy=tidy_predictions, place=place_predictions)
