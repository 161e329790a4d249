"""Drives the Localize stage as a person would: ``python docs/scripts/localize_scenes.py STUDY [--volumes N] [--out FOLDER]``.

On its own it takes a study that has a sorting run, and localises, reviews, adjusts, crops and exports its first N volumes in a
real window; `screenshots` takes its scenes for the tour. The study is changed: give it a copy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from screenshots import IMAGES, Window, see_to_a_display


def main() -> None:
    """Drive the stage on a study, and say what was done and how long the review took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--volumes", type=int, default=10, help="how many volumes")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where the pictures go")
    parser.add_argument("--name", default="localize", help="how their names begin")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    given = parser.parse_args()
    see_to_a_display()
    given.out.mkdir(parents=True, exist_ok=True)
    window = Window(given.out.absolute(), {})
    try:
        window.viewer.theme = given.theme
        window.study.open_path(given.study.absolute())
        window.wait("the study", lambda: window.session.study is not None and window.session.volumes)
        names = tuple(name for name, record in window.session.volumes.items() if record.parent is None)
        localize(window, names[: given.volumes], given.name)
    finally:
        window.close()


def localize(window: Window, names: tuple[str, ...], prefix: str = "localize") -> None:
    """Localise volumes, check them one after another, adjust two boxes, crop and export."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    stage = window.bench.stages["Localize"]
    window.bench.show_stage("Localize")
    window.viewer.window._qt_window.activateWindow()  # keys go to the window in front
    window.viewer.layers.clear()
    window.viewer.dims.order = (0, 1, 2)
    window.session.set_current_volume(names[0])
    stage.form.volumes.choose(names)
    window.spin(1.0)
    window.shot(f"{prefix}-ready")
    stage.start_button.click()
    window.wait("the second volume", lambda: stage.actions_.at_work in names[1:])
    window.shot(f"{prefix}-running", settle=0.2)
    window.wait_for_jobs()
    window.wait("the first box", lambda: stage.review.layers.plan is not None)
    stage.bar.clear()
    window.shot(f"{prefix}-review", settle=1.5)
    adjust_by_number(window, stage)
    window.shot(f"{prefix}-slider", settle=1.0)
    window.viewer.dims.ndisplay = 3
    window.viewer.reset_view()
    window.viewer.scene.camera.angles = (10, 28, 62)
    window.viewer.scene.camera.zoom *= 0.7
    window.shot(f"{prefix}-3d", settle=1.5)
    window.viewer.dims.ndisplay = 2
    window.spin(0.5)
    began = time.monotonic()
    for number in range(len(names)):
        if number == 1:
            drag_a_side(window, stage)
            window.shot(f"{prefix}-dragged", settle=0.8)
        before = stage.review.name
        stage.table.setFocus()
        QTest.keyClick(stage.table, Qt.Key.Key_Return)
        if number < len(names) - 1:
            window.wait("the next box", lambda before=before: shown(stage) not in ("", before))
    print(f"{len(names)} boxes checked in {time.monotonic() - began:.0f} s, pictures included")
    window.shot(f"{prefix}-checked")
    stage.crop_button.click()
    window.spin(0.5)
    window.wait_for_jobs()
    window.shot(f"{prefix}-cropped")
    export(window, stage)
    for name, looks in window.session.localized.items():
        for look in looks.values():
            found = look.value
            if found is not None and name in names:
                adjusted = ", adjusted" if found.adjusted else ""
                print(f"{name}: {found.status}, {found.box}, removes {found.removed_fraction:.0%}{adjusted}")


def shown(stage: Any) -> str:
    """Return the volume whose box is in the viewer."""
    plan = stage.review.layers.plan
    return "" if plan is None else str(plan.volume)


def adjust_by_number(window: Window, stage: Any) -> None:
    """Move the first face along z by keyboard, as a person would in its number."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    row = stage.panel.sliders.rows["z"]
    before = stage.panel.sliders.value()
    row.low.setFocus()
    for _ in range(3):
        QTest.keyClick(row.low, Qt.Key.Key_Up)
    window.wait("the box", lambda: stage.review.found.box != before)
    if stage.review.layers.box[0][0] != before[0][0] + 3:
        raise SystemExit("the box in the viewer did not follow the number")


def drag_a_side(window: Window, stage: Any) -> None:
    """Drag the right side of the box six voxels inwards with the mouse."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    viewer, record = window.viewer, window.session.volumes[stage.review.name]
    before = stage.review.found.box
    stage.review.layers.edit_box()
    window.spin(0.5)
    canvas = viewer.window._qt_viewer.canvas
    layer = next(one for one in viewer.layers if one.name.endswith("· box"))
    node = canvas.layer_to_visual[layer].node

    def at(y: float, x: float) -> QPointF:
        """Return where a voxel of the slice in view is on the canvas."""
        world = [viewer.dims.point[0]]
        for offset, voxel, size in zip(record.offset[1:], (y, x), record.voxel_size[1:], strict=True):
            world.append((offset + voxel) * size)
        point = layer.world_to_data(world)
        mapped = node.transforms.get_transform("visual", "canvas").map([point[2], point[1]])
        return QPointF(mapped[0] / mapped[3], mapped[1] / mapped[3])

    (_, (top, bottom), (_, right)) = before
    start, stop = at((top + bottom) / 2, right - 0.5), at((top + bottom) / 2, right - 6.5)
    native, left = canvas.native, Qt.MouseButton.LeftButton
    QTest.mouseMove(native, start.toPoint())
    window.spin(0.1)
    QTest.mousePress(native, left, pos=start.toPoint())
    for share in (0.25, 0.5, 0.75, 1.0):
        window.spin(0.05)
        where = start + (stop - start) * share
        place = QPointF(native.mapToGlobal(where.toPoint()))
        none = Qt.KeyboardModifier.NoModifier
        QApplication.sendEvent(
            native, QMouseEvent(QEvent.Type.MouseMove, where, place, Qt.MouseButton.NoButton, left, none)
        )
    window.spin(0.05)
    QTest.mouseRelease(native, left, pos=stop.toPoint())
    window.wait("the dragged box", lambda: stage.review.found.box != before, 30)
    print(f"dragged: {before} -> {stage.review.found.box}")


def export(window: Window, stage: Any) -> None:
    """Export the crop of the volume in view through the menu, the file dialog answered."""
    from unittest.mock import patch

    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / f"{stage.review.name}.nii.gz"
        with patch("napari_sortingloss.widgets.toolkit.dialogs.choose_export", return_value=path):
            stage.actions_.export("crop")
        window.spin(0.5)
        window.wait_for_jobs()
        print(f"exported {path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
