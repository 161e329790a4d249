"""The lower half of the Segment stage: the run in view, how good it is class by class, and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QLabel

from napari_sortingloss.events import Matrix
from napari_sortingloss.segment.settings import FinetuneSettings, iou_metric
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.widgets.runs.confusion import ConfusionRow
from napari_sortingloss.widgets.runs.curves import Compared
from napari_sortingloss.widgets.runs.run_table import RunTable
from napari_sortingloss.widgets.runs.run_view import RunView
from napari_sortingloss.widgets.runs.run_watch import RunHistory
from napari_sortingloss.widgets.segment.prediction_table import PredictionTable
from napari_sortingloss.widgets.segment.score_table import ScoreRow, ScoreTable, rows_of
from napari_sortingloss.widgets.session.session import RunInfo
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.flow import FlowRow
from napari_sortingloss.widgets.toolkit.shortcuts import Button, KeyedCheckBox
from napari_sortingloss.widgets.toolkit.theme import Colors

IOU = "mean_iou"
PREFIX = iou_metric("")
MOST_LINES = 8
"""More classes than these are not drawn as lines of their own: the table has them all."""


class FinetuneTable(RunTable):
    """The runs of fine-tuning; each can predict.

    Attributes
    ----------
    predict_requested : psygnal.Signal
        ``predict_requested(id)``: predict the chosen volumes with a run.
    """

    predict_requested = Signal(str)

    def use_of(self, info: RunInfo) -> tuple[str, Any, str]:
        """Return that a run predicts."""
        why_not = "" if info.summary.get("step") else "It has no weights yet"
        return "&Predict with it", self.predict_requested, why_not


class SegmentPanel(RunView):
    """Shows a run of fine-tuning.

    Attributes
    ----------
    live : KeyedCheckBox
        Whether to show what the run in training makes of the slice in view.
    scores, judged : ScoreTable
        On the slices held back while training, and against references.
    """

    table: FinetuneTable

    def __init__(self, background: Background) -> None:
        super().__init__(background)
        self.curves.names["validation"] = "held-back slices"
        self.live = KeyedCheckBox()
        self.live.setText("L&ive preview of this slice")
        self.live.give_key("segment.live")
        self.live.setChecked(True)
        self.live.setToolTip(
            "<p>While a run trains: what the network makes of the slice that you look at, every few seconds, as a layer of "
            "its own.</p>"
        )
        self.live_about = QLabel()
        self.live_about.setProperty("muted", True)
        self.scores = ScoreTable()
        self.judged = ScoreTable()
        self.judged_confusion = ConfusionRow({"validation": "reference"})
        self.evaluate_button = Button("Ev&aluate", "segment.evaluate")
        self.evaluate_button.setProperty("small", True)
        self.agreement = ScoreTable()
        self.predictions_title = QLabel()
        self.predictions_title.setProperty("muted", True)
        self.predictions_title.setWordWrap(True)
        self.predictions = PredictionTable()
        self._classes: tuple[LabelClass, ...] = ()
        self._judged: Mapping[str, Any] = {}
        live = FlowRow()
        live.add(self.live, pin=True)
        live.add(self.live_about, stretch=True)
        live.add(self.evaluate_button)
        at = self.column.indexOf(self.curves) + 1
        self.column.insertWidget(at, live)
        for i, widget in enumerate((self.scores, self.judged, self.judged_confusion)):
            self.column.insertWidget(at + 1 + i, widget)
        at = self.column.indexOf(self.table)
        for i, widget in enumerate((self.predictions_title, self.predictions, self.agreement)):
            self.column.insertWidget(at + i, widget)
        self._arrange()

    def make_table(self) -> RunTable:
        """Return a table whose runs predict."""
        return FinetuneTable()

    def figures_of(self, info: RunInfo) -> tuple[Curve, ...]:
        """Return the loss and the mean IoU; the classes are lines in the plot of the mean."""
        return FinetuneSettings.from_json(info.settings).curves()[:2]

    def classes_of(self, info: RunInfo | None) -> tuple[LabelClass, ...]:
        """Return the classes a run tells apart, with the colours they have now."""
        if info is None:
            return ()
        now = {found.value: found for found in self._classes}
        try:
            settled = FinetuneSettings.from_json(info.settings).label_classes()
        except (ValueError, TypeError):  # settings of another program: BadSetting, or text of another form
            return ()
        return tuple(
            replace(found, color=now[found.value].color) if found.value in now else found for found in settled
        )

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """Take the classes of the study, for their colours."""
        self._classes = tuple(classes)
        self._draw()
        self._score()

    def set_judged(self, result: Mapping[str, Any]) -> None:
        """Show what an evaluation of the run in view has found; empty if there was none."""
        self._judged = result
        self._score()
        self._arrange()

    def show_agreement(self, result: Mapping[str, Any]) -> None:
        """Show how far two predictions agree; an empty mapping for none."""
        classes = result.get("classes", {})
        rows = [
            ScoreRow(name, str(found["color"]), found["iou"], dice=found["dice"])
            for name, found in classes.items()
        ]
        runs = result.get("runs", ("", ""))
        self.agreement.set_scores(rows, f"{runs[0]} against {runs[1]}")
        self._arrange()

    def run_gone(self) -> None:
        """Forget what is known of the run before."""
        self._judged = {}
        self._score()

    def set_runs(self, runs: Sequence[RunInfo]) -> None:
        """Take the runs there are now."""
        super().set_runs(runs)
        self._score()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        super().apply_theme(colors)
        # The classes have colours of their own, among them those of other curves.
        self.curves.apply_theme(replace(colors, train=colors.muted, validation=colors.text))
        for part in (self.scores, self.judged, self.agreement, self.judged_confusion, self.predictions):
            part.apply_theme(colors)

    # ------------------------------------------------------------------------------------------------------ drawing
    def _on_history(self, history: RunHistory) -> None:
        super()._on_history(history)
        self._score()
        self._arrange()

    def compared(self) -> list[Compared]:
        """Return the classes of the run in view as lines of the plot of their mean, and the runs that are ticked."""
        history, lines = self.watcher.history, []
        for found in self.classes_of(self.run)[:MOST_LINES]:
            points = history.validation.get(iou_metric(found.name))
            if points is not None:
                line = RunHistory(validation={IOU: points})
                lines.append(Compared(found.name, found.color, line))
        return [*lines, *super().compared()]

    def _score(self) -> None:
        """Bring the tables up to date: the last figures of the run in view, with those of the run before."""
        if not hasattr(self, "scores"):
            return
        info = self.run
        colors = {found.name: found.color for found in self.classes_of(info)}
        values = dict((info.summary.get("validation") if info is not None else None) or {})
        for name, (_, points) in self.watcher.history.validation.items():
            values[name] = points[-1]
        measured = {
            name: {"iou": values.get(iou_metric(name))} for name in colors if iou_metric(name) in values
        }
        rows = rows_of(colors, measured, self._before(info, values))
        before = self._mean_before(info)
        mean = None
        if rows and IOU in values:
            mean = ScoreRow("mean", "", values[IOU], before)
        self.scores.set_scores(rows, self._on_what(info), mean)
        self._score_judged(colors)

    def _score_judged(self, colors: Mapping[str, str]) -> None:
        result = self._judged
        classes = result.get("classes", {})
        rows = rows_of(
            {**dict.fromkeys(classes, ""), **{n: c for n, c in colors.items() if n in classes}}, classes
        )
        distances = [row.distance for row in rows if row.distance is not None]
        mean = ScoreRow(
            "mean",
            "",
            result.get("mean_iou"),
            None,
            result.get("mean_dice"),
            sum(distances) / len(distances) if distances else None,
        )
        names = [str(volume["name"]) for volume in result.get("volumes", ())]
        on = names[0] if len(names) == 1 else f"{len(names)} volumes"
        slices = "unseen slices of " if result.get("unseen_only") else ""
        self.judged.set_scores(rows, f"{slices}the reference of {on}", mean if rows else None)
        found = result.get("confusion")
        matrices = {}
        if found and rows:
            matrix = Matrix(
                step=0, counts=found["counts"], labels=found["labels"], what="class", split="validation"
            )
            matrices["validation"] = matrix
        self.judged_confusion.set_matrices(matrices)

    def _last_run(self, info: RunInfo | None) -> RunInfo | None:
        """Return the run before the one in view, if it was measured."""
        runs = list(self._runs.values())
        if info is None or info not in runs:
            return None
        earlier = runs[runs.index(info) + 1 :]
        return next(
            (run for run in earlier if (run.summary.get("validation") or {}).get(IOU) is not None), None
        )

    def _before(self, info: RunInfo | None, values: Mapping[str, float]) -> dict[str, float]:
        last = self._last_run(info)
        found = (last.summary.get("validation") or {}) if last is not None else {}
        return {name[len(PREFIX) :]: value for name, value in found.items() if name.startswith(PREFIX)}

    def _mean_before(self, info: RunInfo | None) -> float | None:
        last = self._last_run(info)
        return (last.summary.get("validation") or {}).get(IOU) if last is not None else None

    def _on_what(self, info: RunInfo | None) -> str:
        kept = tuple(info.settings.get("kept") or ()) if info is not None else ()
        if not kept:
            return "held-back slices"
        return f"{len(kept)} held-back {'slice' if len(kept) == 1 else 'slices'}"

    def _arrange(self) -> None:
        super()._arrange()
        if not hasattr(self, "agreement"):
            return
        self.scores.setVisible(not self.scores.empty)
        self.judged.setVisible(not self.judged.empty)
        self.judged_confusion.setVisible(not self.judged_confusion.empty)
        self.agreement.setVisible(not self.agreement.empty)
