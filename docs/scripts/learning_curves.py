"""Makes the learning curves of the docs: ``python docs/scripts/learning_curves.py DATA WORK``.

DATA holds ``mouse_ct_heads`` and ``mouse_brain_mri`` (see docs/results.md for where they come from), WORK takes the studies.
Every step is a command line of ours; steps whose result is there already are not repeated, and a curve that was interrupted
goes on where it was.

Of the labelled volumes, sorted by name, those at places 1 and 3 of every five are judged on, and no network ever sees them:
neither pre-training nor fine-tuning. Each seed draws the annotated volumes from the others, the same for every beginning.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sortingloss.cli.learning_curve_plot import draw
from napari_sortingloss.study import Study

DOCS = Path(__file__).resolve().parents[1]
JUDGED = (1, 3)
PAPER = '<rect width="100%" height="100%" fill="#ffffff"/>'
"""A picture in a page does not know the page's theme."""


@dataclass(frozen=True)
class Kind:
    """A set of volumes and what is asked of it.

    Attributes
    ----------
    name : str
        Of the study in WORK and of what goes into the docs.
    folder : str
        In DATA.
    axis : str
        The ordering axis.
    validate : tuple of str
        Volumes without labels on which pre-training chooses its best weights; none where all have labels.
    slices : tuple of str
        Numbers of annotated slices in each volume.
    volumes_per_seed : int
    title : str
    """

    name: str
    folder: str
    axis: str
    validate: tuple[str, ...]
    slices: tuple[str, ...]
    volumes_per_seed: int
    title: str


KINDS = (
    Kind(
        name="heads",
        folder="mouse_ct_heads",
        axis="z",
        validate=("B6C3F1.J", "MOLG.DnJ", "SPRET.EiJ"),
        slices=("1", "2", "5", "10"),
        volumes_per_seed=5,
        title="Mouse heads, skull and brain cavity",
    ),
    Kind(
        name="brains",
        folder="mouse_brain_mri",
        axis="y",
        validate=(),
        slices=("1", "2", "5", "10"),
        volumes_per_seed=2,
        title="Mouse brains, 37 structures",
    ),
)


def main() -> None:
    """Run what is missing, then draw and tabulate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--kinds", nargs="+", default=["heads"], choices=[kind.name for kind in KINDS])
    parser.add_argument("--steps", default="2500", help="steps of each pre-training")
    parser.add_argument("--seeds", default="5")
    parser.add_argument("--threads", default="0")
    parser.add_argument("--slices", nargs="+", help="numbers of slices instead of those of the docs")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="more for learning-curve")
    given = parser.parse_args()
    for kind in KINDS:
        if kind.name in given.kinds:
            found = measure(kind, given)
            picture = draw({**found, "title": kind.title}).replace("<title>", f"{PAPER}<title>", 1)
            (DOCS / "images" / f"learning_curve_{kind.name}.svg").write_text(picture, encoding="utf-8")
            page = DOCS / f"learning_curve_{kind.name}.md"
            page.write_text(table(found), encoding="utf-8")
            print(page.read_text(encoding="utf-8"))


def measure(kind: Kind, given: argparse.Namespace) -> dict[str, Any]:
    """Import, pre-train with both tasks, measure; return what the last command said."""
    path, data = given.work / kind.name, given.data / kind.folder
    if not (path / "study.json").is_file():
        command("new", path)
        command("add", path, data / "volumes", "--axis", kind.axis, "--reference", data / "labels")
    volumes = Study.open(path).volumes
    labelled = sorted(name for name, record in volumes.items() if record.reference)
    test = [name for i, name in enumerate(labelled) if i % 5 in JUDGED]
    outside = [name for name in volumes if name not in test and name not in kind.validate]
    runs = [pretrained(path, task, outside, kind, given) for task in ("sorting", "rotation")]
    found: dict[str, Any] = command(
        *("learning-curve", path, "--inits", "scratch", *runs),
        *("--test", *test, "--slices", *(given.slices or kind.slices)),
        *("--volumes-per-seed", kind.volumes_per_seed, "--seeds", given.seeds, "--threads", given.threads),
        *given.options,
    )
    return found


def pretrained(path: Path, task: str, volumes: Sequence[str], kind: Kind, given: argparse.Namespace) -> str:
    """Return the id of a pre-training run, which is made where WORK/TASKSTEPS.json (for heads) names none."""
    prefix = "" if kind.name == KINDS[0].name else f"{kind.name}-"
    said = given.work / f"{prefix}{task}{given.steps}.json"
    if not said.is_file() or not said.read_text(encoding="utf-8").strip():  # or a kill left it empty
        validate = ("--validate", *kind.validate) if kind.validate else ()
        found = command(
            *("pretrain", path, "--task", task, "--steps", given.steps, "--threads", given.threads),
            *("--volumes", *volumes, *validate),
        )
        said.write_text(json.dumps(found), encoding="utf-8")
    return str(json.loads(said.read_text(encoding="utf-8"))["run"])


def command(*arguments: object) -> Any:
    """Run a command of ours and return its JSON."""
    line = [sys.executable, "-m", "napari_sortingloss", *map(str, arguments), "--json"]
    print("$ napari-sortingloss", *map(str, arguments), flush=True)
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)


def table(found: Mapping[str, Any]) -> str:
    """Tabulate every beginning and number of slices, with the paired difference to scratch."""
    lines = [
        "| slices (in all) | begun with | mean IoU | Dice | minus scratch | better in | between slices |",
        "|---|---|---|---|---|---|---|",
    ]
    for n in found["slices"]:
        for arm in found["arms"]:
            for point in (p for p in arm["points"] if p["slices"] == n):
                gain = point.get("minus_scratch")
                difference = f"{_signed(gain)} | {gain['better_in']} of {gain['seeds']}" if gain else " | "
                lines.append(
                    f"| {n} ({point['annotated']}) | {arm['title']} | {_pm(point['mean_iou'])} | {_pm(point['mean_dice'])} | "
                    f"{difference} | {_pm(point['between'])} |"
                )
        for point in (p for p in found["interpolation"]["points"] if p["slices"] == n):
            lines.append(f"| {n} | interpolation | | | | | {_pm(point['between'])} |")
    about = (
        f"Mean and standard deviation over {len(found['seeds'])} seeds; {found['volumes_per_seed']} of "
        f"{len(found['pool'])} volumes annotated, judged on {len(found['test'])} others. *Between slices* is the mean IoU on the "
        "slices between annotated ones, in the annotated volumes: there, interpolation can be asked too."
    )
    return "\n".join([*lines, "", about]) + "\n"


def _pm(value: Mapping[str, float | None]) -> str:
    if value["mean"] is None:
        return ""
    return f"{value['mean']:.3f}" + (f" ± {value['sd']:.3f}" if value["sd"] is not None else "")


def _signed(value: Mapping[str, float | None]) -> str:
    if value["mean"] is None:
        return ""
    return f"{value['mean']:+.3f}" + (f" ± {value['sd']:.3f}" if value["sd"] is not None else "")


if __name__ == "__main__":
    main()
