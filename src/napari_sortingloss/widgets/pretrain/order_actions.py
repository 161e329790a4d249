"""What the Pre-train stage does with the order a run believes in: asks for it, shows it, follows a dot, flips a volume."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from napari_sortingloss import wording
from napari_sortingloss.pretext.directions import UNTOLD, directions, listed
from napari_sortingloss.widgets.runs import training_jobs as actions
from napari_sortingloss.widgets.viewer import layers, view

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.widgets.pretrain.panel import RunPanel
    from napari_sortingloss.widgets.stage import Stage

KIND = "order"


class OrderActions:
    """The verbs of the order plot.

    Parameters
    ----------
    stage : Stage
        Held weakly; it owns this object.
    panel : RunPanel
        Shows the run whose order is meant, and the plot.
    """

    def __init__(self, stage: Stage, panel: RunPanel) -> None:
        self._weak = weakref.ref(stage)
        self._panel = panel

    @property
    def _stage(self) -> Stage:
        stage = self._weak()
        assert stage is not None
        return stage

    def order(self, run: str, volumes: tuple[str, ...] = ()) -> None:
        """Predict the position of every slice of volumes (all when none is named)."""
        stage, study = self._stage, self._stage.session.study
        if study is None:
            return
        self._panel.show_run(run)
        title = f"Ordering the slices of {volumes[0] if len(volumes) == 1 else 'all volumes'}"
        stage.submit(title, actions.order_job(study, run, volumes), KIND, self._on_ordered)

    def flip(self, name: str) -> None:
        """Turn a volume's direction round and order it again."""
        stage, study, shown = self._stage, self._stage.session.study, self._panel.run
        if study is None or shown is None:
            return

        def done(_: Any) -> None:
            stage.session.refresh()
            self.order(shown.id, (name,))

        stage.background.run(lambda: actions.turn_round(study, name), done)

    def show_slice(self, name: str, position: int) -> None:
        """Show a slice of a volume in the viewer; the position counts along its ordering direction."""
        stage, study = self._stage, self._stage.session.study
        if study is None:
            return
        stage.session.set_current_volume(name)

        def done(plan: layers.LayerPlan) -> None:
            viewer, record = stage.session.viewer, stage.session.volumes.get(name)
            if viewer is None or record is None:
                return
            layer = layers.find(viewer, plan.mark)
            if layer is None or not layer.visible:
                layer = layers.show(viewer, [plan])[0]
            view.step_along(viewer, record.axis)
            axis, index = "zyx".index(record.axis), stored_index(record, position)
            view.go_to(viewer, layer.units, record.voxel_size, record.offset, axis, index)

        stage.background.run(lambda: layers.plan(study.volume(name)), done, topic="slice")

    def read(self) -> None:
        """Show what is known of the order by the run in view."""
        stage, study, run = self._stage, self._stage.session.study, self._panel.run
        if study is None or run is None:
            return
        stage.background.run(
            lambda: actions.applying_order(study, run.id),
            self._take,
            lambda _: self._take({}),
            topic="read order",
        )

    def _take(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        plot, session = self._panel.order, self._stage.session
        plot.set_order(entries)
        plot.show_volume(session.current_volume)

    def _on_ordered(self, result: dict[str, Any]) -> None:
        stage = self._stage
        stage.session.refresh()
        self._panel.show_order()
        found = directions(result.get("volumes", []))
        are = "is" if len(found.untold) == 1 else "are"
        untold = f" Whether {listed(found.untold)} {are} upside down the network {UNTOLD} ({found.figures}): train for longer."
        untold = untold if found.untold else ""
        if found.flipped:
            stage.session.set_current_volume(found.flipped[0])
            them = "it" if len(found.flipped) == 1 else "each"
            text = f"Stored upside down, it seems: {', '.join(found.flipped)}. Flip turns {them} round without copying a voxel."
            stage.bar.show_message("warning", text + untold, "Show in Study ▸", lambda: stage.go_to("Study"))
        else:
            count = wording.count(len(result.get("volumes", [])), "volume")
            said = "." if found.untold else "; none looks upside down."
            level: Literal["notice", "success"] = "notice" if found.untold else "success"
            stage.bar.show_message(level, f"The slices of {count} are ordered{said}{untold}")
        self.read()


def stored_index(record: VolumeRecord, position: int) -> int:
    """Return the index along the ordering axis of the stored array, for a position along the ordering direction."""
    last = record.shape["zyx".index(record.axis)] - 1
    return position if record.direction == "+" else last - position
