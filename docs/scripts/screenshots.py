"""Makes the pictures of the documentation by driving the real widgets: ``python docs/scripts/screenshots.py``.

It does what the tour says, in a napari window of 1280 x 800, on files it generates itself: nothing is downloaded and the
settings and recent files of the person who runs it are not touched. It takes five to ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parents[1] / "images"
WIDTH, HEIGHT, LEFT = 1280, 800, 250
LARGE = 300_000
SCALE = 10.5
"""Micrometres a pixel in the picture of all fish."""
SUFFIXES = (".ome.tif", ".ome.tif", ".nii.gz", ".ome.tif", ".nii.gz", ".ome.tif")
FACTS = "facts.json"
VALIDATE = ("fish_02", "fish_05")
STEPS, STEPS_COMPARED = 400, 120
RUNNING_AT, PAUSE_AT, LOOK_AT = 130, 230, 370
"""The steps at which the first run is looked at, paused, and looked at again."""


def main() -> None:
    """Read the arguments, see to a display, and make the pictures."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where the pictures go")
    parser.add_argument("--work", type=Path, help="a folder for the study, kept; a temporary one otherwise")
    given = parser.parse_args()
    see_to_a_display()
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    if given.work is not None:
        given.work.mkdir(parents=True, exist_ok=True)
        make_pictures(out, given.work.absolute())
        return
    with tempfile.TemporaryDirectory(prefix="tour-") as work:
        make_pictures(out, Path(work))


def see_to_a_display() -> None:
    """Start again inside a virtual display where there is none."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or not sys.platform.startswith("linux"):
        return
    if shutil.which("xvfb-run") is None:
        sys.exit("There is no display and no virtual one: sudo apt-get install xvfb")
    screen = f"-screen 0 {WIDTH + 120}x{HEIGHT + 100}x24"
    os.execvp("xvfb-run", ["xvfb-run", "-a", "-s", screen, sys.executable, *sys.argv])


def make_pictures(out: Path, work: Path) -> None:
    """Make all pictures, working in a folder of their own."""
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        os.environ[f"XDG_{kind}_HOME"] = str(work / ".home" / kind.lower())
    os.environ["NAPARI_CONFIG"] = str(work / ".home" / "napari.yaml")
    from localize_scenes import localize

    files = make_scans(work / "scans")
    study = work / "fish"
    shutil.rmtree(study, ignore_errors=True)
    facts = json.loads((work / "scans" / FACTS).read_text(encoding="utf-8"))
    window = Window(out, facts)
    try:
        choose_and_add(window, files, study)
        go_wrong(window, files[0])
        train(window)
        compare(window)
        order_and_flip(window)
        localize(window, tuple(window.facts))
        die_and_come_back(window, study)
    finally:
        window.close()
    draw_sections(study, facts, out / "phantoms.png")
    draw_augmentation(study, out / "augmentation.png")


def make_scans(folder: Path) -> list[Path]:
    """Write six phantom fish as files, as they might come from a scanner, and note what is known about them."""
    from napari_sortingloss.formats.writers.write import write_volume
    from napari_sortingloss.samples.phantoms import make_phantom

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"fish_{i + 1:02d}{suffix}" for i, suffix in enumerate(SUFFIXES)]
    facts = {}
    for i, path in enumerate(paths):
        if not (folder / FACTS).exists():
            say(f"generating {path.name}")
            fish = make_phantom(i)
            voxels = fish.voxels
            done = write_volume(path, voxels.shape, voxels.dtype, [voxels], fish.voxel_size, fish.unit)
            for _ in done:
                pass
            facts[fish.name] = {"middle": sum(fish.box[2]) // 2, "upside_down": fish.upside_down}
    if facts:
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return paths


# ------------------------------------------------------------------------------------------------------- the window
class Window:
    """A napari window with the Workbench, and the patience to wait for what it does.

    Parameters
    ----------
    out : Path
        Where its pictures go.
    facts : dict
        For each fish its middle along x (voxels), and whether it is upside down.
    """

    def __init__(self, out: Path, facts: dict[str, dict[str, Any]]) -> None:
        import napari
        from qtpy.QtCore import Qt

        self.out, self.facts = out, facts
        self.viewer = napari.Viewer(show=True)
        main_window = self.viewer.window._qt_window
        main_window._save_current_window_settings = lambda: None
        self.viewer.window.resize(WIDTH, HEIGHT)
        self.spin(1.0)
        _, self.bench = self.viewer.window.add_plugin_dock_widget("napari-sortingloss", "Workbench")
        self.study, self.pretrain = self.bench.stages["Study"], self.bench.stages["Pre-train"]
        left = self.viewer.window._qt_viewer.dockLayerList
        self.narrow = lambda: main_window.resizeDocks([left], [LEFT], Qt.Orientation.Horizontal)
        self.narrow()
        self.spin(1.0)

    @property
    def session(self) -> Any:
        """What the stages share."""
        return self.study.session

    def spin(self, seconds: float) -> None:
        """Let the window live for a while."""
        until = time.monotonic() + seconds
        self.wait("time to pass", lambda: time.monotonic() >= until)

    def wait(self, what: str, reached: Callable[[], Any], most: float = 900.0) -> None:
        """Let the window live until something is reached."""
        from qtpy.QtWidgets import QApplication

        until = time.monotonic() + most
        while not reached():
            if time.monotonic() > until:
                said = self.study.bar.text or self.pretrain.bar.text
                raise TimeoutError(f"waited {most:g} s for {what}; the window says: {said or 'nothing'}")
            QApplication.processEvents()
            time.sleep(0.005)

    def wait_for_jobs(self) -> None:
        """Wait until no job is at work and the window shows what the last one did."""
        jobs = self.session.jobs
        self.wait("the jobs", lambda: jobs.running is None and not jobs.waiting)
        self.session.refresh()
        self.spin(1.0)

    def show_volumes(self, names: tuple[str, ...], *, side: bool = False) -> None:
        """Select volumes and press Show; from the side, the head at the top, when asked."""
        self.study.table.select(names)
        self.study.along.setChecked(not side)
        self.study.show_button.click()
        layers = self.viewer.layers
        self.wait("the layers", lambda: {layer.name for layer in layers if layer.visible} == set(names))
        self.spin(1.0)
        self.viewer.dims.order = (2, 0, 1) if side else (0, 1, 2)
        volumes = [self.session.volumes[name] for name in names]
        where = [
            self.facts[v.name]["middle"] * v.voxel_size[2] if side else v.shape[0] // 2 * v.voxel_size[0]
            for v in volumes
        ]
        self.viewer.dims.set_point(2 if side else 0, sum(where) / len(where))
        self.viewer.reset_view(margin=0.02)
        self.narrow()

    def shot(self, name: str, widget: Any = None, settle: float = 0.6) -> None:
        """Save a picture of the window, or of a widget, after letting it come to rest."""
        from napari._qt.utils import QImg2array
        from PIL import Image

        self.spin(settle)
        if widget is None:
            pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        else:
            pixels = QImg2array(widget.grab().toImage())
        save(Image.fromarray(pixels).convert("RGB"), self.out / f"{name}.png")

    def close(self) -> None:
        """Close the window, and with it its jobs."""
        self.session.shutdown()
        self.viewer.close()


# ------------------------------------------------------------------------------------------------------- the scenes
def choose_and_add(window: Window, files: list[Path], folder: Path) -> None:
    """Make a study, choose files, add them, look at one."""
    study, session = window.study, window.session
    window.shot("study-empty")
    study.open_path(folder, create=True)
    window.wait("the study", lambda: session.study is not None)
    study.choose(files)
    window.wait("the histogram", lambda: study.import_panel.look is not None)
    window.shot("study-import")
    study.show_button.click()
    window.wait("the first volumes", lambda: (job := session.jobs.find("add")) and "of 6)" in said(job))
    session.refresh()
    window.shot("study-adding", settle=0.15)
    window.wait_for_jobs()
    window.show_volumes(("fish_01",))
    window.shot("study-volumes")


def go_wrong(window: Window, file: Path) -> None:
    """Try to add a file that was cut off while it was copied."""
    broken = file.with_name("fish_07.ome.tif")
    broken.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    window.study.choose([broken])
    window.wait("the message", lambda: window.study.bar.level == "error" and window.study.bar.text)
    window.shot("study-error")
    window.study.discard()
    broken.unlink()


def train(window: Window) -> None:
    """Pre-train: ready, running, paused, nearly done, finished."""
    from napari_sortingloss.widgets.runs.split import Split, SplitDialog

    stage, panel = window.pretrain, window.pretrain.panel
    window.show_volumes(("fish_01",), side=True)
    window.bench.show_stage("Pre-train")
    names = tuple(window.session.volumes)
    split = Split(tuple(n for n in names if n not in VALIDATE), VALIDATE)
    dialog = SplitDialog(names, split, stage)
    dialog.show()
    window.shot("pretrain-volumes", dialog)
    dialog.close()
    stage.form.set_split(split)
    stage.form.set_value(steps=STEPS)
    window.wait("the estimate", lambda: "about" in stage.form.needs.text())
    window.shot("pretrain-ready")
    stage.start_button.click()
    window.wait("the first figures", lambda: step(window) >= RUNNING_AT and panel.strip.tiles)
    window.shot("pretrain-running")
    window.wait("the middle", lambda: step(window) >= PAUSE_AT)
    stage.pause_button.click()
    window.wait("the pause", lambda: panel.active is not None and panel.active.state == "paused")
    window.spin(1.0)
    window.shot("pretrain-paused")
    stage.pause_button.click()
    six(window)
    window.wait("nearly the end", lambda: step(window) >= LOOK_AT)
    stage.bar.clear()
    window.shot("workbench")
    one(window)
    window.wait("the end", lambda: "has finished" in stage.bar.text)
    window.shot("pretrain-finished")


def compare(window: Window) -> None:
    """Train again without augmentation, and tick the first run."""
    stage, first = window.pretrain, window.session.runs[0].id
    stage.form.set_value(steps=STEPS_COMPARED, augment="none")
    stage.start_button.click()
    window.wait("the other run", lambda: len(window.session.runs) == 2)
    window.wait("its end", lambda: "has finished" in stage.bar.text)
    stage.panel.table.tick(first)
    stage.bar.clear()
    window.spin(1.0)
    window.shot("pretrain-compare")
    stage.panel.table.tick(first, False)
    table = stage.panel.table
    table.setCurrentItem(table.topLevelItem(1))
    window.wait("the first run", lambda: stage.panel.run is not None and stage.panel.run.id == first)


def order_and_flip(window: Window) -> None:
    """Order the slices, look at the fish that is upside down, flip it."""
    stage = window.pretrain
    stage.order_button.click()
    window.spin(0.5)
    window.wait_for_jobs()
    flipped = tuple(name for name, state in window.session.states.items() if state.flipped)
    truly = tuple(name for name, fact in window.facts.items() if fact["upside_down"])
    if flipped != truly:
        sys.exit(
            f"Found upside down: {flipped}; in truth: {truly}. These pictures would teach something wrong."
        )
    window.show_volumes(flipped, side=True)
    window.wait("the plot", lambda: stage.panel.order.shown in flipped)
    window.shot("order-plot")
    window.bench.show_stage("Study")
    window.shot("order-study")
    window.study.actions_.flip(flipped[0])
    window.wait("the flip", lambda: window.session.volumes[flipped[0]].direction == "-")
    window.spin(0.5)
    window.wait_for_jobs()
    window.shot("order-flipped")


def die_and_come_back(window: Window, folder: Path) -> None:
    """Kill a run that is a process of its own, and open the study again."""
    stage, session = window.pretrain, window.session
    window.bench.show_stage("Pre-train")
    stage.form.set_value(steps=5000, augment="normal", checkpoint_every=20)
    stage.form.where.setCurrentIndex(1)
    stage.start_button.click()
    window.wait("the process", lambda: len(session.runs) == 3 and step(window) >= 45)
    owner = json.loads((session.runs[0].path / "owner.json").read_text(encoding="utf-8"))
    os.kill(owner["pid"], signal.SIGKILL)
    window.wait("the news", lambda: session.runs[0].state == "interrupted")
    session.set_study(None)
    window.spin(0.5)
    window.study.open_path(folder)
    window.wait("the study", lambda: session.study is not None and stage.bar.text)
    window.shot("pretrain-interrupted")


def said(job: Any) -> str:
    """Return what a job last said of its progress."""
    return job.progress.what if job.progress is not None else ""


def step(window: Window) -> int:
    """Return how far the run in view is."""
    progress = window.pretrain.panel.watcher.history.progress
    return progress.done if progress is not None else 0


def six(window: Window) -> None:
    """Show all six fish side by side, on as much canvas as there can be."""
    window.viewer.window._qt_viewer.dockLayerControls.hide()
    window.show_volumes(tuple(window.session.volumes), side=True)
    window.viewer.canvas.grid.shape = (2, 3)
    window.viewer.canvas.grid.stride = 1
    window.viewer.canvas.grid.enabled = True
    window.viewer.reset_view(margin=0.02)


def one(window: Window) -> None:
    """Show one fish again."""
    window.viewer.canvas.grid.enabled = False
    window.spin(0.5)
    window.viewer.window._qt_viewer.dockLayerControls.show()
    window.show_volumes(("fish_01",), side=True)


# ---------------------------------------------------------------------------------------------------- other pictures
def draw_sections(folder: Path, facts: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw a sagittal section of each fish, all to one scale."""
    import numpy as np
    from PIL import Image

    from napari_sortingloss.study import Study

    sections = []
    for volume in Study.open(folder).select(tuple(facts)):
        z, y, _ = volume.voxel_size
        image = Image.fromarray(np.asarray(volume.levels()[0][:, :, facts[volume.name]["middle"]]))
        size = (round(image.width * y / SCALE), round(image.height * z / SCALE))
        sections.append(image.resize(size, Image.Resampling.BICUBIC))
    height = max(section.height for section in sections)
    picture = Image.new("LA", (sum(s.width + 8 for s in sections) - 8, height))
    left = 0
    for section in sections:
        picture.paste(section.convert("LA"), (left, (height - section.height) // 2))
        left += section.width + 8
    save(picture, path)


def draw_augmentation(folder: Path, path: Path) -> None:
    """Draw what the normal and the tough augmentation make of three slices."""
    import numpy as np
    from PIL import Image

    from napari_sortingloss.slices.gallery import gallery
    from napari_sortingloss.slices.reader import load_slices
    from napari_sortingloss.study import Study

    study, images = Study.open(folder), []
    for name, share in (("fish_01", 0.25), ("fish_04", 0.45), ("fish_06", 0.65)):
        volume = study.volume(name)
        images.append(load_slices(volume, [round(share * volume.n_slices)], 112)[0])
    halves = [gallery(images, level, seed=3, copies=5) for level in ("normal", "tough")]
    gap = np.full((12, halves[0].shape[1]), 255, np.uint8)
    save(Image.fromarray(np.concatenate([halves[0], gap, halves[1]])), path)


def save(picture: Any, path: Path) -> None:
    """Save a picture; with a quarter of the grey levels, which nobody sees in noise, if it would be large."""
    import numpy as np
    from PIL import Image

    picture.save(path, optimize=True)
    if path.stat().st_size > LARGE:
        pixels = np.asarray(picture).copy()
        grey = np.ptp(pixels, axis=-1) == 0 if picture.mode == "RGB" else np.s_[..., 0]
        pixels[grey] = pixels[grey] // 4 * 4 + 2
        Image.fromarray(pixels, picture.mode).save(path, optimize=True)
    say(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")


def say(text: str) -> None:
    """Tell the person who runs this how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
