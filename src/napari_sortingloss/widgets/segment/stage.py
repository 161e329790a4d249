"""The Segment stage: from annotated slices to whole volumes: train, look, predict, correct, and train on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_sortingloss.segment.settings import FinetuneSettings
from napari_sortingloss.widgets.predicted import PredictedLook
from napari_sortingloss.widgets.runs.run_table import GOING_ON, figures
from napari_sortingloss.widgets.runs.training_stage import TrainingStage
from napari_sortingloss.widgets.segment.correction import Correction
from napari_sortingloss.widgets.segment.finetune_runs import FINETUNE, SegmentRuns
from napari_sortingloss.widgets.segment.form import SegmentForm
from napari_sortingloss.widgets.segment.judged import summed_up
from napari_sortingloss.widgets.segment.live_preview import LivePreview, slice_of
from napari_sortingloss.widgets.segment.panel import SegmentPanel
from napari_sortingloss.widgets.segment.predict_actions import COMPARE, EVALUATE, PREDICT, PredictActions
from napari_sortingloss.widgets.segment.predict_button import PredictChoice
from napari_sortingloss.widgets.segment.shown_predictions import Shown
from napari_sortingloss.widgets.session.job_line import JobLine
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.stage import allow, set_property
from napari_sortingloss.widgets.toolkit.flow import FlowRow
from napari_sortingloss.widgets.toolkit.shortcuts import Button, keys_of
from napari_sortingloss.widgets.viewer.slice_layer import SliceAt

NO_STUDY = (
    "Segmentation turns a handful of painted slices into labels for whole volumes: a pre-trained network learns from them "
    "and predicts the rest.\n\nOpen a study with volumes first."
)
NO_VOLUMES = "This study has no volumes yet."
NO_SLICES = (
    "No slice is annotated yet. Paint what you look for on a few slices, spread over the volume, and mark them complete: "
    "five to ten are enough to begin with."
)


class SegmentWidget(TrainingStage):
    """The Segment dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    title = "Segment"
    key = "segment"
    begin: ClassVar[str] = "Train"
    end: ClassVar[str] = "Stop"
    own_jobs: ClassVar[tuple[str, ...]] = (FINETUNE, PREDICT)
    panel: SegmentPanel

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._link = "Study"
        self.runs = SegmentRuns(self)
        self.predicting = PredictActions(self)
        self.correction = Correction(self)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.link = QPushButton()
        self.link.clicked.connect(lambda *_: self.go_to(self._link))
        self.form = SegmentForm(self.background)
        self.panel = SegmentPanel(self.background)
        self.live = LivePreview(self.session, self.background, self)
        for widget in (self.hint, self.form, self.panel):
            self.body.addWidget(widget)
        self.body.addWidget(self.link, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addStretch(1)
        self.shown = Shown(self)
        self.verbs = self._verbs()
        frame = self.frame
        frame.insertWidget(frame.indexOf(self.strip), self.verbs)  # does not scroll away
        self.add_training_buttons()
        self._connect()
        self.panel.set_idle_curves(FinetuneSettings().curves()[:2])
        self.panel.apply_theme(self.colors)
        self.predicting.adopt()
        self._on_study(self.session.study)

    def _verbs(self) -> QWidget:
        box = QWidget()
        self.choice = PredictChoice()
        self.choice.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.progress = JobLine()
        first = QHBoxLayout()
        first.addWidget(self.choice)
        first.addWidget(self.progress, 1)
        self.correct_button = Button("C&orrect this slice", "segment.correct")
        self.compare_button = Button("Co&mpare runs", "segment.compare")
        self.export_button = Button("E&xport…", "segment.export")
        second = FlowRow(spacing=4)
        for button in (self.correct_button, self.compare_button, self.export_button):
            button.setProperty("small", True)
            second.add(button, pin=True)
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(first)
        layout.addWidget(second)
        return box

    def _connect(self) -> None:
        session, panel, predicting = self.session, self.panel, self.predicting
        self.follow_training()
        self.follow(session.study_changed, self._on_study)
        self.follow(session.volumes_changed, self._on_volumes)
        self.follow(session.classes_changed, self._on_classes)
        self.follow(session.annotations_changed, self._on_annotations)
        self.follow(session.predictions_changed, self._on_predictions)
        self.follow(session.current_volume_changed, self._on_current)
        self.follow(panel.table.predict_requested, predicting.predict)
        self.follow(panel.predictions.ticked_changed, self.shown.tick)
        self.follow(panel.predictions.chosen, self._on_chosen)
        self.follow(panel.predictions.uncertainty_requested, self.shown.toggle_uncertainty)
        self.follow(panel.predictions.again_requested, predicting.go_on)
        self.follow(panel.predictions.drop_requested, predicting.drop)
        self.follow(panel.predictions.export_requested, self._export_labels)
        self.follow(panel.predictions.delete_requested, predicting.delete)
        self.follow(self.choice.changed, self.update_buttons)
        self.follow(self.choice.changed, self.remember)
        self.follow(self.live.changed, self._say_live)
        viewer = session.viewer
        if viewer is not None:
            for signal in (viewer.dims.events.point, viewer.dims.events.order, viewer.dims.events.ndisplay):
                self.follow(signal, self._on_step)
            self.follow(viewer.layers.events.removed, self._on_layer_removed)
        panel.live.toggled.connect(lambda on: self.live.set_on(on))
        panel.evaluate_button.clicked.connect(lambda *_: predicting.evaluate())
        self.choice.clicked.connect(lambda *_: predicting.predict_or_stop())
        self.correct_button.clicked.connect(lambda *_: self.correct_slice())
        self.compare_button.clicked.connect(
            lambda *_: self._pop_up(self.compare_button, predicting.compare_menu())
        )
        self.export_button.clicked.connect(lambda *_: self._pop_up(self.export_button, self.export_menu()))

    def _pop_up(self, button: QWidget, menu: QMenu) -> None:
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(button.mapToGlobal(QPoint(0, -menu.sizeHint().height())))

    # -------------------------------------------------------------------------------------------------- what there is
    @property
    def weights_of(self) -> str:
        """The run in view if it has weights; otherwise empty."""
        run = self.panel.run
        return run.id if run is not None and run.summary.get("step") else ""

    @property
    def of_volume(self) -> tuple[str, str] | None:
        """The study's path and the volume in view."""
        session = self.session
        if session.study is None or session.current_volume is None:
            return None
        return str(session.study.path), session.current_volume

    def slice_in_view(self) -> SliceAt | None:
        """Return the slice of the current volume that is in view."""
        return slice_of(self.session)

    def predictions(self) -> list[PredictedLook]:
        """Return what was predicted of the volume in view, the newest first."""
        return list(self.session.predictions.get(self.session.current_volume or "", {}).values())

    def finished_predictions(self) -> list[PredictedLook]:
        """Return the whole ones of them."""
        return [look for look in self.predictions() if look.complete]

    def with_reference(self) -> tuple[str, ...]:
        """Return the volumes with a reference."""
        return tuple(name for name, record in self.session.volumes.items() if record.reference)

    def to_judge(self) -> tuple[str, ...]:
        """Return those of them that the run in view has predicted."""
        looks, run = self.session.predictions, self.weights_of
        return tuple(
            name for name in self.with_reference() if run in looks.get(name, {}) and looks[name][run].complete
        )

    # ------------------------------------------------------------------------------------------------- training stage
    def why_not_start(self) -> str:
        """Return why a run cannot be started."""
        if not self.session.volumes:
            return "Add volumes to the study first"
        return "" if self.session.annotated else "Annotate at least one slice first"

    def show_settings(self, info: RunInfo) -> None:
        """Show the settings of an earlier run in the form."""
        self.form.show_settings(info.settings)

    def say_finished(self, run: RunInfo) -> None:
        """Say how good the run is, and that it can predict."""
        scores = self.panel.scores.said()
        said = scores or next(iter(figures(run)), "")
        text = f"{run.title} has finished" + (f": {said}." if said else ".") + " Next: predict a volume."
        self.bar.show_message("success", text, "Predict this volume ▸", lambda: self.predict_this())

    def run_ended(self, run: RunInfo) -> None:
        """Let the last preview stay in view: it shows what the run has come to."""
        self.live.set_run("")

    def predict_this(self) -> None:
        """Predict the volume in view with the run in view."""
        self.choice.choose("this")
        self.predicting.predict()

    def correct_slice(self) -> None:
        """Take the predicted slice in view over into the annotations."""
        if not self.correction.why_not():
            self.correction.take_over()

    def own_choices(self) -> dict[str, Any]:
        """Return in which way volumes are predicted."""
        return {"predict": self.choice.way()}

    def recall_own_choices(self, chosen: Mapping[str, Any]) -> None:
        """Predict in the way that was chosen when this study was last open."""
        way = chosen.get("predict")
        self.choice.set_way(way if isinstance(way, dict) else {})

    # -------------------------------------------------------------------------------------------------------- buttons
    def hidden_kinds(self) -> tuple[str, ...]:
        """Predicting has a line of its own."""
        return (*super().hidden_kinds(), PREDICT)

    def update_buttons(self) -> None:
        """Let each button say what it does now, or why it cannot."""
        super().update_buttons()
        if not hasattr(self, "verbs"):
            return
        self._follow_live()
        session, panel, job = self.session, self.panel, self.predicting.job
        run = self.weights_of
        done = {name for name, looks in session.predictions.items() if run in looks and looks[run].complete}
        self.choice.set_volumes(tuple(session.volumes), session.current_volume or "", done)
        self.choice.set_busy(job is not None)
        self.progress.say(job)
        set_property(self.choice, "stop", job is not None)
        why = ""
        if job is not None:
            why, tip = ("It finishes what it is at" if job.cancelling else ""), "What was predicted is kept"
        else:
            with_ = session.run_title(run)
            tip = f"Predict with {with_} ({keys_of('segment.predict')}); more choices behind the arrow"
            why = "Train first: predicting needs a run with weights" if not run else ""
            why = why or ("" if self.choice.volumes() else "Choose volumes first")
        allow(self.choice, why, tip)
        self._update_verbs(panel, run)

    def _update_verbs(self, panel: SegmentPanel, run: str) -> None:
        chosen, finished = panel.predictions.current(), self.finished_predictions()
        tip = f"Take this slice of {chosen} over into the annotations, to repair it ({keys_of('segment.correct')})"
        allow(self.correct_button, self.correction.why_not(), tip)
        why = "" if len(finished) > 1 else "It needs two predictions of this volume, by different runs"
        if self.session.jobs.find(COMPARE) is not None:
            why = "It is being done"
        allow(self.compare_button, why, "Show where two predictions of this volume differ")
        why = (
            "" if finished or self._annotated_here() else "Nothing of this volume is predicted or painted yet"
        )
        allow(self.export_button, why, "Write labels or surfaces of this volume to a file for other programs")
        self._update_evaluate(run)

    def _update_evaluate(self, run: str) -> None:
        button, names = self.panel.evaluate_button, self.to_judge()
        run = self.session.run_title(run)
        button.setVisible(bool(self.with_reference()))
        why = "" if names else f"Predict a volume that has a reference first, with {run or 'a run'}"
        if self.session.jobs.find(EVALUATE) is not None:
            why = "It is being done"
        tip = f"Score {run} against the reference of {', '.join(names[:3])}{'…' if len(names) > 3 else ''}"
        allow(button, why, f"{tip}, on slices it did not learn from ({keys_of('segment.evaluate')})")

    def _annotated_here(self) -> bool:
        return (self.session.current_volume or "") in self.session.annotated

    def _export_labels(self, run: str) -> None:
        self.predicting.export("labels", run=run)

    def export_menu(self) -> QMenu:
        """Return the menu of the Export button."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        chosen = self.panel.predictions.current()
        look = self.panel.predictions.look(chosen)
        whole = look is not None and look.complete
        why = "" if whole else "Predict the whole volume first"
        nothing = "" if self._annotated_here() else "Nothing is painted on this volume"
        for text, what, source, why_not in (
            (f"&Labels predicted by {chosen or 'a run'}…", "labels", "prediction", why),
            ("&Surfaces of them (mesh)…", "mesh", "prediction", why),
            ("&Annotations, as painted…", "labels", "annotations", nothing),
        ):
            entry = menu.addAction(text)
            entry.setEnabled(not why_not)
            entry.setToolTip(why_not)
            entry.triggered.connect(lambda *_, what=what, source=source: self.predicting.export(what, source))
        return menu

    # ------------------------------------------------------------------------------------------ following the session
    def _on_study(self, study: Any) -> None:
        self.forget_runs(study)
        self.form.set_study(study)
        self.recall()
        self.predicting.told.clear()
        self.panel.show_agreement({})
        self._on_classes()
        self._on_annotations()
        self._on_volumes()
        self._on_runs()
        self._on_predictions()

    def _on_volumes(self) -> None:
        self._arrange()
        self.update_buttons()

    def _on_classes(self) -> None:
        self.panel.set_classes(self.session.classes)

    def _on_annotations(self) -> None:
        self.form.set_annotated(self.session.annotated)
        self._arrange()
        self.update_buttons()

    def _on_runs(self) -> None:
        self.form.set_runs(self.session.runs)
        titles = {info.id: info.name for info in self.session.runs if info.name}
        if titles != self.panel.predictions.titles:
            self.panel.predictions.titles = titles
            self.shown.refresh()
        super()._on_runs()
        self._arrange()

    def _on_run(self, run: str) -> None:
        super()._on_run(run)
        self.read_scores()

    def _on_predictions(self) -> None:
        self.form.set_predicted(self.session.predictions)
        self.shown.refresh()
        self.predicting.say_cut_off()
        self.update_buttons()

    def _on_current(self, name: str | None) -> None:
        self.panel.show_agreement({})
        self.shown.refresh()
        self.predicting.say_cut_off()
        self.update_buttons()

    def _on_chosen(self, run: str) -> None:
        self.panel.wish(run)
        self.update_buttons()

    def _on_step(self, event: object = None) -> None:
        if hasattr(self, "verbs"):
            allow(
                self.correct_button,
                self.correction.why_not(),
                f"Take this slice over into the annotations, to repair it ({keys_of('segment.correct')})",
            )

    def _on_layer_removed(self, event: Any) -> None:
        self.shown.removed(event.value)

    # ------------------------------------------------------------------------------------------------ what is shown
    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Show the volume in view and what was predicted of it."""
        super().showEvent(event)
        self.session.show_current()
        self.shown.refresh()

    def _arrange(self) -> None:
        """Show what fits the moment: how to begin, or the form; runs and predictions where there are any."""
        session = self.session
        self._link = "Study" if not session.volumes else "Annotate"
        ready = bool(session.volumes) and bool(session.annotated)
        runs = bool(self.panel.run) or self.runs.busy
        if not ready:
            text = NO_STUDY if session.study is None else NO_VOLUMES if not session.volumes else NO_SLICES
            self.hint.setText(text)
            self.link.setText(f"Go to {self._link} ▸")
        for widget in (self.hint, self.link):
            widget.setVisible(not ready)
        self.form.setVisible(ready)
        self.panel.setVisible(bool(session.volumes) and (ready or runs))
        self.verbs.setVisible(bool(session.volumes) and (runs or bool(session.predictions)))

    def _follow_live(self) -> None:
        """Ask the run that trains, wherever it does, for the slice in view."""
        active = self.panel.active
        training = active is not None and active.state in GOING_ON
        self.live.set_run(active.id if training and active is not None else "")
        self._say_live()

    def _say_live(self) -> None:
        text = f"step {self.live.step:,}" if self.live.step else ""
        text = f"as of {text}" if text and not self.live.run else text
        if self.live.run and self.panel.live.isChecked() and not text:
            text = "waiting for the run…" if self.slice_in_view() is not None else "show the volume to see it"
        self.panel.live_about.setText(text)

    def read_scores(self) -> None:
        """Read what an evaluation of the run in view has found, if there was one."""
        study, run = self.session.study, self.panel.run
        if study is None or run is None:
            self.panel.set_judged({})
            return

        def read() -> Any:
            from napari_sortingloss.segment.evaluate.record import read_scores

            return summed_up(read_scores(study.run(run.id)))

        def take(found: Any) -> None:
            if self.panel.run is not None and self.panel.run.id == run.id:
                self.panel.set_judged(found)

        self.background.run(read, take, lambda _: self.panel.set_judged({}), topic="scores")
