"""What the Localize stage starts: the search for the specimen, the crop of what was accepted, the export; all as jobs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtWidgets import QMenu, QMessageBox

from napari_sortingloss import wording
from napari_sortingloss.events import Event, Progress
from napari_sortingloss.widgets.exporting import export
from napari_sortingloss.widgets.runs.training_jobs import leave_a_core
from napari_sortingloss.widgets.session.jobs import Job
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.toolkit.gentle_import import import_gently

if TYPE_CHECKING:
    from napari_sortingloss.localize.settings import LocalizeSettings
    from napari_sortingloss.study import Study
    from napari_sortingloss.widgets.localize.stage import LocalizeWidget

LOCALIZE, CROP = "localize", "crop"
Export = Literal["crop", "uncertainty"]
Make = Callable[[], Iterator[Event]]


def localize_job(study: Study, settings: LocalizeSettings) -> Make:
    """Return what makes the job that looks for the specimen; it leaves one core to the viewer."""

    def make() -> Iterator[Event]:
        import_gently("napari_sortingloss.localize.job")
        from napari_sortingloss.localize.job import localize

        return localize(study, leave_a_core(settings))  # type: ignore[arg-type]

    return make


def crop_job(study: Study, names: Sequence[str], run: str) -> Make:
    """Return what makes the job that cuts volumes to the boxes a run found."""

    def make() -> Iterator[Event]:
        from napari_sortingloss.study.crops.job import CropSettings, crop

        return crop(study, CropSettings(volumes=tuple(names), run=run))

    return make


class LocalizeActions:
    """The verbs of the buttons at the bottom.

    Parameters
    ----------
    stage : LocalizeWidget
        Held weakly; it owns this object.

    Attributes
    ----------
    at_work : str
        The volume the job is looking at.
    asked : tuple of str
        The volumes it is to look at.
    """

    def __init__(self, stage: LocalizeWidget) -> None:
        self._weak = weakref.ref(stage)
        self.at_work = ""
        self.asked: tuple[str, ...] = ()
        self._run = ""
        self._study: Study | None = None

    @property
    def _stage(self) -> LocalizeWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    @property
    def job(self) -> Job | None:
        """The job that looks for the specimen, at work or waiting."""
        return self._stage.session.jobs.find(LOCALIZE)

    def status_of(self, name: str) -> Literal["", "working", "waiting"]:
        """Return what the job is about to do with a volume, for the run and study in view."""
        stage = self._stage
        if self.job is None or self._study is not stage.session.study or self._run != stage.form.run_id:
            return ""
        if name == self.at_work:
            return "working"
        at = self.asked.index(self.at_work) if self.at_work in self.asked else -1
        if name in self.asked[: max(at, 0)] and name not in stage.localized_names:
            return "working"  # done, and on disk in a moment
        return "waiting" if name in self.asked[at + 1 :] else ""

    # ------------------------------------------------------------------------------------------------- localising
    def start_or_stop(self) -> None:
        """The primary button."""
        job = self.job
        if job is not None:
            job.cancel()
        else:
            self.start()

    def start(self) -> None:
        """Look for the specimen in the chosen volumes; what a person has already checked is asked about first."""
        stage, study = self._stage, self._stage.session.study
        problem = stage.form.problem()
        if study is None or problem:
            return
        settings = stage.form.settings()
        stage.form.choose_run(settings.run)  # no better one takes its place any more
        checked = [name for name in settings.volumes if stage.is_touched(name)]
        if checked:
            answer = ask_about(stage, checked, len(settings.volumes) - len(checked))
            if answer == "cancel":
                return
            if answer == "others":
                settings = settings.replace(volumes=tuple(n for n in settings.volumes if n not in checked))
            else:
                settings = settings.replace(again=True)
        self.begin(settings)

    def begin(self, settings: LocalizeSettings) -> None:
        """Queue the job."""
        stage, study = self._stage, self._stage.session.study
        assert study is not None
        stage.review.keeper.write_soon()
        names = settings.volumes
        title = f"Localizing {names[0] if len(names) == 1 else wording.count(len(names), 'volume')}"
        make = localize_job(study, settings)
        stage.bar.begin(LOCALIZE)
        self._adopt(stage.session.jobs.submit(title, make, LOCALIZE, (study, settings)))
        stage.refresh()

    def adopt(self) -> None:
        """Follow the job that was begun before the panel was opened, if there is one."""
        if self.job is not None:
            self._adopt(self.job)

    def _adopt(self, job: Job) -> None:
        stage = self._stage
        self._study, settings = job.about
        self._run, self.asked, self.at_work = settings.run, settings.volumes, ""
        stage.watch(job, self._on_localized)
        stage.follow(job.signals.event, self._on_event)
        stage.follow(job.signals.cancelled, self._on_cancelled)
        stage.follow(job.signals.ended, self._on_ended)

    def _on_event(self, event: object) -> None:
        if not isinstance(event, Progress):
            return
        name = next((name for name in self.asked if event.what.startswith((f"{name}:", f"{name} "))), "")
        if event.what in self.asked:
            name = event.what
        if name and name != self.at_work:
            first, self.at_work = not self.at_work, name
            stage = self._stage
            stage.refresh()
            if not first:  # the one before is on disk
                stage.session.refresh()

    def _on_localized(self, result: dict[str, Any]) -> None:
        stage, found = self._stage, result.get("volumes", [])
        empty = [v["name"] for v in found if not v["kept_fraction"]]
        warned = [v["name"] for v in found if v["warnings"]]
        stage.expect([v["name"] for v in found])
        if empty or warned:
            names = ", ".join(dict.fromkeys([*empty, *warned]))
            stage.bar.show_message("warning", f"Localized, but look closely at {names}: see below the box.")
        elif found:
            removed = sum(v["removed_fraction"] for v in found) / len(found)
            text = (
                f"{wording.count(len(found), 'volume')} localized; the boxes leave out {100 * removed:.0f} % on average. "
                "Check them: ↓ goes on, Enter accepts, S skips."
            )
            stage.bar.show_message("success", text)

    def _on_cancelled(self) -> None:
        self._stage.bar.show_message("notice", "Stopped. What was found before is kept.")

    def _on_ended(self) -> None:
        self.at_work, self.asked = "", ()
        self._stage.refresh()

    # ------------------------------------------------------------------------------------------ cropping, exporting
    def crop(self) -> None:
        """Cut the accepted volumes that are not cut yet."""
        stage, study = self._stage, self._stage.session.study
        names = stage.to_crop()
        if study is None or not names:
            return
        run = stage.form.run_id
        self._after_saving(lambda: self._submit_crop(study, names, run))

    def _submit_crop(self, study: Study, names: Sequence[str], run: str) -> None:
        stage = self._stage
        title = f"Cropping {names[0] if len(names) == 1 else wording.count(len(names), 'volume')}"
        stage.submit(title, crop_job(study, names, run), CROP, self._on_cropped)

    def _on_cropped(self, result: dict[str, Any]) -> None:
        stage, made = self._stage, result.get("volumes", [])
        names = ", ".join(v["name"] for v in made[:3]) + ("…" if len(made) > 3 else ".")
        stage.bar.show_message(
            "success",
            f"{wording.count(len(made), 'crop')} made: {names} They lie where they were cut from; paint a few slices of them "
            "or export them next.",
            "Annotate ▸",
            lambda: self._annotate(made[0]["name"]),
        )

    def _annotate(self, name: str) -> None:
        self._stage.session.set_current_volume(name)
        self._stage.go_to("Annotate")

    def export_menu(self) -> QMenu:
        """Return the menu of the Export button."""
        stage = self._stage
        menu = QMenu(stage)
        name = stage.review.name
        for text, what, why in (
            (f"&Crop of {name}…", "crop", stage.why_no_export("crop")),
            (f"&Uncertainty of {name}…", "uncertainty", stage.why_no_export("uncertainty")),
        ):
            entry = menu.addAction(text)
            entry.setEnabled(not why)
            entry.setToolTip(why)
            entry.triggered.connect(lambda *_, what=what: self.export(what))
        menu.setToolTipsVisible(True)
        return menu

    def export(self, what: Export) -> None:
        """Ask for a file and write the crop or the uncertainty of the volume in view to it."""
        stage, study, name = self._stage, self._stage.session.study, self._stage.review.name
        if study is None or stage.why_no_export(what):
            return
        path = dialogs.choose_export(stage, f"{name}_{what}")
        if path is None:
            return
        run = stage.form.run_id
        self._after_saving(lambda: self._submit_export(study, name, run, what, path))

    def _submit_export(self, study: Study, name: str, run: str, what: Export, path: Path) -> None:
        stage = self._stage
        export(stage, study, f"Exporting the {what} of {name}", path, volume=name, run=run, what=what)

    def _after_saving(self, then: Callable[[], None]) -> None:
        """Go on once all boxes are on disk as they are shown."""
        stage = self._stage
        stage.background.run(stage.review.keeper.flush, lambda _: then())


def ask_about(
    stage: LocalizeWidget, checked: Sequence[str], others: int
) -> Literal["others", "all", "cancel"]:
    """Ask whether boxes that a person has checked or moved are to be found anew."""
    names = checked[0] if len(checked) == 1 else wording.count(len(checked), "volume")
    box = QMessageBox(stage)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Localize again")
    box.setText(f"You have already checked or adjusted the box of {names}. Localizing again replaces it.")
    role = QMessageBox.ButtonRole
    rest = box.addButton(f"Only the other {others}", role.AcceptRole) if others else None
    every = box.addButton("Replace", role.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    if rest is not None and clicked is rest:
        return "others"
    return "all" if clicked is every else "cancel"
