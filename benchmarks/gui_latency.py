"""How long the window takes to answer while a pre-training run goes on in a thread of napari, torch's import included.

Run it with ``xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/gui_latency.py``, or without xvfb-run on a desktop.
It opens a real napari window with the Pre-train stage and a volume, makes the sample study, and presses Start. A timer
of 10 ms in the event loop notes how late it comes; *late* is the time since it last came less 10 ms. *Answer* is what
a click at a random moment would have waited for the event loop, so a long stall counts by its length. The product asks
for at most 50 ms in 95 of 100 cases and 250 ms at worst.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PERIOD = 0.010


class Stopwatch:
    """A timer in the event loop that notes when it came."""

    def __init__(self, owner: Any) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.came: list[float] = []
        self._timer = QTimer(owner)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(round(PERIOD * 1000))
        self._timer.timeout.connect(self._note)
        self._timer.start()

    def take(self) -> np.ndarray:
        """Return the seconds between ticks since the last call."""
        gaps = np.diff(self.came)
        self.came = self.came[-1:]
        return gaps

    def _note(self) -> None:
        self.came.append(time.perf_counter())


def figures(gaps: np.ndarray) -> dict[str, float]:
    """Return p50, p95, p99 and the worst of both measures, in milliseconds."""
    late = np.maximum(gaps - PERIOD, 0) * 1000
    moments = np.random.default_rng(0).random(200_000) * gaps.sum()
    ends = np.cumsum(gaps)
    answer = (ends[np.searchsorted(ends, moments).clip(0, len(ends) - 1)] - moments) * 1000
    answer = np.maximum(answer - PERIOD * 1000, 0)  # what the timer itself would have waited
    out = {f"late p{p}": float(np.percentile(late, p)) for p in (50, 95, 99)}
    out |= {f"answer p{p}": float(np.percentile(answer, p)) for p in (50, 95, 99)}
    return {**out, "worst": float(late.max())}


def say(phase: str, gaps: np.ndarray) -> None:
    numbers = " | ".join(f"{value:.0f}" for value in figures(gaps).values())
    print(f"| {phase} | {gaps.sum():.0f} s | {numbers} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="how long to watch the run")
    parser.add_argument("--study", type=Path, help="a study with volumes; the sample study by default")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--stalls", type=int, default=0, help="say when so many of the longest stalls were")
    options = parser.parse_args()
    os.environ.setdefault("QT_API", "pyqt6")
    with tempfile.TemporaryDirectory(prefix="sortingloss-latency-") as scratch:
        os.environ["NAPARI_CONFIG"] = str(Path(scratch) / "napari.yaml")
        os.environ["XDG_CONFIG_HOME"] = scratch
        measure(options, options.study or make_study(Path(scratch)))


def make_study(folder: Path) -> Path:
    from napari_sortingloss.samples import sample_study

    for _ in sample_study(folder / "study"):
        pass
    return folder / "study"


def measure(options: argparse.Namespace, study: Path) -> None:
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_sortingloss.widgets.viewer import layers

    viewer = napari.Viewer(show=False)
    window = viewer.window._qt_window
    window._save_current_window_settings = lambda: None
    window.resize(1280, 800)
    window.show()
    _, stage = viewer.window.add_plugin_dock_widget("napari-sortingloss", "Pre-train")

    def spin(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and not until():
            QApplication.processEvents()
            time.sleep(0.0005)

    stage.session.open_path(study)
    spin(30, lambda: len(stage.session.volumes) > 0)
    layers.show(viewer, [layers.plan(stage.session.study.volume(next(iter(stage.session.volumes))))])
    often = {"validate_every": 25, "checkpoint_every": 25}  # so that they are part of what is watched
    stage.form.set_value(steps=100_000, size=options.size, slices=options.slices, **often)
    spin(3)
    assert "torch" not in sys.modules, "the first import of torch is what is to be measured"
    print("| phase | watched | late p50 | p95 | p99 | answer p50 | p95 | p99 | worst ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    watch = Stopwatch(window)
    loop(10)
    say("nothing running", watch.take())
    stage.start_button.click()
    began = watch.came[-1]
    loop(options.seconds)
    came, gaps = np.array(watch.came[1:]), watch.take()
    history = stage.panel.watcher.history
    assert history.train, "the run did not begin"
    say("a run, from the press of Start", gaps)
    for i in np.argsort(gaps)[::-1][: options.stalls]:
        print(f"  {gaps[i] * 1000:.0f} ms without an answer, until {came[i] - began:.1f} s after Start")
    print(f"{history.progress.done} steps done; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    stage.session.shutdown()
    viewer.close()


def loop(seconds: float) -> None:
    """Run the real event loop for a while."""
    from qtpy.QtCore import QEventLoop, QTimer

    inner = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), inner.quit)
    inner.exec()


if __name__ == "__main__":
    main()
