"""A stroke of a brush on annotations of 2000 x 1000 x 1000 voxels against one on a plain Labels layer, in one run.

Run it with ``python benchmarks/annotation_stroke.py``. Both layers are napari's own, without a window. One lies over the
memory map of an `AnnotationEditor`, a sparse file of 2 GB of which only painted pages take room, and each stroke is
recorded, so that it can be undone for ever; the other over an array in memory. Strokes alternate between the two, each
stroke of a new place on a new slice; a stroke is some dabs of the brush from one point to another, as a drag of the mouse
gives them. Given are medians, the ratio that the product asks to be at most 1.5, what `record` alone takes, and the longest
stroke of each kind.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_sortingloss.study import Study, VolumeRecord
from napari_sortingloss.study.annotation_change import Change
from napari_sortingloss.study.annotation_editor import AnnotationEditor

SHAPE = (2000, 1000, 1000)


def study_with(shape: tuple[int, int, int], folder: Path) -> Study:
    """Make a study that says it has a volume; nobody reads its voxels here."""
    study = Study.create(folder / "study")
    with study.transaction() as document:
        document["volumes"]["large"] = VolumeRecord("large", shape, (0.05, 0.035, 0.03), "mm").to_json()
    return study


def changes_of(history: list[Any]) -> list[Change]:
    """Return what a stroke changed, from what the layer keeps for its own undo."""
    found = []
    for atom in history:
        if not hasattr(atom, "slice_key"):
            change = Change.of_points([atom])
            if change is not None:
                found.append(change)
            continue
        start = tuple(part.start if isinstance(part, slice) else int(part) for part in atom.slice_key)
        shape = tuple(part.stop - part.start if isinstance(part, slice) else 1 for part in atom.slice_key)
        mask = np.ones(shape, bool) if atom.mask is None else atom.mask.reshape(shape)
        found.append(Change(start, mask, np.ravel(atom.old_values).astype(np.uint8), int(atom.new_value)))
    return found


def layer_over(data: Any, brush: int) -> Labels:
    layer = Labels(data)
    layer.brush_size = brush
    layer.n_edit_dimensions = 2
    return layer


def stroke(layer: Labels, points: Any, value: int) -> None:
    """Drag the brush through points (z, y, x) as the mouse does."""
    with layer.block_history():
        for point in points:
            layer.paint(point, value, refresh=False)


def paths(count: int, dabs: int) -> list[Any]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        z = rng.integers(0, SHAPE[0])
        y, x = rng.uniform(150, 850, 2)
        angle = rng.uniform(0, 2 * np.pi)
        along = np.arange(dabs) * 6.0
        found.append(
            np.stack([np.full(dabs, z), y + along * np.sin(angle), x + along * np.cos(angle)], axis=1)
        )
    return found


def timed(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=int, default=150, help="of each kind")
    parser.add_argument("--dabs", type=int, default=20, help="of the brush in a stroke")
    parser.add_argument("--brush", type=int, default=20, help="diameter, voxels")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = study_with(SHAPE, Path(folder))
        begin = time.perf_counter()
        editor = AnnotationEditor(study, "large")
        opened = (time.perf_counter() - begin) * 1e3
        kept = layer_over(editor.labels, settings.brush)
        plain = layer_over(
            np.zeros(SHAPE, np.uint8), settings.brush
        )  # the system gives its pages when painted on
        recorded: list[float] = []

        def note(event: Any) -> None:
            changes = changes_of(event.value)
            recorded.append(timed(lambda: editor.record(changes)))

        kept.events.paint.connect(note)
        times: dict[str, list[float]] = {"annotations": [], "plain": []}
        for number, points in enumerate(paths(settings.strokes + 10, settings.dabs)):
            pairs = [("annotations", kept), ("plain", plain)]
            for name, layer in pairs if number % 2 else reversed(pairs):
                took = timed(
                    lambda layer=layer, points=points, number=number: stroke(layer, points, 1 + number % 5)
                )
                if number >= 10:
                    times[name].append(took)
        begin = time.perf_counter()
        editor.flush()
        flushed = (time.perf_counter() - begin) * 1e3
        size = sum(path.stat().st_blocks * 512 for path in editor.path.iterdir()) / 2**20
        editor.close()
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"opening: {opened:.0f} ms; the last flush: {flushed:.0f} ms; on disk: {size:.1f} MB")
    print("| layer | median ms a stroke | longest ms |")
    print("|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {median[name]:.2f} | {max(values):.1f} |")
    print(f"record alone: median {statistics.median(recorded):.2f} ms, longest {max(recorded):.1f} ms")
    print(f"ratio: {median['annotations'] / median['plain']:.2f} (asked for: at most 1.5)")


if __name__ == "__main__":
    main()
