"""The part of the demo's report that answers where the fish is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sortingloss.cli import fish_pictures as pictures
from napari_sortingloss.cli.console import time_text
from napari_sortingloss.cli.fish_boxes import FishBox, mean_error
from napari_sortingloss.cli.fish_pictures import Frame
from napari_sortingloss.cli.summaries import box_text
from napari_sortingloss.study.exchange.convert import bytes_text

if TYPE_CHECKING:
    from napari_sortingloss.study import Study

LARGE, SMALL = 400.0, 300.0
"""Heights of the pictures in px: those that explain, and two for each fish."""

INTRODUCTION = (
    "Nobody told the network what a fish is. But a network that can say where in the body a slice was cut can be asked "
    "what it looked at, and that is the fish: the tube and the water look the same in every slice and tell nothing about "
    "the position."
)

STEPS = (
    "One section of {name}, which the network {seen}. The tube is brighter than tissue.",
    "What the network looks at: the {statistic}, how much each place changes the predicted position compared with the "
    "volume's mean slice. It is coarse.",
    "The grey value that explains this best is looked for, and its surface followed in the voxels.",
    "The largest connected part gives a convex hull and a box, here over the brightest voxels along x.",
)

HONESTLY = (
    "No label and no threshold by hand went into this; the exact boxes only judge it. What it finds is what changes "
    "along the ordering axis: a second object in the scan may do so too, and a specimen that looks the same everywhere does "
    "not. Boxes should be looked at, which takes seconds for each in napari (<i>Plugins › SortingLoss › Localize</i>), where "
    "they are also accepted, moved and cropped. The same on your own data:"
)


def where_is_the_fish(study: Study, fish: Sequence[FishBox]) -> str:
    """Show what was found and cut, and say how, as HTML.

    Parameters
    ----------
    study : Study
    fish : sequence of FishBox
    """
    seconds = sum(one.found.seconds for one in fish)
    return (
        f"<p>{INTRODUCTION} Looking for all {len(fish)} took {time_text(seconds)}.</p>"
        + _steps(study, fish)
        + _gallery(study, fish)
        + _table(study, fish)
        + f"<p>{HONESTLY}</p>"
        "<pre>napari-sortingloss new my-study\n"
        "napari-sortingloss add my-study scans/* --axis z\n"
        "napari-sortingloss pretrain my-study\n"
        "napari-sortingloss localize my-study --run sorting\n"
        "napari-sortingloss crop my-study '*' --margin 2</pre>"
    )


def percent(share: float, digits: int = 0) -> str:
    """Say a share, so that no line breaks before its sign."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _steps(study: Study, fish: Sequence[FishBox]) -> str:
    """Show on one fish how a box comes about, preferably on one that the network never trained on."""
    from napari_sortingloss.localize.review import load

    found = [one for one in fish if not one.found.is_empty]
    if not found:
        return "<p>Nothing was found; longer pre-training helps.</p>"
    one = next((f for f in reversed(found) if f.held_back), found[0])
    volume, voxel_size = study.volume(one.name), one.record.voxel_size
    frame = Frame(one.record.shape, voxel_size, 2, LARGE)
    review = load(study, one.name, one.found.run)
    index = sum(one.box[2]) // 2
    grey = pictures.section(volume, index, 2)
    looked = pictures.plane_of_map(review.uncertainty, review.grid, index, frame)
    region = pictures.plane_of_map(
        review.region().mask.astype(np.float32), review.evidence_grid, index, frame
    )
    hull = [] if one.found.hull is None else [frame.hull(one.found.hull.vertices)]
    panels = [
        (grey, [frame.bar(*_bar(one), voxel_size)]),
        (pictures.heat(grey, looked, 0.6 * float(review.uncertainty.max())), []),
        (pictures.tinted(grey, region > 0.5), []),
        (pictures.projection(volume, one.box, 2), [*hull, frame.box(one.box, pictures.FOUND, 2)]),
    ]
    seen = "never trained on" if one.held_back else "was trained on"
    words = {"name": one.name, "seen": seen, "statistic": one.found.statistic}
    said = [escape(text.format(**words)) for text in STEPS]
    shown = "".join(
        f'<figure class="plain">{frame.svg(image, shapes, text)}<figcaption>{i + 1}</figcaption></figure>'
        for i, ((image, shapes), text) in enumerate(zip(panels, said, strict=True))
    )
    return f'<div class="steps"><div class="row">{shown}</div><ol>{"".join(f"<li>{text}</li>" for text in said)}</ol></div>'


def _bar(one: FishBox) -> tuple[float, str]:
    """Return a length that suits a scale bar, and its name."""
    if one.record.unit == "um":
        return 500.0, "0.5 mm"
    length = 20 * one.record.voxel_size[1]
    return length, f"{length:.3g} {one.record.unit}"


def _gallery(study: Study, fish: Sequence[FishBox]) -> str:
    shown = []
    for one in fish:
        volume = study.volume(one.name)
        views = []
        for across in (2, 1):
            frame = Frame(one.record.shape, one.record.voxel_size, across, SMALL)
            shapes = [] if one.found.is_empty else [frame.box(one.box, pictures.FOUND, 3)]
            shapes.append(frame.box(one.exact, pictures.EXACT, 1.2, "5 4"))
            image = pictures.projection(volume, one.box, across)
            views.append(frame.svg(image, shapes, f"{one.name} along {'zyx'[across]}"))
        said = "nothing found" if one.found.is_empty else f"faces {percent(one.error, 1)} of the side off"
        held = " · never trained on" if one.held_back else ""
        shown.append(
            f'<figure class="plain"><div>{"".join(views)}</div>'
            f"<figcaption><b>{escape(one.name)}</b>{held}<br>{said}</figcaption></figure>"
        )
    return (
        f'<div class="fish">{"".join(shown)}</div><p class="key"><i style="border-color:{pictures.FOUND}"></i>box that was '
        f'found <i class="dashed" style="border-color:{pictures.EXACT}"></i>exact box, known because the fish are generated. '
        "Each fish is seen along x and along y, in physical proportions: of the voxels on the line of sight that lie in the "
        "box, the brightest.</p>"
    )


def _table(study: Study, fish: Sequence[FishBox]) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.name)}{' *' if one.held_back else ''}</td>"
        f"<td>{'nothing found' if one.found.is_empty else box_text(one.box)}</td><td>{box_text(one.exact)}</td>"
        f"<td class=n>{percent(one.error, 1)}</td><td class=n>{one.largest} voxel{'s' * (one.largest != 1)}</td>"
        f"<td class=n>{'' if one.crop is None else ' × '.join(map(str, one.crop.shape))}</td>"
        f"<td class=n>{percent(one.removed_fraction)}</td></tr>"
        for one in fish
    )
    held = [one for one in fish if one.held_back]
    seen = [one for one in fish if not one.held_back]
    return (
        f"<p>The faces of the boxes are <b>{percent(mean_error(fish), 1)} of the volume's side</b> off in the mean: "
        f"{percent(mean_error(seen), 1)} for the fish that were trained on, {percent(mean_error(held), 1)} for those that "
        f"never were (*).{_crops(study, fish)}</p>"
        '<div class="scroll"><table><tr><th>volume</th><th>box found (z, y, x)</th><th>exact box</th><th class=n>mean error'
        "</th><th class=n>largest</th><th class=n>cropped to</th><th class=n>removed</th></tr>"
        f"{rows}</table></div>"
    )


def _crops(study: Study, fish: Sequence[FishBox]) -> str:
    """Say what was cut, and whether anything of a fish was cut off."""
    before = after = 0
    cut, harmed, margins = 0, [], set()
    for one in fish:
        if one.crop is None:
            continue
        before += disk_bytes(study.volume_path(one.name))
        after += disk_bytes(study.volume_path(one.crop.name))
        margins.add(one.crop.source.get("margin"))
        cut += 1
        if not one.is_whole:
            harmed.append(one.name)
    if not cut:
        return " Nothing was cropped."
    margin = margins.pop() if len(margins) == 1 else None
    around = f" with {margin} voxels around the box" if margin else ""
    kept = (
        f"the exact boxes of {', '.join(harmed)} reach out of the crops"
        if harmed
        else "every fish is in its crop down to the tips of its fins"
    )
    which = f"all {cut}" if cut == len(fish) else str(cut)
    return (
        f" Cropped{around}, {which} volume{'s' * (cut != 1)} shrink{'s' * (cut == 1)} from <b>{bytes_text(before)} to {bytes_text(after)}</b> on disk, "
        f"and {kept}."
    )


def disk_bytes(folder: Path) -> int:
    """Return what the files in a folder take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
