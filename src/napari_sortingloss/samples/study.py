"""The job that makes the sample study: phantom fish, their reference labels and the truth to score against."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadSetting, readable_os_errors
from napari_sortingloss.events import Event, Progress, Result
from napari_sortingloss.samples.phantoms import COUNT, SAMPLE_CLASSES, Phantom, depth_of, make_phantom
from napari_sortingloss.study import Study
from napari_sortingloss.study.classes import added

_EVERY = 0.2


def sample_study(path: Path | str, fish: int = COUNT, *, scale: float = 1.0) -> Iterator[Event]:
    """Make a study of phantom fish with reference labels.

    The fish are imported like anybody's volumes. Their classes go into the study; for each volume
    ``settings["sample"]`` holds the exact ``box`` of the specimen (half-open ``[[z0, z1], [y0, y1], [x0, x1]]`` in
    voxels) and whether it is stored ``upside_down``. Closing the iterator removes what was made.

    Parameters
    ----------
    path : Path or str
        A folder that does not exist yet, or is empty.
    fish : int
        How many, 1 to 6.
    scale : float
        Relative number of voxels along each axis, see `make_phantom`.

    Yields
    ------
    Event
        `Progress` in slices, and last a `Result`: ``{"study", "volumes"}`` with what `study.add.add` says of each
        volume.

    Raises
    ------
    BadSetting
        If there are not so many fish.
    StudyError
        If the folder is not empty.
    OutOfSpace, UserError
        If the disk is full or cannot be written.
    """
    if not 1 <= fish <= COUNT:
        raise BadSetting(f"Cannot make {fish} sample fish", f"there are {COUNT}", f"choose 1 to {COUNT}")
    folder = Path(path).expanduser().absolute()
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    before = set() if missing else set(folder.iterdir()) if folder.is_dir() else set()
    study = Study.create(folder)
    finished = False
    try:
        volumes = yield from _fill(study, fish, scale)
        finished = True
    finally:
        if not finished:
            _remove(folder, missing, before)
    yield Result(value={"study": str(study.path), "volumes": volumes})


def _fill(study: Study, fish: int, scale: float) -> Generator[Event, None, list[dict[str, Any]]]:
    total = sum(depth_of(index, scale) for index in range(fish))
    began, done = time.monotonic(), 0
    volumes: list[dict[str, Any]] = []

    def progress(more: int, what: str) -> Progress:
        share = (done + more) / total
        left = (time.monotonic() - began) * (1 - share) / share if share > 0.05 else None
        return Progress(done=done + more, total=total, what=what, unit="slices", seconds_left=left)

    # The next fish is generated while this one is written.
    workers = ThreadPoolExecutor(1, thread_name_prefix="phantom")
    try:
        coming = workers.submit(make_phantom, 0, scale=scale)
        for index in range(fish):
            what = f"fish {index + 1} of {fish}"
            for _ in _wait(coming):
                yield progress(0, f"{what}: generating")
            phantom = coming.result()
            if index + 1 < fish:
                coming = workers.submit(make_phantom, index + 1, scale=scale)
            for event in _import(study, phantom):
                if isinstance(event, Result):
                    volumes.extend(event.value["volumes"])
                elif isinstance(event, Progress):
                    yield progress(min(event.done, len(phantom.voxels)), f"{what}: {event.what}")
                else:
                    yield event
            done += len(phantom.voxels)
            _record_truth(study, phantom)
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
    yield progress(0, "done")
    return volumes


def _wait(coming: Future[Phantom]) -> Iterator[None]:
    while not coming.done():
        yield
        with suppress(NotYet):
            coming.exception(_EVERY)


def _import(study: Study, phantom: Phantom) -> Iterator[Event]:
    from napari_sortingloss.formats import array_source
    from napari_sortingloss.study.exchange.add import AddSettings, add

    with tempfile.TemporaryDirectory(prefix="sortingloss-sample-") as scratch:
        labels = Path(scratch) / f"{phantom.name}.npy"
        with readable_os_errors(f"Cannot write the labels of '{phantom.name}' to '{scratch}'"):
            np.save(labels, phantom.labels)
        source = array_source(phantom.voxels, phantom.name, phantom.voxel_size, phantom.unit)
        yield from add(study, AddSettings(reference=labels), [source])


def _record_truth(study: Study, phantom: Phantom) -> None:
    """Write down what is known about a fish, and that it was generated rather than read from a file."""
    with study.transaction() as document:
        if not document["classes"]:
            for value, name, color in SAMPLE_CLASSES:
                added(document, name, color=color, value=value)
        known = document["settings"].setdefault("sample", {})
        known[phantom.name] = {
            "box": [list(span) for span in phantom.box],
            "upside_down": phantom.upside_down,
        }
        document["volumes"][phantom.name]["source"].update(format="generated", reference="generated")


def _remove(folder: Path, missing: list[Path], before: set[Path]) -> None:
    """Remove what an unfinished job made, and nothing else."""
    if folder in missing:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in missing[1:]:
            with suppress(OSError):
                parent.rmdir()
        return
    for entry in set(folder.iterdir()) - before:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()
