"""What the Segment stage does with a run that is trained: predicts, evaluates, compares, exports; all as jobs."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtWidgets import QMenu, QMessageBox

from napari_sortingloss import wording
from napari_sortingloss.events import Event, Progress
from napari_sortingloss.study.predictions.reading import remove_growing, remove_prediction
from napari_sortingloss.widgets.exporting import export
from napari_sortingloss.widgets.runs import training_jobs as actions
from napari_sortingloss.widgets.segment.compare_runs import compare
from napari_sortingloss.widgets.segment.layers import DIFFERENCE
from napari_sortingloss.widgets.segment.prediction_table import said_unfinished
from napari_sortingloss.widgets.session.jobs import Job, MakeJob
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.toolkit.gentle_import import import_gently

if TYPE_CHECKING:
    from napari_sortingloss.segment.evaluate.job import EvaluateSettings
    from napari_sortingloss.segment.predict.settings import PredictSettings
    from napari_sortingloss.study import Study
    from napari_sortingloss.widgets.predicted import PredictedLook
    from napari_sortingloss.widgets.segment.stage import SegmentWidget

PREDICT, EVALUATE, COMPARE = "predict", "evaluate", "compare"

OWN_WAY = ("weights", "every_pose", "labels")
"""Settings that a prediction was begun with and that it remembers by name, beside its axes and the uncertainty."""

GROW_SECONDS = 0.7
"""The growing labels in the viewer are brought up to date that often at most."""


def predict_job(study: Study, settings: PredictSettings) -> MakeJob:
    """Return what makes the job that predicts volumes; it leaves one core to the viewer."""

    def make() -> Iterator[Event]:
        import_gently("napari_sortingloss.segment.segmenter")
        from napari_sortingloss.segment.predict.job import predict

        wanted: Any = actions.leave_a_core(settings)
        return predict(study, wanted)

    return make


def evaluate_job(study: Study, settings: EvaluateSettings) -> MakeJob:
    """Return what makes the job that scores predictions against references."""

    def make() -> Iterator[Event]:
        from napari_sortingloss.segment.evaluate.job import evaluate

        return evaluate(study, settings)

    return make


def compare_job(study: Study, volume: str, first: str, second: str) -> MakeJob:
    """Return what makes the job that compares two predictions."""
    return lambda: compare(study, volume, first, second)


class PredictActions:
    """The verbs of the buttons below the run.

    Parameters
    ----------
    stage : SegmentWidget
        Held weakly; it owns this object.

    Attributes
    ----------
    run : str
        The run that predicts just now.
    at_work : str
        The volume it is at.
    told : set of tuple of str
        The volumes and runs whose unfinished predictions a person knows of.
    """

    def __init__(self, stage: SegmentWidget) -> None:
        self._weak = weakref.ref(stage)
        self.run = ""
        self.at_work = ""
        self.told: set[tuple[str, str]] = set()
        self._study: Study | None = None
        self._asked: PredictSettings | None = None
        self._grown = 0.0

    @property
    def _stage(self) -> SegmentWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    @property
    def job(self) -> Job | None:
        """The job that predicts, at work or waiting."""
        return self._stage.session.jobs.find(PREDICT)

    @property
    def busy_run(self) -> str:
        """The run whose prediction of the volume in view is being made; empty when none is."""
        stage = self._stage
        if self.job is None or self._study is not stage.session.study:
            return ""
        return self.run if self.at_work == stage.session.current_volume else ""

    # -------------------------------------------------------------------------------------------------- predicting
    def predict_or_stop(self) -> None:
        """The Predict button."""
        job = self.job
        if job is not None:
            job.cancel()
        else:
            self.predict()

    def predict(self, run: str = "") -> None:
        """Predict the chosen volumes with a run, the one in view unless another is named."""
        stage = self._stage
        run, names = run or stage.weights_of, stage.choice.volumes()
        if not run or not names:
            return
        from napari_sortingloss.segment.predict.settings import PredictSettings

        settings = PredictSettings(
            run=run,
            volumes=names,
            axes=stage.choice.axes,
            uncertainty=stage.choice.uncertainty,
            every_pose=stage.choice.every_pose,
            labels="overlap" if stage.choice.overlap else "likeliest",
            first=self._first(names, stage.choice.axes),
        )
        begun = [look for name in names if (look := self._begun_otherwise(name, settings)) is not None]
        answer = self._ask_about(begun, len(names)) if begun else "anew"
        if answer == "go on":
            self.go_on(run)
        elif answer == "others":
            left = tuple(name for name in names if name not in {look.volume for look in begun})
            self.begin(settings.replace(volumes=left))
        elif answer == "anew":
            self.begin(settings)

    def go_on(self, run: str) -> None:
        """Go on with what a run has begun to predict of the volume in view, in the way that it was begun."""
        stage = self._stage
        look = stage.panel.predictions.look(run)
        part = look.unfinished if look is not None else None
        if part is None or part.value is None:
            return
        from napari_sortingloss.segment.predict.settings import PredictSettings

        found = part.value
        how: Any = {name: found.settings[name] for name in OWN_WAY if name in found.settings}
        self.begin(
            PredictSettings(
                run=run,
                volumes=(part.volume,),
                axes=found.axes,  # type: ignore[arg-type]
                uncertainty=found.has_uncertainty,
                first=self._first((part.volume,), found.axes),
                **how,
            )
        )

    def begin(self, settings: PredictSettings) -> None:
        """Queue the job."""
        stage, study = self._stage, self._stage.session.study
        if study is None or not settings.volumes:
            return
        names = settings.volumes
        stage.bar.begin(PREDICT)
        title = f"Predicting {names[0] if len(names) == 1 else wording.count(len(names), 'volume')}"
        job = stage.session.jobs.submit(title, predict_job(study, settings), PREDICT, (study, settings))
        self._adopt(job)
        stage.shown.expect(settings.run)
        stage.update_buttons()

    def adopt(self) -> None:
        """Follow the job that was begun before the panel was opened, if there is one."""
        if self.job is not None:
            self._adopt(self.job)

    def _adopt(self, job: Job) -> None:
        stage = self._stage
        self._study, settings = job.about
        self.run, self.at_work, self._grown, self._asked = settings.run, "", 0.0, settings
        self.told |= {(volume, settings.run) for volume in settings.volumes}
        stage.watch(job, self._on_predicted)
        stage.follow(job.signals.event, self._on_event)
        stage.follow(job.signals.cancelled, self._on_cancelled)
        stage.follow(job.signals.ended, self._on_ended)

    def say_cut_off(self) -> None:
        """Say once that a prediction of the volume in view was cut off, with a way to go on."""
        stage = self._stage
        if self.job is not None or stage.bar.has_error:
            return
        for look in stage.predictions():
            part = look.unfinished
            if part is None or part.alive or (look.volume, look.run) in self.told:
                continue
            self.told.add((look.volume, look.run))
            weak, run = weakref.ref(self), look.run

            def go_on(weak: Any = weak, run: str = run) -> None:
                mine = weak()
                if mine is not None:
                    mine.go_on(run)

            text = f"{look.volume}: the prediction by {run} was {said_unfinished(part)}."
            text += " The finished one stays until it is replaced." if look.complete else ""
            stage.bar.show_message("warning", text, "Go on ▸", go_on)
            return

    def _begun_otherwise(self, volume: str, settings: PredictSettings) -> PredictedLook | None:
        """Return what the run has begun of a volume in another way than these settings: it would be dropped."""
        stage = self._stage
        look = stage.session.predictions.get(volume, {}).get(settings.run)
        part = look.unfinished if look is not None else None
        if part is None or part.value is None or part.alive or not part.share:
            return None
        found = part.value
        axes = settings.axes or stage.session.volumes[volume].axis
        same = (found.axes, found.has_uncertainty) == (axes, settings.uncertainty) and all(
            found.settings.get(name, getattr(settings, name)) == getattr(settings, name) for name in OWN_WAY
        )
        return None if same else part

    def _ask_about(
        self, begun: Sequence[PredictedLook], asked: int
    ) -> Literal["go on", "others", "anew", "cancel"]:
        """Ask what is to become of predictions that were begun in another way and cut off."""
        first, role = begun[0], QMessageBox.ButtonRole
        box = QMessageBox(self._stage)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Predict")
        if asked == 1:
            box.setText(
                f"A prediction of {first.volume} was {said_unfinished(first)}. To predict it in another way drops that."
            )
            kept = box.addButton("Go on with it", role.AcceptRole)
        else:
            names = ", ".join(look.volume for look in begun[:3]) + ("…" if len(begun) > 3 else "")
            box.setText(
                f"Predictions of {names} were begun in another way and cut off. To begin anew drops what is there."
            )
            kept = box.addButton("Only the others", role.AcceptRole) if asked > len(begun) else None
        anew = box.addButton("Begin anew", role.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(kept)
        box.exec()
        clicked = box.clickedButton()
        box.deleteLater()
        if kept is not None and clicked is kept:
            return "go on" if asked == 1 else "others"
        return "anew" if clicked is anew else "cancel"

    def _first(self, names: tuple[str, ...], axes: str) -> int | None:
        """Return the slice in view, around which the result begins to grow, if slices are predicted across that axis."""
        stage, at = self._stage, self._stage.slice_in_view()
        if at is None or names != (at.volume,):
            return None
        axis = (axes or stage.session.volumes[at.volume].axis)[0]
        return at.index if at.axis == axis else None

    def _on_event(self, event: object) -> None:
        if not isinstance(event, Progress):
            return
        stage = self._stage
        name = event.what.partition(":")[0].partition(",")[0]
        if name in stage.session.volumes and name != self.at_work:
            self.at_work = name
            stage.session.refresh()
        moment = time.monotonic()
        if self.at_work and moment - self._grown >= GROW_SECONDS:
            self._grown = moment
            stage.shown.grow(self.at_work, self.run)

    def _on_predicted(self, result: dict[str, Any]) -> None:
        stage, made = self._stage, result.get("volumes", [])
        kept = [v["name"] for v in made if v.get("kept")]
        done = [v for v in made if not v.get("kept")]
        for volume in made:
            stage.shown.finish(volume["name"], result["run"])
        if not done and kept:
            along = " + ".join(made[0]["axes"])
            text = (
                f"{', '.join(kept[:3])}: these weights had predicted it along {along} already; nothing to do. Other ways to "
                "predict it are behind the arrow."
            )
            stage.bar.show_message("notice", text)
            return
        seconds = sum(v["seconds"] for v in done)
        what = done[0]["name"] if len(done) == 1 else wording.count(len(done), "volume")
        took = wording.duration(seconds).removeprefix("about ")
        text = (
            f"{what} predicted in {took}. Go through it: where a slice is wrong, take it over and repair it."
        )
        about = done[0]["name"] if len(done) == 1 else ""
        stage.bar.show_message("success", text, "Correct this slice ▸", stage.correct_slice, about=about)

    def _on_cancelled(self) -> None:
        stage = self._stage
        stage.bar.show_message(
            "notice",
            "Stopped. What was predicted is kept, and it can go on from there.",
            "Go on ▸",
            self._resume,
        )

    def _resume(self) -> None:
        if self._asked is not None:
            self.begin(self._asked)

    def _on_ended(self) -> None:
        stage, volume, run = self._stage, self.at_work, self.run
        self.at_work = ""
        if volume:
            stage.shown.grow(volume, run)
        stage.session.refresh()
        stage.update_buttons()

    # -------------------------------------------------------------------------------------------------- evaluating
    def evaluate(self) -> None:
        """Score the run in view against the references there are."""
        stage, study, run = self._stage, self._stage.session.study, self._stage.weights_of
        names = stage.to_judge()
        if study is None or not run or not names:
            return
        from napari_sortingloss.segment.evaluate.job import EvaluateSettings

        stage.bar.begin(EVALUATE)
        settings = EvaluateSettings(run=run, volumes=names, unseen_only=True)
        job = stage.session.jobs.submit(
            f"Evaluating {stage.session.run_title(run)}", evaluate_job(study, settings), EVALUATE
        )
        stage.follow(job.signals.failed, stage.bar.show_error)
        stage.follow(job.signals.finished, self._on_evaluated)
        stage.follow(job.signals.ended, stage.update_buttons)
        stage.update_buttons()

    def _on_evaluated(self, result: dict[str, Any]) -> None:
        stage = self._stage
        stage.session.refresh()
        stage.read_scores()
        score = result.get("mean_iou")
        volumes = wording.count(len(result.get("volumes", [])), "volume")
        said = "–" if score is None else f"{score:.2f}"
        stage.bar.show_message("success", f"Against the references of {volumes}: mean IoU {said}.")

    # --------------------------------------------------------------------------------------------------- comparing
    def compare_menu(self) -> QMenu:
        """Return the menu of the Compare button: the other predictions of the volume in view."""
        stage = self._stage
        menu = QMenu(stage)
        menu.setToolTipsVisible(True)
        chosen = stage.panel.predictions.current()
        for look in stage.finished_predictions():
            if look.run == chosen:
                continue
            title = stage.session.run_title
            entry = menu.addAction(f"{title(chosen)}  with  {title(look.run)}")
            entry.triggered.connect(lambda *_, other=look.run: self.compare(chosen, other))
        shown = stage.shown.layers.shown(*stage.of_volume, DIFFERENCE) if stage.of_volume is not None else []
        if shown:
            menu.addSeparator()
            menu.addAction("Hide the difference").triggered.connect(lambda *_: stage.shown.hide_differences())
        return menu

    def compare(self, first: str, second: str) -> None:
        """Show where two predictions of the volume in view differ, and count how far they agree."""
        stage, study, volume = self._stage, self._stage.session.study, self._stage.session.current_volume
        if study is None or volume is None:
            return
        stage.bar.begin(COMPARE)
        stage.shown.difference(first, second)
        title = f"Comparing two predictions of {volume}"
        job = stage.session.jobs.submit(title, compare_job(study, volume, first, second), COMPARE)
        stage.follow(job.signals.failed, stage.bar.show_error)
        stage.follow(job.signals.finished, self._on_compared)
        stage.follow(job.signals.ended, stage.update_buttons)
        stage.update_buttons()

    def _on_compared(self, result: dict[str, Any]) -> None:
        self._stage.panel.show_agreement(result)
        first, second = result["runs"]
        text = (
            f"{result['volume']}: {first} and {second} differ in {100 * result['differ']:.2g} % of the voxels "
            "(magenta in the viewer)."
        )
        self._stage.bar.show_message("success", text, about=result["volume"])

    # --------------------------------------------------------------------------------------------------- exporting
    def export(self, what: str, source: str = "prediction", run: str = "") -> None:
        """Ask for a file and write labels or surfaces of the volume in view to it.

        Parameters
        ----------
        what : {"labels", "mesh"}
        source : {"prediction", "annotations"}
        run : str
            Whose prediction; the chosen one if not given.
        """
        stage, study, volume = self._stage, self._stage.session.study, self._stage.session.current_volume
        if source == "prediction":
            run = run or stage.panel.predictions.current()
        if study is None or volume is None:
            return
        path = dialogs.choose_label_export(stage, f"{volume}_{'labels' if run else 'annotations'}", what)
        if path is None:
            return
        title = f"Exporting {what} of {volume}"
        export(stage, study, title, path, volume=volume, what=what, source=source, run=run or None)

    # ---------------------------------------------------------------------------------------------------- deleting
    def delete(self, run: str) -> None:
        """Ask, then delete what a run predicted of the volume in view."""
        stage, study, volume = self._stage, self._stage.session.study, self._stage.session.current_volume
        look = stage.panel.predictions.look(run)
        if study is None or volume is None or look is None:
            return
        if not self._confirm(
            f"Delete what {stage.session.run_title(run)} predicted of {volume}? It can be predicted again."
        ):
            return
        stage.shown.forget(volume, run)
        part = look.unfinished

        def work() -> None:
            if part is not None:
                remove_growing(study, volume, run)
            if part is not look:
                remove_prediction(study, volume, run)

        stage.background.run(work, lambda _: stage.session.refresh())

    def drop(self, run: str) -> None:
        """Ask, then drop what a run has begun of the volume in view; its finished prediction stays."""
        stage, study, volume = self._stage, self._stage.session.study, self._stage.session.current_volume
        look = stage.panel.predictions.look(run)
        part = look.unfinished if look is not None else None
        if study is None or volume is None or part is None:
            return
        question = (
            f"Drop what was {said_unfinished(part)}? The finished prediction of {volume} by {run} stays."
        )
        if self._confirm(question):
            stage.background.run(
                lambda: remove_growing(study, volume, run), lambda _: stage.session.refresh()
            )

    def _confirm(self, question: str) -> bool:
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.Cancel
        return QMessageBox.question(self._stage, "SortingLoss", question, yes | no, no) == yes
