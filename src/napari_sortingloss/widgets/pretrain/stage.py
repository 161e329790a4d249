"""The Pre-train stage: start a run, watch it learn to order slices, pause, stop and resume it, compare it with others."""

from __future__ import annotations

from typing import Any, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton

from napari_sortingloss.pretext import can_order, settings_for
from napari_sortingloss.widgets.pretrain.form import PretrainForm
from napari_sortingloss.widgets.pretrain.order_actions import KIND as ORDER
from napari_sortingloss.widgets.pretrain.order_actions import OrderActions
from napari_sortingloss.widgets.pretrain.panel import RunPanel
from napari_sortingloss.widgets.runs.run_actions import KIND, RunActions
from napari_sortingloss.widgets.runs.run_table import figures
from napari_sortingloss.widgets.runs.training_stage import TrainingStage
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.stage import allow

NO_STUDY = (
    "Pre-training teaches a network the anatomy of your volumes without a single label: it learns to put shuffled "
    "slices back into order.\n\nOpen a study with volumes first."
)
NO_VOLUMES = "This study has no volumes yet. A handful is enough to begin with."

WORSE = 1.1
"""Unseen volumes that much worse than random are not just hard: the network has them the wrong way round."""


class PretrainWidget(TrainingStage):
    """The Pre-train dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    title = "Pre-train"
    key = "pretrain"
    own_jobs: ClassVar[tuple[str, ...]] = (KIND,)
    panel: RunPanel

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.runs = RunActions(self)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.study_link = QPushButton("Go to Study ▸")
        self.study_link.clicked.connect(lambda *_: self.go_to("Study"))
        self.form = PretrainForm(self.background)
        self.panel = RunPanel(self.background)
        self.orders = OrderActions(self, self.panel)
        for widget in (self.hint, self.form, self.panel):
            self.body.addWidget(widget)
        self.body.addWidget(self.study_link, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addStretch(1)
        (self.order_button,) = self.add_training_buttons(
            ("&Order slices", self.order_shown, "pretrain.order")
        )
        self._connect()
        self.panel.apply_theme(self.colors)
        self._on_task()
        self._on_study(self.session.study)

    def _connect(self) -> None:
        session, panel = self.session, self.panel
        self.follow_training()
        self.follow(session.study_changed, self._on_study)
        self.follow(session.volumes_changed, self._on_volumes)
        self.follow(session.current_volume_changed, panel.order.show_volume)
        self.follow(self.form.task_changed, self._on_task)
        self.follow(panel.table.order_requested, self.orders.order)
        self.follow(panel.order.volume_chosen, session.set_current_volume)
        self.follow(panel.order.slice_chosen, self.orders.show_slice)
        self.follow(panel.order.flip_requested, self.orders.flip)

    # ------------------------------------------------------------------------------------------------ buttons
    def order_shown(self) -> None:
        """Order the slices of all volumes with the run in view."""
        if self.panel.run is not None:
            self.orders.order(self.panel.run.id)

    def show_settings(self, info: RunInfo) -> None:
        """Show the settings of an earlier run in the form."""
        self.form.show_settings(info.task, info.settings)

    def why_not_start(self) -> str:
        """Return why a run cannot be started."""
        return "" if self.session.volumes else "Add volumes to the study first"

    def update_buttons(self) -> None:
        """Let each button say what it does now, or why it cannot."""
        super().update_buttons()
        shown = self.panel.run
        self.order_button.setVisible(not self.runs.busy and shown is not None and can_order(shown.task))
        if shown is None:
            return
        why = "" if shown.summary.get("step") else "It has no weights yet"
        if self.session.jobs.find(ORDER) is not None:
            why = "It is being done"
        allow(
            self.order_button, why, f"Predict the position of every slice of all volumes with {shown.title}"
        )

    # ------------------------------------------------------------------------------------ following the session
    def _on_study(self, study: Any) -> None:
        self.forget_runs(study)
        self.form.set_study(study)
        self.recall()
        self._on_volumes()
        self._on_runs()

    def _on_volumes(self) -> None:
        self.form.set_volumes(tuple(self.session.volumes))
        empty = not self.session.volumes
        self.hint.setText(NO_STUDY if self.session.study is None else NO_VOLUMES)
        for widget in (self.hint, self.study_link):
            widget.setVisible(empty)
        self.form.setVisible(not empty)
        self.panel.setVisible(not empty)
        self.orders.read()
        self.update_buttons()

    def _on_task(self) -> None:
        self.panel.set_idle_curves(settings_for(self.form.task_name)().curves())

    def _on_run(self, run: str) -> None:
        super()._on_run(run)
        self.orders.read()

    def say_finished(self, run: RunInfo) -> None:
        """Say how good the run is; unseen volumes worse than random may be stored upside down."""
        said = figures(run)
        text = f"{run.title} has finished" + (f": {said[0]}." if said else ".")
        unseen = run.headline("validation")
        worse = unseen is not None and unseen.chance is not None and unseen.number > WORSE * unseen.chance
        if worse and can_order(run.task):
            text += " Worse than random: is one of them stored upside down? Order slices tells."
            self.bar.show_message("warning", text, "Order slices ▸", self.order_shown)
        elif can_order(run.task):
            self.bar.show_message("success", text, "Order slices ▸", self.order_shown)
        else:
            self.bar.show_message("success", text)
