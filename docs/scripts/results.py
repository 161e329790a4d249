"""Makes the figures of docs/results.md: ``python docs/scripts/results.py DATA WORK``.

DATA holds ``mouse_ct_heads/volumes`` and ``mouse_brain_mri/volumes`` (see the page for where they come from), WORK takes the
studies. Every step is a command line of ours; steps whose result is there already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from napari_sortingloss.cli.svg import BLUE, GREEN, ORANGE, Line, plot
from napari_sortingloss.events import Metrics
from napari_sortingloss.study import Study

DOCS = Path(__file__).resolve().parents[1]
STEPS = "1000"

# Every fifth of the sorted names, beginning with the third.
HELD_BACK = ("A_J", "B6SJLF1.J", "C57BL6_J", "CAST_EIJ", "KK.HlJ", "NU_J", "PL.J", "X129P3.J")
BRAINS_HELD_BACK = ("FVB_NCrl_in_vivo_4", "FVB_NCrl_in_vivo_8")


PAPER = '<rect width="100%" height="100%" fill="#ffffff"/>'
"""A picture in a page does not know the page's theme."""


def main() -> None:
    """Run what is missing, then draw and tabulate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    heads = experiment(given.work / "heads", given.data / "mouse_ct_heads" / "volumes", "z", HELD_BACK)
    along = experiment(
        given.work / "brains-along", given.data / "mouse_brain_mri" / "volumes", "y", BRAINS_HELD_BACK
    )
    across = experiment(
        given.work / "brains-across", given.data / "mouse_brain_mri" / "volumes", "x", BRAINS_HELD_BACK
    )
    images = DOCS / "images"
    (images / "heads_curve.svg").write_text(
        curve(heads, "38 mouse heads, 8 of them unseen"), encoding="utf-8"
    )
    (images / "brains_along.svg").write_text(curve(along, "Mouse brains, back to front"), encoding="utf-8")
    (images / "brains_across.svg").write_text(curve(across, "Mouse brains, left to right"), encoding="utf-8")
    (images / "heads_order.svg").write_text(worst_and_best(heads), encoding="utf-8")
    (DOCS / "results_heads.md").write_text(table(heads), encoding="utf-8")
    for name, found in (("heads", heads), ("brains along y", along), ("brains along x", across)):
        values = found["pretrain"]["validation"]
        print(f"{name}: {values['mean_displacement']:.2f}, random {values['random_displacement']:.2f}")


def experiment(study: Path, volumes: Path, axis: str, held_back: tuple[str, ...]) -> dict[str, Any]:
    """Import, pre-train and order; return what the commands said."""
    if not study.exists():
        command("new", study)
        command("add", study, volumes, "--axis", axis)
    done = study / "pretrain.json"
    if not done.exists():
        said = command("pretrain", study, "--steps", STEPS, "--validate", *held_back)
        done.write_text(json.dumps(said), encoding="utf-8")
    trained = json.loads(done.read_text(encoding="utf-8"))
    ordered = command("order", study, "--run", trained["run"])
    return {"study": Study.open(study), "pretrain": trained, "order": ordered, "held_back": held_back}


def command(*arguments: object) -> Any:
    """Run a command of ours and return its JSON."""
    line = [sys.executable, "-m", "napari_sortingloss", *map(str, arguments), "--json"]
    print("$ napari-sortingloss", *map(str, arguments), flush=True)
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)


def curve(found: dict[str, Any], title: str) -> str:
    """Draw the mean displacement over the steps."""
    run = found["study"].run(found["pretrain"]["run"])
    points: dict[str, tuple[list[float], list[float]]] = {"train": ([], []), "validation": ([], [])}
    for event in run.events():
        if isinstance(event, Metrics) and "mean_displacement" in event.values:
            points[event.split][0].append(event.step)
            points[event.split][1].append(event.values["mean_displacement"])
    chance = found["pretrain"]["validation"]["random_displacement"]
    smooth = [sum(points["train"][1][max(0, i - 15) : i + 1]) / len(points["train"][1][max(0, i - 15) : i + 1])
              for i in range(len(points["train"][1]))]  # fmt: skip
    picture = plot(
        [
            Line("training", points["train"][0], smooth, BLUE),
            Line("unseen", *points["validation"], GREEN, "6 3"),
        ],
        title=title,
        x_label="step",
        y_label="mean displacement (slices)",
        level=(chance, f"random order: {chance:.2f}"),
        size=(560, 300),
    )
    return picture.replace("<title>", f"{PAPER}<title>", 1)


def worst_and_best(found: dict[str, Any]) -> str:
    """Draw predicted against true position of the best and the worst unseen head and of the flipped one."""
    entries = {v["name"]: v for v in found["order"]["volumes"]}
    unseen = sorted(found["held_back"], key=lambda name: entries[name]["spearman"])
    flipped = [name for name, entry in entries.items() if entry["flipped"]]
    run = found["study"].run(found["pretrain"]["run"])
    stored = json.loads((run.path / "order.json").read_text(encoding="utf-8"))["volumes"]
    parts = []
    for i, name in enumerate([unseen[-1], unseen[0], *flipped[:1]]):
        entry = stored[name]
        colour = ORANGE if entry["flipped"] else BLUE
        what = "upside down" if entry["flipped"] else "best unseen" if i == 0 else "worst unseen"
        picture = plot(
            [Line("", entry["positions"], entry["predicted"], colour, dots=True)],
            title=f"{name} ({what})",
            x_label="true position (slice)",
            y_label="predicted position",
            size=(280, 250),
        )
        parts.append(picture.replace("<svg ", f'<svg x="{i * 290}" ', 1))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 870 250" width="870" height="250">'
        + PAPER
        + "".join(parts)
        + "</svg>"
    )


def table(found: dict[str, Any]) -> str:
    """Tabulate the unseen heads and those that look upside down."""
    lines = [
        "| head | | mean displacement (slices) | in mm | random (slices) | Spearman |",
        "|---|---|---|---|---|---|",
    ]
    for volume in found["order"]["volumes"]:
        unseen = volume["name"] in found["held_back"]
        if not unseen and not volume["flipped"]:
            continue
        what = "**upside down**" if volume["flipped"] else "unseen"
        lines.append(
            f"| {volume['name']} | {what} | {volume['mean_displacement']:.1f} of {volume['slices']} | "
            f"{volume['mean_displacement_mm']:.2f} | {volume['random_displacement']:.1f} | {volume['spearman']:+.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
