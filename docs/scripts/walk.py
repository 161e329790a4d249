"""Walks through the window as somebody new to it would, and looks whether all is right: ``python docs/scripts/walk.py``.

Real mouse and keyboard events, on generated scans of 0.1018 mm a voxel, a size that binary numbers cannot hold. It ends
with a sentence where something is not as it should be, and leaves pictures of each step with ``--out``.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from screenshots import Window, see_to_a_display

VOXEL = 0.1018
STEPS = 40
HU = "chest.nii.gz"


def main() -> None:
    """Walk in a window that is killed while it predicts, and go on in another one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="where pictures go; nowhere if not given")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--size", default="1280x800", help="of the window, in pixels")
    parser.add_argument("--work", type=Path, help="a folder for the scans and the study, kept")
    parser.add_argument("--part", choices=("all", "first", "second"), default="all")
    given = parser.parse_args()
    see_to_a_display()
    if given.part == "all":
        work = given.work or Path(tempfile.mkdtemp(prefix="walk-"))
        again = [sys.executable, *sys.argv, "--work", str(work), "--part"]
        try:
            ended = subprocess.run([*again, "first"], check=False).returncode
            expect(ended == -signal.SIGKILL, f"the first window ended with {ended} instead of being killed")
            raise SystemExit(subprocess.run([*again, "second"], check=False).returncode)
        finally:
            if given.work is None:
                shutil.rmtree(work)
    for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
        os.environ[f"XDG_{kind}_HOME"] = str(given.work / ".home" / kind.lower())
    os.environ["NAPARI_CONFIG"] = str(given.work / ".home" / "napari.yaml")
    walk = Walk(given.work, given.out, given.theme, given.size)
    if given.part == "first":
        walk.first()
    else:
        walk.second()
        walk.window.close()


def expect(so: Any, otherwise: str) -> None:
    """End the walk with a sentence where something is not so."""
    if not so:
        raise SystemExit(f"✖ {otherwise}")


class Walk:
    """A person in front of the window.

    Parameters
    ----------
    work : Path
        Holds the scans and the study.
    out : Path or None
        Takes the pictures.
    theme, size : str
    """

    def __init__(self, work: Path, out: Path | None, theme: str, size: str) -> None:
        self.work, self._pictures, self._name = work, out, f"{theme}-{size}"
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        self.window = Window((out or work).absolute(), {})
        self.viewer, self.session = self.window.viewer, self.window.session
        self.viewer.theme = theme
        self.viewer.window.resize(*(int(side) for side in size.split("x")))
        main_window = self.viewer.window._qt_window
        main_window.activateWindow()  # a virtual display has nobody else who would
        self.window.wait("the keyboard", main_window.isActiveWindow, 20)
        self.window.spin(0.5)

    def shot(self, name: str) -> None:
        """Take a picture, and tell how far the walk is."""
        print(f"  {name}", flush=True)
        if self._pictures is not None:
            self.window.shot(f"{self._name}-{name}", settle=0.4)

    def stage(self, title: str) -> Any:
        """Go to a stage by a click on its tab."""
        from mouse import click

        bench = self.window.bench
        click(bench.tabs.tabBar(), bench.tabs.tabBar().tabRect(list(bench.stages).index(title)).center())
        self.window.spin(0.5)
        expect(bench.tabs.currentWidget() is bench.stages[title], f"a click on the tab does not show {title}")
        return bench.stages[title]

    def link(self, stage: Any, caption: str) -> None:
        """Press a button of the message."""
        from mouse import click

        found = [one for one in stage.bar._links if one.text() == caption and one.isVisible()]
        expect(found, f"the bar offers no '{caption}': {stage.bar.text}")
        click(found[0])

    @property
    def ours(self) -> list[str]:
        """The names of the layers."""
        return [layer.name for layer in self.viewer.layers]

    # ---------------------------------------------------------------------------------------------------- first window
    def first(self) -> None:
        """From files to a prediction along all axes that is cut off."""
        scans = make_scans(self.work / "scans")
        self.window_of_one_file(scans)
        self.add(scans)
        self.rename()
        self.paint()
        self.show_another()
        self.train_and_close()
        self.predict()
        self.stages_keep_to_themselves()
        self.die_while_predicting()

    def window_of_one_file(self, scans: list[Path]) -> None:
        """An intensity window for one kind of files is said to hold for all, and is forgotten with them."""
        from mouse import click, drop

        study = self.window.study
        self.shot("01-empty")
        drop(study, [*scans, self.work / "scans" / HU])
        panel = study.import_panel
        self.window.wait("the files", lambda: len(panel.candidates) == 4 and panel.look is not None)
        panel.window.edit.set_values(-900.0, 500.0)
        self.window.wait("the files that it does not suit", lambda: "fish" in all_text(panel))
        expect("for all 4" in all_text(panel), "nothing says that the window holds for all files")
        self.shot("02-window")
        click(study.discard_button)
        drop(study, scans)
        self.window.wait("the files", lambda: len(panel.candidates) == 3 and panel.look is not None)
        expect(panel.settings().window == "p1:p99.95", "the window of the files before is kept")
        self.window.wait("the axis", lambda: panel.settings().axis == "z")
        self.shot("03-chosen")

    def add(self, scans: list[Path]) -> None:
        """One click makes the study and adds the files; the first is shown whole, in its middle."""
        from mouse import click

        click(self.window.study.show_button)
        self.window.wait("the volumes", lambda: len(self.session.volumes) == 3)
        self.window.wait_for_jobs()
        self.window.wait("the first volume", lambda: self.ours == ["fish_a"])
        self.in_view("fish_a")
        self.shot("04-added")

    def in_view(self, name: str) -> None:
        """See that a volume fills the canvas and its middle slice is shown."""
        from napari_sortingloss.widgets.viewer.view import slice_in_view

        record, layer = self.session.volumes[name], self.viewer.layers[name]
        axis, index, _ = slice_in_view(self.viewer, layer.units, record.voxel_size, record.offset)
        expect(axis == "zyx".index(record.axis), f"{name} is not shown along its ordering axis")
        expect(abs(index - record.shape[axis] // 2) <= 1, f"{name} is shown at slice {index}")
        steps = self.viewer.dims.nsteps[axis]
        expect(steps == record.shape[axis], f"the slider has {steps} steps for {record.shape[axis]} slices")
        canvas = self.viewer.canvas.size
        sides = [
            n * s for i, (n, s) in enumerate(zip(record.shape, record.voxel_size, strict=True)) if i != axis
        ]
        zoom = self.viewer.scene.camera.zoom
        filled = max(side * zoom / pixels for side, pixels in zip(sides, canvas, strict=True))
        expect(0.7 < filled <= 1.01, f"{name} fills {100 * filled:.0f} % of the canvas")

    def rename(self) -> None:
        """Return ends the renaming, and does not show the volume."""
        from mouse import click, type_into_focus
        from qtpy.QtCore import Qt

        table = self.window.study.table
        where = table.visualRect(table.model_.index(1, 0)).center()
        click(table.viewport(), where)
        self.window.spin(0.3)
        type_into_focus(key=Qt.Key.Key_F2)
        self.window.spin(0.3)
        type_into_focus("iguana")
        type_into_focus(key=Qt.Key.Key_Return)
        self.window.wait("the new name", lambda: "iguana" in self.session.volumes)
        expect("iguana" not in self.ours, "Return showed the volume instead of renaming it")
        self.shot("05-renamed")

    # --------------------------------------------------------------------------------------------------------- painting
    def paint(self) -> None:
        """Outline two structures on a few slices with G, and see on which slices they are on the disk."""
        from mouse import Canvas, click, type_into_focus
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication, QLineEdit

        self.session.set_current_volume("fish_a")
        stage = self.stage("Annotate")
        annotating = stage.annotating
        self.window.wait("the annotations", lambda: annotating.writable)
        self.shot("06-annotate")
        for name in ("body", "swim bladder"):
            button = stage.classes.add_button
            self.window.wait("+ class", lambda at=button: at.isVisible() and at.isEnabled(), 20)
            click(button)
            self.window.wait(
                "a field for its name", lambda: isinstance(QApplication.focusWidget(), QLineEdit)
            )
            type_into_focus(name)
            type_into_focus(key=Qt.Key.Key_Return)
            self.window.wait("its name", lambda name=name: name in {one.name for one in self.session.classes})
        canvas = Canvas(self.viewer, annotating.layer)
        native = self.viewer.window._qt_viewer.canvas.native
        reference = np.load(self.work / "scans" / "fish_a.npy")
        chosen = self.awkward(annotating, reference)
        for index in chosen:
            annotating.go_to(index)
            self.window.spin(0.3)
            for key, value in (("1", 1), ("2", 2)):
                corners = outline(
                    reference[index] >= value if value == 1 else reference[index] == value, index
                )
                if not corners:
                    continue
                native.setFocus()
                type_into_focus(key)
                type_into_focus("g")
                expect(str(annotating.layer.mode) == "polygon", "G does not take the polygon tool")
                canvas.outline(corners)
                self.window.spin(0.1)
            native.setFocus()
            type_into_focus("c")
            self.window.wait("the mark", lambda: annotating.status() == "complete")
        self.window.wait("the disk", lambda: annotating.pending == 0)
        painted = sorted(set(np.nonzero(on_disk(self.session.study, "fish_a"))[0].tolist()))
        expect(painted == sorted(chosen), f"slices {sorted(chosen)} were painted, {painted} hold it")
        before = np.array(annotating.layer.data)
        annotating.go_to(chosen[0])
        self.window.spin(0.3)
        type_into_focus("1")
        annotating.layer.mode = "paint"
        canvas.drag([chosen[0], 4, 6], [chosen[0], 10, 20])
        self.window.wait("the stroke", lambda: annotating.undo_text == "stroke")
        self.shot("07-painted")
        native.setFocus()
        QTest.keyClick(native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        self.window.wait("the undo", lambda: np.array_equal(annotating.layer.data, before))

    def awkward(self, annotating: Any, reference: np.ndarray) -> list[int]:
        """Return slices with both structures, first those whose place is a little less than a whole number."""
        both = [z for z in range(len(reference)) if {1, 2} <= set(np.unique(reference[z]).tolist())]
        layer, found = annotating.layer, []
        for index in both[2:-2]:
            annotating.go_to(index)
            if int(layer.world_to_data(self.viewer.dims.point)[0]) != index:
                found.append(index)
        expect(found, "no slice of this scan is awkward: the walk would prove nothing")
        every = [*found, *both]
        return sorted({every[0], every[len(found) // 2], both[len(both) // 3], both[2 * len(both) // 3]})

    def show_another(self) -> None:
        """Show brings another volume into view and leaves nothing of the one before."""
        from mouse import click

        study = self.stage("Study")
        click(study.table.viewport(), study.table.visualRect(study.table.model_.index(2, 0)).center())
        click(study.show_button)
        self.window.wait("the other volume", lambda: self.ours == ["fish_c"])
        self.in_view("fish_c")
        self.shot("08-another")
        study.table.select(("fish_a",))
        click(study.show_button)
        self.window.wait("the first volume", lambda: self.ours == ["fish_a"])

    # --------------------------------------------------------------------------------------------------------- training
    def train_and_close(self) -> None:
        """Train; close the dock while it trains, collect what is left of it, and open it again."""
        from mouse import click

        stage = self.stage("Segment")
        stage.form.start.choose("scratch")
        stage.form.set_value(steps=STEPS, size=64, batch=2)
        self.window.wait("the time", lambda: "about" in stage.form.needs.text(), 180)
        self.shot("09-ready")
        click(stage.start_button)
        self.window.wait("the run", lambda: stage.panel.active is not None)
        self.window.wait("a step", lambda: (stage.panel.active.summary.get("step") or 0) > 1)
        self.shot("10-training")
        dock = next(
            one for name, one in self.viewer.window._wrapped_dock_widgets.items() if "Workbench" in name
        )
        click(dock.titleBarWidget().close_button)
        self.window.spin(0.5)
        del stage, dock
        self.window.bench = self.window.study = self.window.pretrain = None
        gc.collect()
        self.window.spin(1.0)
        gc.collect()
        _, bench = self.viewer.window.add_plugin_dock_widget("napari-sortingloss", "Workbench")
        self.window.bench = bench
        self.window.study, self.window.pretrain = bench.stages["Study"], bench.stages["Pre-train"]
        self.window.narrow()
        self.window.spin(1.0)
        stage = self.stage("Segment")
        expect(stage.form.settings().steps == STEPS, "the steps that were chosen are lost with the dock")
        self.window.wait(
            "the end", lambda: stage.panel.run is not None and stage.panel.run.state == "finished"
        )
        self.window.spin(1.5)
        self.shot("11-trained")

    def predict(self) -> None:
        """Predict along one axis; the labels come into view."""
        from mouse import click

        stage = self.stage("Segment")
        click(stage.choice)
        self.window.wait_for_jobs()
        self.window.wait("the labels", lambda: any("prediction" in name for name in self.ours))
        self.shot("12-predicted")

    def stages_keep_to_themselves(self) -> None:
        """What one stage shows does not tint another."""
        self.stage("Annotate")
        self.window.wait("the annotations", lambda: "fish_a · annotations" in self.ours)
        seen = {layer.name for layer in self.viewer.layers if layer.visible}
        expect(seen == {"fish_a", "fish_a · annotations"}, f"Annotate shows {sorted(seen)}")
        self.shot("13-annotate")
        self.stage("Segment")
        seen = [layer.name for layer in self.viewer.layers if layer.visible]
        expect(any("prediction" in name for name in seen), "Segment does not show its prediction any more")

    def die_while_predicting(self) -> None:
        """Begin to predict along all axes, and kill the window in the middle."""
        from mouse import click

        stage = self.stage("Segment")
        stage.choice.choose_axes("zyx")
        click(stage.choice)
        study, run = self.session.study, stage.predicting.run
        from napari_sortingloss.study.predictions.reading import growing_prediction

        self.window.wait("the beginning", lambda: growing_prediction(study, "fish_a", run) is not None)
        job = self.session.jobs.find("predict")
        self.window.wait("some slices", lambda: job.progress is not None and job.progress.done > 3)
        os.kill(os.getpid(), signal.SIGKILL)

    # --------------------------------------------------------------------------------------------------- second window
    def second(self) -> None:
        """Everything is there after the kill; what was cut off goes on in its own way."""
        study = self.window.study
        study.open_path(self.work / "scans" / "scans-study")
        self.window.wait("the volume", lambda: bool(self.ours))
        self.shot("20-reopened")
        self.session.set_current_volume("fish_a")
        stage = self.stage("Segment")
        self.window.wait("the labels", lambda: any("prediction" in name for name in self.ours))
        self.window.wait("the news", lambda: "cut off" in stage.bar.text)
        table = stage.panel.predictions
        expect(table.topLevelItem(0).text(3).startswith("✓"), "the whole prediction is hidden")
        expect(stage.correct_button.isEnabled(), f"Correct is off: {stage.correct_button.toolTip()}")
        self.shot("21-cut-off")
        self.link(stage, "Go on ▸")
        self.window.wait_for_jobs()
        self.window.wait("all axes", lambda: table.topLevelItem(0).text(2) == "z+y+x")
        expect(table.topLevelItem(0).text(3) == "✓", "it is not whole")
        self.shot("22-went-on")
        painted = sorted(set(np.nonzero(on_disk(self.session.study, "fish_a"))[0].tolist()))
        expect(len(painted) >= 3, "painted slices are missing")
        print("✓ all as it should be")


# ------------------------------------------------------------------------------------------------------------- the data
def make_scans(folder: Path) -> list[Path]:
    """Write three small scans of 0.1018 mm a voxel and one in Hounsfield units, and what is in the first."""
    from napari_sortingloss.formats.writers.write import write_volume

    folder.mkdir(parents=True, exist_ok=True)
    size = (VOXEL,) * 3
    paths = []
    for number, (name, shape) in enumerate(
        (("fish_a", (70, 56, 64)), ("fish_b", (64, 60, 52)), ("fish_c", (58, 50, 66)))
    ):
        voxels, labels = make_fish(shape, number)
        path = folder / f"{name}.nii.gz"
        for _ in write_volume(path, voxels.shape, voxels.dtype, [voxels], size, "mm"):
            pass
        np.save(folder / f"{name}.npy", labels)
        paths.append(path)
    chest = (make_fish((40, 48, 44), 9)[0].astype(np.int32) // 20 - 1000).astype(np.int16)
    for _ in write_volume(folder / HU, chest.shape, chest.dtype, [chest], (2.0, 0.7, 0.7), "mm"):
        pass
    return paths


def make_fish(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a body that grows along z, with a dark bladder in its middle: grey values and labels, (z, y, x)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    radius = 0.12 + 0.28 * np.sin(np.pi * np.clip(z * 0.9 + 0.05, 0, 1)) * (0.5 + 0.5 * z)
    away = np.hypot(y - 0.5, x - 0.5 - 0.04 * np.sin(6 * z))
    labels = np.zeros(shape, np.uint8)
    labels[away < radius] = 1
    labels[(np.hypot((y - 0.45) * 1.3, x - 0.5) < 0.1) & (np.abs(z - 0.5) < 0.3)] = 2
    grey = 9000 + 16000 * (labels == 1) * (0.6 + 0.4 * z) + 3000 * (labels == 2)
    noisy = grey + rng.normal(0, 900, shape)
    return np.clip(noisy, 0, 60000).astype(np.uint16), labels


def outline(mask: np.ndarray, index: int) -> list[list[float]]:
    """Return corners around the largest part of a mask of slice `index` along z, few enough to click."""
    from skimage.measure import approximate_polygon, find_contours

    found = find_contours(np.pad(mask, 1).astype(float), 0.5)
    if not found:
        return []
    line = approximate_polygon(max(found, key=len) - 1, 1.0)[:-1]
    return [[index, round(row), round(column)] for row, column in line] if len(line) > 2 else []


def on_disk(study: Any, volume: str) -> np.ndarray:
    """Return the annotations of a volume as another program would read them."""
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.annotations.reading import Annotations

    kept = Annotations(Study.open(study.path), volume)
    depth = study.volumes[volume].shape[0]
    return np.stack([kept.read_slice("z", index) for index in range(depth)])


def all_text(panel: Any) -> str:
    """Return all that a panel says."""
    from qtpy.QtWidgets import QLabel

    return " ".join(label.text() for label in panel.findChildren(QLabel) if label.isVisible())


if __name__ == "__main__":
    main()
