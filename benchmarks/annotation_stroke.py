"""A stroke of a brush on annotations of 2000 x 1000 x 1000 voxels against one on a plain Labels layer, in one run.

Run it with ``python benchmarks/annotation_stroke.py``. Both layers are napari's own, without a window. One lies over the
memory map of an `AnnotationEditor`, a sparse file of 2 GB of which only painted pages take room, and each stroke is
recorded, so that it can be undone for ever; the other over an array in memory. Strokes alternate between the two; a stroke is
some dabs of the brush from one point to another, as a drag of the mouse gives them. *New*: each on a slice that was not
touched before, so that the system has to find pages for it (in memory it may give huge ones, which it clears first).
*Again*: the same strokes with other labels, so that nothing but painting is measured. Given are medians and their ratio, by
the clock and by the processor time of the thread that paints, which hardly depends on what else the computer does; the
product asks for at most 1.5.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_sortingloss.study import Study, VolumeRecord
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.widgets.annotate.layer import changes_of

SHAPE = (2000, 1000, 1000)


def study_with(shape: tuple[int, int, int], folder: Path) -> Study:
    """Make a study that says it has a volume; nobody reads its voxels here."""
    study = Study.create(folder / "study")
    with study.transaction() as document:
        document["volumes"]["large"] = VolumeRecord("large", shape, (0.05, 0.035, 0.03), "mm").to_json()
    return study


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
        kept = layer_over(np.asarray(editor.labels), settings.brush)
        plain = layer_over(
            np.zeros(SHAPE, np.uint8), settings.brush
        )  # the system gives its pages when painted on
        recorded: list[float] = []

        def note(event: Any) -> None:
            changes = changes_of(event.value)
            begin = time.perf_counter()
            editor.record(changes)
            recorded.append((time.perf_counter() - begin) * 1e3)

        kept.events.paint.connect(note)
        times: dict[tuple[str, str], list[tuple[float, float]]] = {}
        drags = paths(settings.strokes, settings.dabs)
        for turn in ("new", "again"):
            for number, points in enumerate(drags):
                value = 1 + (number + len(turn)) % 5
                pairs = [("annotations", kept), ("plain", plain)]
                for name, layer in pairs if number % 2 else reversed(pairs):
                    begin = time.perf_counter(), time.thread_time()
                    stroke(layer, points, value)
                    took = (time.perf_counter() - begin[0]) * 1e3, (time.thread_time() - begin[1]) * 1e3
                    times.setdefault((turn, name), []).append(took)
        begin = time.perf_counter()
        editor.flush()
        flushed = (time.perf_counter() - begin) * 1e3
        size = sum(path.stat().st_blocks * 512 for path in editor.path.iterdir()) / 2**20
        editor.close()
    print(f"opening: {opened:.0f} ms; the last flush: {flushed:.0f} ms; on disk: {size:.1f} MB")
    print("| strokes | measured by | annotations ms | plain ms | ratio |")
    print("|---|---|---|---|---|")
    for turn in ("new", "again"):
        for by, which in (("clock", 0), ("processor", 1)):
            ours, theirs = (
                statistics.median(took[which] for took in times[turn, name][10:])
                for name in ("annotations", "plain")
            )
            print(f"| {turn} | {by} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")
    print(f"record alone: median {statistics.median(recorded):.2f} ms, longest {max(recorded):.1f} ms")


if __name__ == "__main__":
    main()
