"""Makes the figures of docs/localization.md: ``python docs/scripts/localization.py DATA WORK``.

DATA holds ``mouse_ct_heads`` with ``volumes`` and ``boxes.json``. WORK takes the studies; ``docs/scripts/results.py`` leaves
its heads and their sorting run there, which are used if they are there. Every step is a command line of ours; steps whose
result is there already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import operator
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import DOCS, HELD_BACK, PAPER, STEPS, command
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_sortingloss.cli.fish_pictures import EXACT, FOUND, Frame, projection
from napari_sortingloss.formats import array_source
from napari_sortingloss.localize.region import largest_part
from napari_sortingloss.samples.phantoms import make_phantom
from napari_sortingloss.study import AddSettings, Study, Volume
from napari_sortingloss.study.exchange.add import add
from napari_sortingloss.study.localizations.reading import find_localization

Box = list[list[int]]

ARMS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("published: variance over 20 passes, top 3 %", "sorting", ("--recipe", "published")),
    ("… on a grid of 8 pixels instead of 32", "sorting", ("--recipe", "published", "--grid", "8")),
    ("… threshold by Otsu instead of 3 %", "sorting", ("--statistic", "variance", "--passes", "20", "--no-refine")),
    ("… and the surface in the voxels", "sorting", ("--statistic", "variance", "--passes", "20")),
    ("relative variance, surface in the voxels", "sorting", ("--statistic", "relative variance", "--passes", "20")),
    ("sensitivity, top 3 %", "sorting", ("--no-refine", "--fraction", "0.03")),
    ("sensitivity, threshold by Otsu", "sorting", ("--no-refine",)),
    ("**sensitivity, surface in the voxels (the default)**", "sorting", ()),
    ("published: certainty under rotation, three intervals", "rotation", ("--recipe", "published")),
    ("certainty under rotation, surface in the voxels", "rotation", ()),
)  # fmt: skip

SHOWN = ("A_J", "KK.HlJ", "PL.J", "NU_J")
"""Unseen heads that are drawn: the one with the largest error, and three others."""


@dataclass
class Case:
    """A volume with the truth about it."""

    volume: Volume
    box: Box
    specimen: NDArray[np.bool_]


def main() -> None:
    """Run everything and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    heads = heads_study(given.work / "heads", given.data / "mouse_ct_heads")
    fish = fish_study(given.work / "fish")
    truth = json.loads((given.data / "mouse_ct_heads" / "boxes.json").read_text(encoding="utf-8"))
    for name, study, names in (("fish", fish, None), ("heads", heads, HELD_BACK)):
        found = compare(study, names, truth if name == "heads" else None)
        (DOCS / f"localization_{name}.md").write_text(found, encoding="utf-8")
    (DOCS / "localization_all_heads.md").write_text(all_heads(heads, truth), encoding="utf-8")
    found = others(fish, given.work / "others") + brains(given.work / "brains-along")
    (DOCS / "localization_others.md").write_text("\n".join([HEADER, *found]) + "\n", encoding="utf-8")
    (DOCS / "images" / "localize-heads.svg").write_text(picture(heads, truth), encoding="utf-8")


def heads_study(path: Path, data: Path) -> Path:
    """Import and pre-train what is missing."""
    if not path.exists():
        command("new", path)
        command("add", path, data / "volumes", "--axis", "z")
    for task in ("sorting", "rotation"):
        if not any(run.task == task and run.state() == "finished" for run in Study.open(path).runs()):
            command("pretrain", path, "--task", task, "--steps", STEPS, "--validate", *HELD_BACK)
    return path


def fish_study(path: Path) -> Path:
    """Run the demo, and train the rotation task on the same fish."""
    if not path.exists():
        command("demo", path, "--no-gui")
    names = sorted(Study.open(path).settings["sample"])
    if not any(run.task == "rotation" and run.state() == "finished" for run in Study.open(path).runs()):
        held_back = ("fish_02", "fish_05")
        command(
            "pretrain",
            path,
            "--task",
            "rotation",
            "--steps",
            STEPS,
            "--volumes",
            *names,
            "--validate",
            *held_back,
        )
    return path


def cases_of(study: Study, names: Iterable[str], truth: Mapping[str, Any] | None) -> list[Case]:
    """Gather boxes and the voxels that belong to the specimens."""
    cases = []
    for name in names:
        volume = study.volume(name)
        if truth is None:
            specimen = make_phantom(int(name[-1]) - 1).specimen
            box = study.settings["sample"][name]["box"]
        else:
            box = truth[name]["box"]
            specimen = head_in(volume, box)
        cases.append(Case(volume, box, specimen))
    return cases


def head_in(volume: Volume, box: Box) -> NDArray[np.bool_]:
    """Return the voxels of a head: in its box, the largest part above 8 of 255 grey values of the file, smoothed."""
    low, high = volume.record.window
    smooth = ndimage.gaussian_filter(volume.read_slab(0, volume.shape[0]).astype(np.float32), 1.0)
    inside = np.zeros(volume.shape, bool)
    inside[tuple(slice(*span) for span in box)] = True
    return largest_part((smooth > (8 - low) * 255 / (high - low)) & inside)


def compare(path: Path, names: tuple[str, ...] | None, truth: Mapping[str, Any] | None) -> str:
    """Tabulate all recipes and what needs no network."""
    study = Study.open(path)
    names = names or tuple(sorted(study.settings["sample"]))
    cases = cases_of(study, names, truth)
    rows = [HEADER]
    for number, (title, task, options) in enumerate(ARMS):
        run = next(r for r in study.runs() if r.task == task and r.state() == "finished")
        done = path.parent / f"{path.name}-arm-{number}.json"
        if not done.exists():
            said = command("localize", path, "--run", run.id, "--volumes", *names, *options, "--again")
            done.write_text(json.dumps(said), encoding="utf-8")
        said = json.loads(done.read_text(encoding="utf-8"))
        boxes = {v["name"]: v["box"] for v in said["volumes"]}
        rows.append(row(title, cases, [boxes[case.volume.name] for case in cases]))
    rows += baselines(cases)
    return "\n".join(rows) + "\n"


HEADER = """| | mean error of the faces (% of the side) | worst volume | specimen kept, mean | worst | volume removed |
|---|---|---|---|---|---|"""


def row(title: str, cases: list[Case], boxes: list[Box]) -> str:
    """Measure boxes against the truth."""
    errors, kept, removed = zip(
        *(score(case, box) for case, box in zip(cases, boxes, strict=True)), strict=True
    )
    line = (
        f"| {title} | {np.mean(errors):.2f} | {max(errors):.2f} | {np.mean(kept):.1%} | {min(kept):.1%} | "
        f"{np.mean(removed):.0%} |"
    )
    print(line, flush=True)
    return line


def score(case: Case, box: Box) -> tuple[float, float, float]:
    """Return the mean error of the six faces in % of the side, and the shares of the specimen kept and volume removed."""
    shape = case.volume.shape
    distances = [
        abs(found - true) / size
        for found_span, true_span, size in zip(box, case.box, shape, strict=True)
        for found, true in zip(found_span, true_span, strict=True)
    ]
    inside = tuple(slice(*span) for span in box)
    kept = case.specimen[inside].sum() / case.specimen.sum()
    removed = 1 - case.specimen[inside].size / case.specimen.size
    return 100 * float(np.mean(distances)), float(kept), float(removed)


def baselines(cases: list[Case]) -> list[str]:
    """Measure what needs no network: thresholds with the largest part, and MONAI's CropForeground."""
    from monai.transforms import CropForeground

    smooth = [
        ndimage.gaussian_filter(c.volume.read_slab(0, c.volume.shape[0]).astype(np.float32), 1.0)
        for c in cases
    ]

    def boxes(threshold: Callable[[NDArray[np.float32]], float]) -> list[Box]:
        return [bounds(largest_part(g > threshold(g)), g.shape) for g in smooth]

    def foreground(threshold: Callable[[NDArray[np.float32]], float]) -> list[Box]:
        found = []
        for g in smooth:
            crop = CropForeground(select_fn=partial(operator.lt, threshold(g)))
            low, high = crop.compute_bounding_box(g[None])
            found.append([[int(a), int(b)] for a, b in zip(low, high, strict=True)])
        return found

    best = min(
        (
            (np.mean([score(c, b)[0] for c, b in zip(cases, found, strict=True)]), level, found)
            for level in range(2, 200, 6)
            for found in [boxes(lambda g, level=level: float(level))]
        ),
        key=lambda one: one[0],
    )
    return [
        row(
            f"best global threshold, chosen knowing the boxes ({best[1]} of 255), largest part",
            cases,
            best[2],
        ),
        row("Otsu's threshold, largest part", cases, boxes(lambda g: float(threshold_otsu(g)))),
        row("MONAI CropForeground above 0", cases, foreground(lambda g: 0.0)),
        row(
            "MONAI CropForeground above Otsu's threshold",
            cases,
            foreground(lambda g: float(threshold_otsu(g))),
        ),
    ]


def bounds(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> Box:
    """Return the box of a mask, the whole volume where it is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    return [[s.start, s.stop] for s in found[0]] if found else [[0, n] for n in shape]


def all_heads(path: Path, truth: Mapping[str, Any]) -> str:
    """Tabulate the default recipe on every head, by how the network knows it and how wide its margins are."""
    study = Study.open(path)
    run = next(r for r in study.runs() if r.task == "sorting" and r.state() == "finished")
    said = command("localize", path, "--run", run.id, "--volumes", *sorted(truth), "--again")
    boxes = {v["name"]: v["box"] for v in said["volumes"]}
    groups = {
        "eight heads kept out of training": [n for n in boxes if n in HELD_BACK],
        "thirty heads of the training": [n for n in boxes if n not in HELD_BACK],
        "all of 250 × 250 voxels across": [n for n in boxes if truth[n]["shape"][1:] == [250, 250]],
    }
    rows = [HEADER]
    for title, names in groups.items():
        cases = cases_of(study, names, truth)
        rows.append(row(f"{title} ({len(names)})", cases, [boxes[name] for name in names]))
        if "250" in title:
            least = min(1 - np.prod([b - a for a, b in boxes[n]]) / np.prod(truth[n]["shape"]) for n in names)
            print(f"least removed of {len(names)} heads of 250 x 250: {least:.0%}")
    return "\n".join(rows) + "\n"


def others(fish: Path, path: Path) -> list[str]:
    """Localise phantoms of other size, noise and light than those the run and the constants have seen."""
    if not path.exists():
        shutil.copytree(fish, path)
    study, rng, made = Study.open(path), np.random.default_rng(0), {}
    for name, index, scale, seed in (
        ("small", 0, 0.7, 3),
        ("large", 3, 1.4, 4),
        ("noisy", 4, 1.0, 9),
        ("shaded", 1, 1.0, 8),
    ):
        fish_ = made[name] = make_phantom(index, scale=scale, seed=seed)
        voxels = fish_.voxels.astype(np.float32)
        if name == "noisy":
            voxels += rng.normal(0, 0.5 * voxels.std(), voxels.shape).astype(np.float32)
        if name == "shaded":
            voxels *= np.linspace(0.7, 1.3, voxels.shape[2], dtype=np.float32)
        if name not in study.volumes:
            for _ in add(study, AddSettings(), [array_source(voxels, name, fish_.voxel_size, fish_.unit)]):
                pass
    boxes = asked(study, tuple(made))
    titles = {
        "small": "phantom at 0.7 times the voxels, other noise and texture",
        "large": "phantom at 1.4 times the voxels, other noise and texture",
        "noisy": "phantom with half the volume's standard deviation added as noise",
        "shaded": "phantom 0.7 to 1.3 times as bright from one side to the other",
    }
    rows = []
    for name, fish_ in made.items():
        case = Case(study.volume(name), [list(span) for span in fish_.box], fish_.specimen)
        rows.append(row(titles[name], [case], [boxes[name]]))
    return rows


def brains(path: Path) -> list[str]:
    """Localise the mouse brains, which are ordered along y, with their own run; what is above 3 of 255 is brain."""
    study, cases = Study.open(path), []
    for name in study.volumes:
        volume = study.volume(name)
        specimen = volume.read_slab(0, volume.shape[0]) > 3
        cases.append(Case(volume, bounds(specimen, volume.shape), specimen))
    boxes = asked(study, tuple(study.volumes))
    return [
        row(f"mouse brains ({len(cases)}), ordered along y", cases, [boxes[c.volume.name] for c in cases])
    ]


def asked(study: Study, names: tuple[str, ...]) -> dict[str, Box]:
    """Return the boxes that the default recipe finds."""
    run = next(r for r in study.runs() if r.task == "sorting" and r.state() == "finished")
    said = command("localize", study.path, "--run", run.id, "--volumes", *names, "--again")
    return {v["name"]: v["box"] for v in said["volumes"]}


def picture(path: Path, truth: Mapping[str, Any]) -> str:
    """Draw four unseen heads with box, hull and true box, seen along y (above) and along z (below)."""
    study, parts, left, height = Study.open(path), [], 0.0, 220.0
    for name in SHOWN:
        volume, found = study.volume(name), find_localization(study, name)
        widths = []
        for row_, across in enumerate((1, 0)):
            frame = Frame(volume.shape, volume.voxel_size, across, height)
            shapes = [frame.box(truth[name]["box"], EXACT, 1.2, "3 3"), frame.box(found.box, FOUND, 2.0)]
            if found.hull is not None:
                shapes.insert(0, frame.hull(found.hull.vertices))
            image = projection(volume, found.box, across)
            drawn = frame.svg(image, shapes, f"{name}, seen along {'zyx'[across]}")
            parts.append(
                drawn.replace("<svg ", f'<svg x="{left:.0f}" y="{20 + row_ * (height + 8):.0f}" ', 1)
            )
            widths.append(frame.size[1])
        parts.append(
            f'<text x="{left + 2:.0f}" y="14" font-size="13" font-family="system-ui, sans-serif">{name}</text>'
        )
        left += max(widths) + 10
    size = f'viewBox="0 0 {left - 10:.0f} {28 + 2 * height:.0f}" width="{left - 10:.0f}" height="{28 + 2 * height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{PAPER}{"".join(parts)}</svg>'


if __name__ == "__main__":
    main()
