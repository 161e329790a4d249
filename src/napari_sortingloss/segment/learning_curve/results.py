"""What trials of a learning curve measured, on disk line by line, and the table and curves that come of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_sortingloss.disk.atomic import plain, write_json
from napari_sortingloss.disk.lock import Ownership
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.segment.learning_curve.statistics import Summary, paired, summary

SCRATCH, INTERPOLATION = "scratch", "interpolation"


@dataclass(frozen=True)
class Cell:
    """One trial.

    Attributes
    ----------
    arm : str
        ``"scratch"``, a run's id, or ``"interpolation"``.
    slices : int
        Annotated slices in each volume.
    seed : int
    weights : str
        Which weights it began with.
    """

    arm: str
    slices: int
    seed: int
    weights: str

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What tells it from all other trials of its curve."""
        return self.arm, self.slices, self.seed, self.weights


class CurveFolder:
    """The folder of one curve.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cells = path / "cells.jsonl"

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Make the folder and hold it against other programs.

        Raises
        ------
        StudyError
            If another one measures the same curve.
        UserError
            If it cannot be written.
        """
        what = "Cannot measure the learning curve"
        with readable_os_errors(what):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = Ownership(self.path / "curve.lock")
            free = lock.take()
        if not free:
            raise StudyError(what, "another program is measuring the same one", "wait until it is done")
        try:
            yield
        finally:
            lock.release()

    def describe(self, document: Mapping[str, Any]) -> None:
        """Write down what the trials are."""
        with readable_os_errors("Cannot keep the settings of the learning curve"):
            write_json(self.path / "settings.json", document)

    def cells(self) -> dict[tuple[str, int, int, str], dict[str, Any]]:
        """Return the trials that are done, by `Cell.key`; a line cut short by a kill is no trial."""
        found: dict[tuple[str, int, int, str], dict[str, Any]] = {}
        with readable_os_errors("Cannot read the learning curve"), suppress(FileNotFoundError):
            for line in self._cells.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    record = json.loads(line)
                    cell = Cell(
                        str(record["arm"]), int(record["slices"]), int(record["seed"]), str(record["weights"])
                    )
                    found[cell.key] = record
        return found

    def append(self, cell: Cell, measured: Mapping[str, Any]) -> None:
        """Add a trial; it is on the disk when this returns."""
        line = json.dumps(plain({**asdict(cell), **measured}), ensure_ascii=False)
        with (
            readable_os_errors("Cannot keep the trial of the learning curve"),
            self._cells.open("ab+") as file,
        ):
            if file.tell() and not _ends_a_line(self._cells):
                line = "\n" + line  # a kill cut the last one short
            file.write((line + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def finish(self, value: Mapping[str, Any]) -> None:
        """Write the table of all trials."""
        with readable_os_errors("Cannot keep the learning curve"):
            write_json(self.path / "result.json", value)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def tabulate(
    cells: Sequence[Mapping[str, Any]],
    *,
    titles: Mapping[str, str],
    classes: Mapping[int, str],
    slices: Sequence[int],
) -> dict[str, Any]:
    """Summarise trials over seeds.

    Parameters
    ----------
    cells : sequence of mapping
        Lines of ``cells.jsonl``: ``arm``, ``slices``, ``seed``, ``annotated``, and by class name ``iou``, ``dice`` (judged
        volumes) and ``between`` (IoU on slices between annotated ones, in the annotated volumes).
    titles : mapping of str to str
        The arms in order, and what a legend calls them.
    classes : mapping of int to str
    slices : sequence of int

    Returns
    -------
    dict
        ``slices``, ``seeds``, ``classes`` and ``arms``: for each ``init``, ``title`` and ``points``; a point has ``slices``,
        ``annotated`` (slices in all), ``mean_iou``, ``mean_dice`` and ``between`` (each with ``mean``, ``sd`` over seeds and
        ``seeds``), ``iou`` by class, and, where scratch was measured, ``minus_scratch``: the paired difference of the mean
        IoU with ``better_in``, the number of seeds in which it is above 0. ``interpolation`` has such points with
        ``between`` alone.
    """
    arms = []
    for name, title in titles.items():
        points = [_point(cells, name, n, classes) for n in slices]
        arms.append(
            {"init": name, "title": title, "points": [point for point in points if point is not None]}
        )
    between = []
    for n in slices:
        own = _of(cells, INTERPOLATION, n)
        if own:
            between.append({"slices": n, "between": summary(_means(own, "between")).to_json()})
    return {
        "slices": list(slices),
        "seeds": sorted({int(cell["seed"]) for cell in cells}),
        "classes": list(classes.values()),
        "arms": arms,
        "interpolation": {"points": between},
    }


def _point(
    cells: Sequence[Mapping[str, Any]], arm: str, n: int, classes: Mapping[int, str]
) -> dict[str, Any] | None:
    own = _of(cells, arm, n)
    if not own:
        return None
    ious = _means(own, "iou")
    point: dict[str, Any] = {
        "slices": n,
        "annotated": max(int(cell["annotated"]) for cell in own.values()),
        "mean_iou": summary(ious).to_json(),
        "mean_dice": summary(_means(own, "dice")).to_json(),
        "between": summary(_means(own, "between")).to_json(),
        "iou": {
            name: summary(
                {seed: _number((cell["iou"] or {}).get(name)) for seed, cell in own.items()}
            ).to_json()
            for name in classes.values()
        },
    }
    baseline = _of(cells, SCRATCH, n)
    if arm != SCRATCH and baseline:
        reference = _means(baseline, "iou")
        gain: Summary = paired(ious, reference)
        better = sum(ious[seed] > reference[seed] for seed in ious if seed in reference)
        point["minus_scratch"] = {**gain.to_json(), "better_in": better}
    return point


def _of(cells: Sequence[Mapping[str, Any]], arm: str, n: int) -> dict[int, Mapping[str, Any]]:
    return {int(cell["seed"]): cell for cell in cells if cell["arm"] == arm and cell["slices"] == n}


def _means(cells: Mapping[int, Mapping[str, Any]], figure: str) -> dict[int, float]:
    """Return the mean over classes of a figure, by seed; NaN where it is not known."""
    found = {}
    for seed, cell in cells.items():
        known = [v for v in (cell.get(figure) or {}).values() if v is not None]
        found[seed] = math.fsum(known) / len(known) if known else math.nan
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
