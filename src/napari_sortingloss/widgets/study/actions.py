"""What the Study stage does to a study: jobs and edits, all off the GUI thread, all errors into the stage's bar."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.widgets.annotate.painting import annotating_of
from napari_sortingloss.widgets.exporting import export
from napari_sortingloss.widgets.runs.training_jobs import order_job, turn_round
from napari_sortingloss.widgets.sample import sample_job
from napari_sortingloss.widgets.stage import EDIT
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.viewer import layers

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.widgets.study.stage import StudyWidget

ORDERED = 0.5
"""Spearman's rho above which the slices of a volume clearly run the right way."""


class StudyActions:
    """The verbs of the Study stage.

    Parameters
    ----------
    stage : StudyWidget
        Held weakly; it owns this object.
    """

    def __init__(self, stage: StudyWidget) -> None:
        self._weak = weakref.ref(stage)

    @property
    def _stage(self) -> StudyWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    def export(self, names: Sequence[str]) -> None:
        """Ask for a file and queue the export of a volume to it."""
        stage, study = self._stage, self._stage.session.study
        if study is None or len(names) != 1:
            return
        path = dialogs.choose_export(stage, names[0])
        if path is not None:
            self.export_to(names[0], path)

    def export_to(self, name: str, path: Path) -> None:
        """Queue the export of a volume to a file."""
        stage, study = self._stage, self._stage.session.study
        assert study is not None
        export(stage, study, f"Exporting {name}", path, volume=name)

    def flip(self, name: str) -> None:
        """Turn the direction of a volume round and, where a run found it upside down, order it again."""
        stage, study = self._stage, self._stage.session.study
        if study is None or name not in stage.session.volumes:
            return
        state = stage.session.states.get(name)
        run = state.run if state is not None else ""

        def done(_: Any) -> None:
            stage.session.refresh()
            if run:
                self._order(study, run, name)
            text = f"{name} is now counted the other way round; nothing was copied."
            stage.bar.show_message("success", text, about=name)

        stage.bar.begin(EDIT)
        stage.background.run(lambda: turn_round(study, name), done)

    def _order(self, study: Study, run: str, name: str) -> None:
        self._stage.submit(
            f"Ordering {name} again", order_job(study, run, (name,)), "order", self._on_ordered
        )

    def _on_ordered(self, result: dict[str, Any]) -> None:
        """Say what came of a flip."""
        for volume in result.get("volumes", ()):
            name, rho = volume["name"], f"(Spearman {volume['spearman']:.2f})"
            if volume["flipped"]:
                text = (
                    f"{name} is flipped, and now its slices come out in reverse {rho}: it was right before."
                )
                self._stage.bar.show_message(
                    "warning", text, "Flip back", lambda name=name: self.flip(name), about=name
                )
            elif volume["spearman"] > ORDERED:
                text = f"{name} is flipped; its slices now run the right way {rho}."
                self._stage.bar.show_message("success", text, about=name)
            else:
                text = f"{name} is flipped, but the network cannot tell which way its slices run {rho}."
                self._stage.bar.show_message("notice", text, about=name)

    def update(self, names: Sequence[str], changes: Mapping[str, Any]) -> None:
        """Change axis, direction, voxel size or unit of volumes."""
        self._edit(
            lambda study: [study.update_volume(name, **changes) for name in names], self._reshow(names)
        )

    def rename(self, old: str, new: str) -> None:
        """Rename a volume; its layer follows."""

        def done(viewer: Any, study: Study) -> None:
            layers.rename(viewer, str(study.path), old, new)
            if self._stage.session.current_volume == old:
                self._stage.session.set_current_volume(new)

        self._set_aside((old,), lambda: self._edit(lambda study: study.rename_volume(old, new), done))

    def remove(self, names: Sequence[str]) -> None:
        """Ask, then remove volumes from the study; the files they came from stay."""
        if not names or not dialogs.confirm_removal(self._stage, names):
            return

        def done(viewer: Any, study: Study) -> None:
            for name in names:
                layers.rename(viewer, str(study.path), name, None)

        self._set_aside(
            names, lambda: self._edit(lambda study: [study.remove_volume(name) for name in names], done)
        )

    def open_sample(self) -> None:
        """Make the sample study, if it is not there yet, and open it."""
        stage = self._stage
        stage.submit("Making the sample study", sample_job, "sample", stage.after_sample)

    def _reshow(self, names: Sequence[str]) -> Callable[[Any, Study], None]:
        """Bring layers that are open up to date."""

        def done(viewer: Any, study: Study) -> None:
            marks = [layer.metadata[layers.MARK] for layer in layers.ours(viewer, "volume")]
            shown = [mark["volume"] for mark in marks if mark["study"] == str(study.path)]
            if not set(shown).isdisjoint(names):
                self._stage.session.show_volumes(shown, along_axis=self._stage.along.isChecked())

        return done

    def _set_aside(self, names: Sequence[str], then: Callable[[], None]) -> None:
        """Close the annotations of these volumes first: nothing that is being painted on is renamed or removed."""
        annotating_of(self._stage.session).set_aside(names, then)

    def _edit(self, change: Callable[[Study], Any], then: Callable[[Any, Study], None]) -> None:
        stage, study = self._stage, self._stage.session.study
        if study is None:
            return

        def done(_: Any) -> None:
            if stage.session.viewer is not None:
                then(stage.session.viewer, study)
            stage.session.refresh()

        def failed(error: BaseException) -> None:
            stage.bar.show_error(error)
            stage.session.refresh()
            stage.reload_details()

        stage.bar.begin(EDIT)
        stage.background.run(lambda: change(study), done, failed)
