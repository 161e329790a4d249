"""Writes the demo's report: one HTML file with pictures, curves and tables, readable without anything else."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sortingloss import __version__
from napari_sortingloss.cli.console import time_text
from napari_sortingloss.cli.fish_boxes import FishBox, mean_error
from napari_sortingloss.cli.fish_pictures import png
from napari_sortingloss.cli.report_fish import percent, where_is_the_fish
from napari_sortingloss.cli.svg import BLUE, GREEN, ORANGE, Line, plot
from napari_sortingloss.events import Metrics, Snapshot

if TYPE_CHECKING:
    from napari_sortingloss.study import Axis, Run, Study, Volume

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0072b2; }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.4rem; font-size: 1.2rem; }
.lead { opacity: .8; margin-top: 0; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.4rem 0; }
.figure { flex: 1 1 9rem; background: var(--soft); border-radius: .6rem; padding: .8rem 1rem; }
.figure b { display: block; font-size: 1.5rem; } .figure span { opacity: .75; font-size: .85rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-end; }
figure { margin: 0; width: 8.6rem; text-align: center; } figcaption { font-size: .8rem; opacity: .8; }
img { border-radius: .3rem; image-rendering: auto; max-width: 100%; background: #000; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; } code, pre { font-size: .85rem; } pre { background: var(--soft); padding: .8rem; }
svg { max-width: 100%; height: auto; }
figure.plain { width: auto; text-align: left; } figure.plain div { display: flex; gap: .25rem; }
figure.plain svg { border-radius: .3rem; background: #000; display: block; } figcaption { margin-top: .3rem; }
.steps { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: center; margin: 1.4rem 0 2.2rem; }
.steps .row { gap: .6rem; flex-wrap: nowrap; } .steps figure { min-width: 0; }
.steps ol { flex: 1 1 18rem; margin: 0; padding-left: 1.2rem; } .steps li { margin-bottom: .8rem; }
.fish { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.6rem 1rem; }
.key { font-size: .85rem; opacity: .85; margin: 1.2rem 0; } .key i { display: inline-block; width: 1.6rem;
  border-top: 3px solid; vertical-align: middle; margin: 0 .4rem 0 .8rem; } .key i:first-child { margin-left: 0; }
.key i.dashed { border-top: 2px dashed; }
.scroll { overflow-x: auto; } .scroll td, .scroll th { padding-right: .9rem; white-space: nowrap; }
.scroll table { width: 100%; }
"""


def write_report(
    path: Path,
    study: Study,
    trained: Mapping[str, Any],
    ordered: Mapping[str, Any],
    fish: Sequence[FishBox],
    seconds: float,
) -> None:
    """Write the report of a demo.

    Parameters
    ----------
    path : Path
        The HTML file; replaced at once when the new one is complete.
    study : Study
    trained, ordered : mapping
        The results of ``pretrain`` and ``order``.
    fish : sequence of FishBox
        What was found of each fish and cut.
    seconds : float
        What the demo took.
    """
    from napari_sortingloss.study.atomic import write_bytes

    run = study.run(trained["run"])
    parts = [
        _head(trained, ordered, fish, seconds),
        _specimens(study, fish),
        _training(run, trained),
        _order(run, ordered),
        where_is_the_fish(study, fish),
        _end(study, run),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>SortingLoss demo</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    write_bytes(path, page.encode())


def _head(
    trained: Mapping[str, Any], ordered: Mapping[str, Any], fish: Sequence[FishBox], seconds: float
) -> str:
    validation = trained["validation"]
    flipped = [v["name"] for v in ordered["volumes"] if v["flipped"]]
    figures = [
        (
            f"{validation['mean_displacement']:.2f} slices",
            f"mean displacement on unseen fish; random order: {validation['random_displacement']:.2f}",
        ),
        (", ".join(flipped) or "none", "found to be stored upside down"),
        (
            percent(mean_error(fish), 1),
            "of the side: mean error of the boxes around the fish; cropping removes "
            f"{percent(float(np.mean([one.removed_fraction for one in fish])))} of the voxels",
        ),
        (
            f"{trained['slices_per_second']:.0f} slices/s",
            f"pre-training speed, {trained['steps']} steps in {time_text(trained['seconds'])}",
        ),
        (time_text(seconds), "for the whole demo"),
    ]
    boxes = "".join(
        f'<div class="figure"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
        for value, what in figures
    )
    return (
        "<h1>What the order of slices teaches a network</h1>"
        '<p class="lead">Six phantom fish as micro-CT would show them, no labels used. A network was shown shuffled '
        "slices and learned to put them back into order; to do so it had to learn what a head, a swim bladder and a "
        f'tail look like. That is enough to find the fish in its volume and to cut it out.</p><div class="figures">{boxes}</div>'
    )


def _specimens(study: Study, fish: Sequence[FishBox]) -> str:
    figures = []
    for one in fish:
        volume = study.volume(one.name)
        figures.append(
            _figure(_sagittal(volume), f"{one.name} · {' x '.join(map(str, volume.shape))} voxels")
        )
    return (
        "<h2>The specimens</h2><p>One sagittal section of each, head at the top unless the scan was stored upside "
        "down. The bright lines are the walls of the sample tube, brighter than tissue: no threshold separates "
        f'the two.</p><div class="row">{"".join(figures)}</div>'
    )


def _training(run: Run, trained: Mapping[str, Any]) -> str:
    train: dict[str, list[tuple[int, float]]] = {}
    validation: dict[str, list[tuple[int, float]]] = {}
    snapshot: Snapshot | None = None
    for event in run.events():
        if isinstance(event, Metrics):
            into = train if event.split == "train" else validation
            for key, value in event.values.items():
                into.setdefault(key, []).append((event.step, value))
        elif isinstance(event, Snapshot):
            snapshot = event
    random = trained["metrics"]["random_displacement"]
    curves = [
        plot(
            _lines(train.get("loss", []), validation.get("loss", [])),
            title="Loss",
            x_label="step",
            y_label="margin ranking loss",
        ),
        plot(
            _lines(train.get("mean_displacement", []), validation.get("mean_displacement", [])),
            title="Mean displacement",
            x_label="step",
            y_label="slices",
            level=(random, f"random order: {random:.2f}"),
        ),
    ]
    strip = ""
    if snapshot is not None and (run.path / snapshot.picture).exists():
        picture = base64.b64encode((run.path / snapshot.picture).read_bytes()).decode()
        strip = (
            f"<p>A batch near the end, in the order the network believes ({escape(snapshot.title)}):</p>"
            f'<img alt="slices in predicted order" src="data:image/png;base64,{picture}">'
        )
    return (
        "<h2>Pre-training</h2><p>The mean displacement says by how many places a slice of a shuffled batch of 16 ends "
        "up away from where it belongs. The validation fish were never trained on.</p>"
        f'<div class="row">{"".join(curves)}</div>{strip}'
    )


def _order(run: Run, ordered: Mapping[str, Any]) -> str:
    from napari_sortingloss.pretext.order import read_order

    rows = "".join(
        f"<tr><td>{escape(v['name'])}</td><td class=n>{v['mean_displacement']:.1f}</td>"
        f"<td class=n>{v['random_displacement']:.1f}</td><td class=n>{v['spearman']:+.2f}</td>"
        f"<td>{'⚠ upside down' if v['flipped'] else ''}</td></tr>"
        for v in ordered["volumes"]
    )
    plots = []
    for name, volume in (read_order(run) or {"volumes": {}})["volumes"].items():
        colour = ORANGE if volume["flipped"] else BLUE
        plots.append(
            plot(
                [Line("", volume["positions"], volume["predicted"], colour, dots=True)],
                title=name,
                x_label="true position (slice)",
                y_label="predicted position",
                size=(300, 240),
            )
        )
    return (
        "<h2>The order of every slice</h2><p>Each dot is a slice. A diagonal means the network knows where in the "
        "body it is; a falling one means that the volume was stored the other way round.</p>"
        f'<div class="row">{"".join(plots)}</div>'
        "<table><tr><th>volume</th><th class=n>mean displacement (slices)</th><th class=n>random</th>"
        f"<th class=n>Spearman</th><th></th></tr>{rows}</table>"
    )


def _end(study: Study, run: Run) -> str:
    settings = json.dumps(run.settings, indent=1)
    return (
        f"<h2>Where it is</h2><p>The study is the folder <code>{escape(str(study.path))}</code>. Open it in napari "
        "(<i>Plugins › SortingLoss › Workbench</i>), or go on from the command line:</p>"
        f"<pre>napari-sortingloss list {escape(str(study.path))}\n"
        f"napari-sortingloss export {escape(str(study.path))} fish_01 --what crop --to fish_01.ome.tif\n"
        f"napari-sortingloss order {escape(str(study.path))} --run {escape(run.id)}</pre>"
        f"<details><summary>Settings of the run</summary><pre>{escape(settings)}</pre></details>"
        f"<p><small>napari-sortingloss {escape(__version__)}</small></p>"
    )


def _lines(train: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]]) -> list[Line]:
    lines = [Line("training", *_smoothed(train), BLUE)]
    if validation:
        lines.append(Line("validation", [s for s, _ in validation], [v for _, v in validation], GREEN, "6 3"))
    return lines


def _smoothed(points: Sequence[tuple[int, float]], about: int = 80) -> tuple[list[float], list[float]]:
    """Average neighbouring points, so that a noisy curve of any length becomes about `about` points."""
    if not points:
        return [], []
    every = max(1, len(points) // about)
    groups = [points[i : i + every] for i in range(0, len(points), every)]
    return (
        [float(np.mean([s for s, _ in group])) for group in groups],
        [float(np.mean([v for _, v in group])) for group in groups],
    )


def _sagittal(volume: Volume) -> np.ndarray:
    """Cut the volume along its ordering axis through the middle, with square pixels, uint8 (h, w)."""
    import cv2

    across: Axis = "x" if volume.axis != "x" else "y"
    extent = dict(zip("zyx", volume.shape, strict=True))[across]
    spacing = dict(zip("zyx", volume.voxel_size, strict=True))
    image = volume.read_slices([extent // 2], axis=across)[0]
    rows, columns = [a for a in "zyx" if a != across]
    scale = 220 / (image.shape[0] * spacing[rows])
    size = (round(image.shape[1] * spacing[columns] * scale), 220)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _figure(image: np.ndarray, caption: str) -> str:
    return (
        f'<figure><img alt="{escape(caption)}" src="{png(image)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
