"""Measures what makes pre-training pay: ``python docs/scripts/make_pretraining_pay.py DATA WORK --arms 'scratch*' --seeds 0 1 2``.

DATA holds ``mouse_ct_heads`` (see docs/results.md for where it comes from), WORK takes the study, the pre-trained runs and
``pay.jsonl``, one line for each arm and seed that is done. Killed and started again, it goes on; several of it may run at a
time. ``--table`` prints what is known so far.

Of the 25 labelled heads, sorted by name, those at places 1 and 3 of every five are the ten to judge on: no network ever sees
them. A seed draws five of the fifteen others and two slices in each, the same for every arm. The score is the mean IoU of
skull and brain cavity, head by head, on every fourth slice at the heads' own resolution.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.disk.lock import Ownership
from napari_sortingloss.segment.learning_curve.linked_study import annotate_from, draw_slices, linked_study
from napari_sortingloss.segment.learning_curve.scores import (
    as_classes,
    confusion,
    dice,
    iou,
    predicted_counts,
)
from napari_sortingloss.segment.learning_curve.statistics import Summary, paired, summary
from napari_sortingloss.segment.learning_curve.trial import between_indices
from napari_sortingloss.segment.reference_labels import open_reference
from napari_sortingloss.study import Study, Volume

CLASSES = {1: "skull", 2: "brain cavity"}
VALUES = tuple(CLASSES)
VOLUMES, SLICES = 5, 2
SCRATCH, INTERPOLATION = "scratch", "interpolation"

VALIDATE = ("B6C3F1.J", "MOLG.DnJ", "SPRET.EiJ")
"""Heads without labels, on which pre-training chooses its best weights."""

PRETRAINED: dict[str, tuple[str, ...]] = {
    "sorting800": ("--task", "sorting", "--steps", "800"),
    "sorting2500": ("--task", "sorting", "--steps", "2500"),
    "sorting8000": ("--task", "sorting", "--steps", "8000"),
    "sorting2500-zoom": ("--task", "sorting", "--steps", "2500", "--zoom", "3"),
    "sorting8000-zoom": ("--task", "sorting", "--steps", "8000", "--zoom", "3"),
    "sorting2500-listmle": ("--task", "sorting", "--steps", "2500", "--ranking", "listmle"),
    "sorting2500-softrank": ("--task", "sorting", "--steps", "2500", "--ranking", "softrank"),
    "sorting2500-tough": ("--task", "sorting", "--steps", "2500", "--augment", "tough"),
    "sorting2500-dry": ("--task", "sorting", "--steps", "2500", "--dropout", "0"),
    "rotation2500": ("--task", "rotation", "--steps", "2500"),
}
"""The options of the pre-training runs, by the name of WORK/NAME.json, which holds what the command said."""


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes
    ----------
    name : str
    init : str
        ``"scratch"`` or one of `PRETRAINED`.
    changes : mapping
        What differs from `BASE`, by the names of the fine-tuning settings.
    """

    name: str
    init: str = SCRATCH
    changes: Mapping[str, Any] = field(default_factory=dict)


BASE: dict[str, Any] = {
    "network": "unet",
    "steps": 300,
    "batch": 6,
    "learning_rate": 1e-3,
    "augment": "light",
    "class_weights": "balanced",
    "dropout": 0.0,
    "init_weights": "last",
    "held_back": 0.0,
    "validate_every": 1_000_000,
    "checkpoint_every": 1_000_000,
    "workers": 1,
    "device": "cpu",
}
"""What all arms share; nothing is held back, and the last weights are judged: no arm chooses on the heads it is judged on."""


VARIED: dict[str, dict[str, Any]] = {
    "lr3e-4": {"learning_rate": 3e-4},
    "lr2e-3": {"learning_rate": 2e-3},
    "normal": {"augment": "normal"},
    "tough": {"augment": "tough"},
    "none": {"augment": "none"},
    "dropout0.1": {"dropout": 0.1},
    "steps600": {"steps": 600},
    "steps1200": {"steps": 1200},
    "as-stored": {"pose": "as stored"},
    "mirrored": {"pose": "turned and mirrored"},
    "groupnorm": {"decoder_norm": "group"},
    "decay0": {"weight_decay": 0.0},
    "decay0.1": {"weight_decay": 0.1},
    "anywhere": {"class_pieces": 0.0},
    "equal": {"class_weights": "equal"},
    "deeplab": {"network": "deeplabv3plus"},
}
"""What is changed in every group of arms alike, scratch included: it is tuned as carefully as the others."""

TAKEN_OVER: dict[str, dict[str, Any]] = {
    "best": {"init_weights": "best"},
    "encoder0.1": {"encoder_rate": 0.1},
    "encoder0.3": {"encoder_rate": 0.3},
    "freeze50": {"freeze": 50},
    "freeze100": {"freeze": 100},
    "frozen": {"freeze": 1_000_000},
    "norm-frozen": {"encoder_norm": "frozen"},
    "freeze50-encoder0.3": {"freeze": 50, "encoder_rate": 0.3},
}
"""What is changed only where an encoder is taken over."""


def arms() -> list[Arm]:
    """List all arms; a name is GROUP/WHAT, and everything not named is as in `BASE`."""
    found = [Arm(INTERPOLATION), Arm("scratch/base")]
    found += [Arm(f"scratch/{what}", changes=changes) for what, changes in VARIED.items()]
    main = "sorting2500"
    found += [Arm(f"take/{take}", main, {"take": take}) for take in TAKE]
    for name in PRETRAINED:
        found += [Arm(f"{name}/{take}", name, {"take": take}) for take in ("all", "stem-2")]
    for take in ("all", "stem-2"):
        for what, changes in {**VARIED, **TAKEN_OVER}.items():
            found.append(Arm(f"{take}/{what}", main, {"take": take, **changes}))
    return found


TAKE = ("stem", "stem-1", "stem-2", "stem-3")
"""Beginnings of the encoder that are taken over; "all" is among the lengths of pre-training."""


def main() -> None:
    """Do the cells that are asked for and not done yet, then tabulate."""
    given = arguments()
    given.work.mkdir(parents=True, exist_ok=True)
    chosen = [arm for arm in arms() if any(fnmatch.fnmatchcase(arm.name, p) for p in given.arms)]
    if given.list:
        for arm in chosen:
            print(arm.name, arm.init, json.dumps(arm.changes))
        return
    results = given.work / given.results
    if not given.table:
        bench = Bench(given)
        for arm in [a for a in chosen if a.init != SCRATCH and bench.pretrained(a.init) is None]:
            print(f"{arm.name} is left out: {given.work / arm.init}.json names no run (see --pretrain)")
            chosen.remove(arm)
        for seed in given.seeds:
            for arm in chosen:
                with cell(given.work, arm, seed) as free:
                    if free and (arm.name, seed) not in {(r["arm"], r["seed"]) for r in read(results)}:
                        record = bench.run(arm, seed)
                        append(results, record)
                        print(
                            f"{arm.name} {seed}: {record['score']} in {record['seconds']:.0f} s", flush=True
                        )
    print(table(read(results)))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--study", default="heads", help="the study's folder in WORK")
    parser.add_argument("--arms", nargs="+", default=["*"], help="names or patterns; see --list")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--results", default="pay.jsonl", help="the file in WORK; one for each setting")
    parser.add_argument("--every", type=int, default=4, help="judge on every n-th slice")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pixel-size", type=float, default=0.28, help="mm, at which to train and predict")
    parser.add_argument("--size", type=int, default=128, help="side of the crops to train on, in pixels")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="change BASE, for all arms"
    )
    parser.add_argument("--pretrain", action="store_true", help="make pre-training runs that are missing")
    parser.add_argument("--list", action="store_true", help="only list the arms")
    parser.add_argument("--table", action="store_true", help="only print the table")
    return parser.parse_args()


class cell:  # noqa: N801 - reads as a context
    """Hold an arm and seed, so that no other process does the same at the same time; says whether it is free."""

    def __init__(self, work: Path, arm: Arm, seed: int) -> None:
        folder = work / "pay-cells"
        folder.mkdir(exist_ok=True)
        self._lock = Ownership(folder / f"{arm.name.replace('/', '-')}-{seed}.lock")

    def __enter__(self) -> bool:
        return self._lock.take(timeout=0.1)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Bench:
    """The study, the pre-trained runs and the slices to judge on, held in memory."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.study = heads(given.work / given.study, given.data / "mouse_ct_heads")
        labelled = sorted(name for name, record in self.study.volumes.items() if record.reference)
        self.test = [name for i, name in enumerate(labelled) if i % 5 in (1, 3)]
        self.pool = [name for name in labelled if name not in self.test]
        self.references = {
            name: open_reference(self.study.volume(name), f"Cannot judge on '{name}'") for name in labelled
        }
        self.candidates = {}
        for name in self.pool:
            for _, contents in self.references[name].contents("z"):
                self.candidates[name] = np.flatnonzero(contents.labelled)
        self.base = {**BASE, "threads": given.threads, "pixel_size": given.pixel_size, "size": given.size}
        for change in given.set:
            name, _, value = change.partition("=")
            try:
                self.base[name] = json.loads(value)
            except json.JSONDecodeError:
                self.base[name] = value
        self._judged: dict[tuple[str, tuple[int, ...]], tuple[np.ndarray, np.ndarray]] = {}

    def run(self, arm: Arm, seed: int) -> dict[str, Any]:
        """Train and judge one arm with one seed."""
        began = time.monotonic()
        drawn = draw_slices(self.candidates, seed, VOLUMES, SLICES)
        record: dict[str, Any] = {"arm": arm.name, "seed": seed, "init": arm.init, "slices": drawn}
        if arm.name == INTERPOLATION:
            record |= {"settings": {}, **self.interpolated(drawn)}
        else:
            record |= self.trained(arm, seed, drawn)
        return {**record, "seconds": round(time.monotonic() - began, 1), "time": time.time()}

    def trained(self, arm: Arm, seed: int, drawn: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Fine-tune on the drawn slices and judge on the ten heads, and between the drawn slices."""
        from napari_sortingloss.events import Result
        from napari_sortingloss.segment.finetune.job import finetune
        from napari_sortingloss.segment.segmenter import load_segmenter
        from napari_sortingloss.segment.settings import FinetuneSettings
        from napari_sortingloss.study.classes import add_class

        runs = [self.study.run(str(self.pretrained(arm.init)))] if arm.init != SCRATCH else []
        settings = FinetuneSettings(
            **{**self.base, **arm.changes, "init": runs[0].id if runs else SCRATCH, "seed": seed}
        )
        folder = self.given.work / f"pay-trial-{arm.name.replace('/', '-')}-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            child = linked_study(self.study, folder, [self.study.volume(name) for name in drawn], runs)
            for value, name in CLASSES.items():
                add_class(child, name, value=value)
            for name, indices in drawn.items():
                annotate_from(child, child.volume(name), indices, self.references[name], VALUES)
            began = time.monotonic()
            last = list(finetune(child, settings))[-1]
            assert isinstance(last, Result), last
            trained = time.monotonic()
            with load_segmenter(
                child.run(last.value["run"]), which="last", device="cpu", threads=self.given.threads
            ) as segmenter:
                judged = {name: self.judge(segmenter, name, self.every(name)) for name in self.test}
                between = {
                    name: self.judge(segmenter, name, self.between(indices))
                    for name, indices in drawn.items()
                }
        finally:
            with suppress(OSError):
                shutil.rmtree(folder)
        return {
            "settings": {**settings.to_json(), "init": arm.init},
            **figures(judged, "score"),
            **figures(between, "between"),
            "train_seconds": round(trained - began, 1),
            "judge_seconds": round(time.monotonic() - trained, 1),
        }

    def interpolated(self, drawn: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Judge signed-distance interpolation between the drawn slices."""
        from napari_sortingloss.segment.annotator.interpolate import interpolate_between

        found = {}
        for name, indices in drawn.items():
            low, high = min(indices), max(indices)
            ends = self.references[name].read_slices("z", [low, high])
            ends = np.where(np.isin(ends, VALUES), ends, 0).astype(np.uint8)
            wanted = self.between(indices)
            labels = self.references[name].read_slices("z", wanted)
            total = np.zeros((len(VALUES) + 1,) * 2, np.int64)
            for index, true in zip(wanted, labels, strict=True):
                said = interpolate_between(ends[0], ends[1], (index - low) / (high - low))
                total += confusion(as_classes(true, VALUES), as_classes(said, VALUES), len(VALUES))
            found[name] = total
        return {"score": None, **figures(found, "between")}

    def judge(self, segmenter: Any, name: str, indices: tuple[int, ...]) -> np.ndarray:
        """Count what a segmenter says of some slices of a head."""
        volume = self.study.volume(name)
        images, labels = self.slices(volume, indices)
        return predicted_counts(segmenter, images, labels, volume, VALUES)

    def slices(self, volume: Volume, indices: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Read slices and their labels; those of the ten heads are kept."""
        key = volume.name, indices
        if key in self._judged:
            return self._judged[key]
        images = volume.read_slices([volume.index_of(i) for i in indices])
        labels = self.references[volume.name].read_slices("z", indices).astype(np.uint8)
        if volume.name in self.test:
            self._judged[key] = images, labels
        return images, labels

    def every(self, name: str) -> tuple[int, ...]:
        """Return the slices of a head that are judged."""
        return tuple(range(0, self.study.volume(name).n_slices, self.given.every))

    def between(self, indices: Iterable[int]) -> tuple[int, ...]:
        """Return the judged slices between annotated ones."""
        return tuple(between_indices(tuple(indices), self.given.every))

    def pretrained(self, name: str) -> str | None:
        """Return the id of a pre-training run; with ``--pretrain`` it is made where there is none."""
        said = self.given.work / f"{name}.json"
        if self.given.pretrain and not said.exists():
            lock = Ownership(self.given.work / f"{name}.lock")
            lock.take(timeout=1e6)
            try:
                if not said.exists():  # nobody else made it meanwhile
                    found = self.pretrain(name)
                    said.write_text(json.dumps(found), encoding="utf-8")
            finally:
                lock.release()
        with suppress(OSError, json.JSONDecodeError):
            return str(json.loads(said.read_text(encoding="utf-8"))["run"])
        return None

    def pretrain(self, name: str) -> Any:
        """Pre-train on the heads that are not judged on."""
        outside = [n for n in self.study.volumes if n not in self.test and n not in VALIDATE]
        return command(
            *("pretrain", self.study.path, *PRETRAINED[name]),
            *("--threads", self.given.threads, "--workers", "1"),
            *("--volumes", *outside, "--validate", *VALIDATE),
        )


def heads(path: Path, data: Path) -> Study:
    """Open the study of the 38 heads; make it where there is none."""
    if not (path / "study.json").is_file():
        command("new", path)
        command("add", path, data / "volumes", "--axis", "z", "--reference", data / "labels")
    return Study.open(path)


def command(*given: object) -> Any:
    """Run a command of ours and return its JSON."""
    line = [sys.executable, "-m", "napari_sortingloss", *map(str, given), "--json"]
    print("$ napari-sortingloss", *map(str, given), flush=True)
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)


def figures(counts: Mapping[str, np.ndarray], name: str) -> dict[str, Any]:
    """Return the mean IoU over classes and heads under `name`, and what it is made of."""
    each = np.array([iou(one) for one in counts.values()])
    per_class = {label: _mean(each[:, i]) for i, label in enumerate(CLASSES.values())}
    scores = [value for value in per_class.values() if value is not None]
    return {
        name: sum(scores) / len(scores) if scores else None,
        f"{name}_classes": per_class,
        f"{name}_dice": _mean(np.array([dice(one) for one in counts.values()])),
        f"{name}_counts": {head: one.tolist() for head, one in counts.items()},
    }


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return round(float(known.mean()), 5) if known.size else None


def read(path: Path) -> list[dict[str, Any]]:
    """Return the finished cells; a line that a kill cut short is no cell."""
    found = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
    return found


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add a finished cell in one write."""
    with path.open("ab") as file:
        file.write((json.dumps(record) + "\n").encode())


def table(records: list[dict[str, Any]]) -> str:
    """Tabulate mean, s.d. and the paired difference to the best scratch arm."""
    scores: dict[str, dict[int, float]] = {}
    between: dict[str, dict[int, float]] = {}
    classes: dict[str, list[dict[str, float]]] = {}
    for r in records:
        between.setdefault(r["arm"], {})[r["seed"]] = r["between"] if r["between"] is not None else math.nan
        if r["score"] is not None:
            scores.setdefault(r["arm"], {})[r["seed"]] = r["score"]
            classes.setdefault(r["arm"], []).append(r["score_classes"])
    scratch = [arm for arm in scores if arm.startswith(SCRATCH)]
    most = max((len(scores[arm]) for arm in scratch), default=0)
    best = max(
        (arm for arm in scratch if len(scores[arm]) == most),
        key=lambda arm: summary(scores[arm]).mean,
        default="",
    )
    lines = [
        f"| arm | mean IoU | s.d. | {' | '.join(CLASSES.values())} | minus {best or 'scratch'} | s.d. | better in | "
        "between slices |",
        "|---|---|---|" + "---|" * len(CLASSES) + "---|---|---|---|",
    ]
    for arm in sorted(scores, key=lambda a: -summary(scores[a]).mean):
        own, gain = summary(scores[arm]), paired(scores[arm], scores.get(best, {}))
        shared = [s for s in scores[arm] if s in scores.get(best, {})]
        wins = sum(scores[arm][s] > scores[best][s] for s in shared)
        parts = [_show(_mean(np.array([c[n] for c in classes[arm]], float))) for n in CLASSES.values()]
        lines.append(
            f"| {arm} | {_show(own.mean)} | {_show(own.sd)} | {' | '.join(parts)} | {_signed(gain)} | {_show(gain.sd)} | "
            f"{wins} of {len(shared)} | {_show(summary(between[arm]).mean)} |"
        )
    if INTERPOLATION in between:
        values = summary(between[INTERPOLATION])
        blank = " |" * (len(CLASSES) + 5)
        lines.append(f"| interpolation |{blank} {_show(values.mean)} |")
    return "\n".join(lines)


def _show(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"


def _signed(value: Summary) -> str:
    return "" if math.isnan(value.mean) else f"{value.mean:+.3f}"


if __name__ == "__main__":
    main()
