"""From chosen files to volumes of a study: look into them, offer them, make a study if none is open, add, show the first."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss import wording
from napari_sortingloss.errors import NeedsOption, UserError
from napari_sortingloss.events import Event, Notice
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.widgets.study.previews import Candidate, Found, find_candidates, layer_candidate
from napari_sortingloss.widgets.study.read_options_dialog import ReadingDialog
from napari_sortingloss.widgets.viewer import layers

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.exchange.add_settings import AddSettings
    from napari_sortingloss.widgets.session.jobs import Job
    from napari_sortingloss.widgets.study.stage import StudyWidget

ADD = "add"
"""The kind of the job."""


class Adding:
    """What the Study stage does with files and layers that are to become volumes.

    Parameters
    ----------
    stage : StudyWidget
        Held weakly; it owns this object.

    Attributes
    ----------
    making : bool
        A study is being made for the chosen files.
    """

    def __init__(self, stage: StudyWidget) -> None:
        self._weak = weakref.ref(stage)
        self.making = False
        self._before: frozenset[str] | None = None  # the volumes before a job that has added none yet
        self._first = ""  # a volume to show as soon as the session knows of it

    @property
    def _stage(self) -> StudyWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    # ----------------------------------------------------------------------------------------------------- choosing
    def choose(self, paths: Sequence[Path], reading: ReadOptions | None = None) -> None:
        """Look into files and folders and put them into the batch that is about to be added.

        Parameters
        ----------
        paths : sequence of Path
        reading : ReadOptions or None
            How to read them, and all other files of the batch: these are looked into again. None: like those.
        """
        if not paths:
            return
        stage = self._stage
        panel = stage.import_panel
        again = reading is not None and reading != panel.reading()
        every = [*panel.paths(), *paths] if again else list(paths)
        options = reading if reading is not None else panel.reading()
        stage.bar.begin(ADD)
        stage.bar.show_message("notice", f"Looking into {_named(paths)}…", "Cancel", self.stop_looking)
        stage.background.run(
            partial(find_candidates, every, options),
            lambda found: self._take(paths, options, again, found),
            topic="candidates",
        )

    def choose_layer(self, layer: Any) -> None:
        """Put an open layer into the batch."""
        stage = self._stage
        stage.bar.begin(ADD)
        try:
            found = layers.read_layer(layer)
        except UserError as error:
            stage.bar.show_error(error)
            return
        if not self._offer([layer_candidate(found)]):
            stage.bar.show_message("notice", f"'{found.name}' was chosen already.")

    def stop_looking(self) -> None:
        """Forget the files that are being looked into."""
        self._stage.background.drop("candidates")
        self._stage.bar.begin(ADD)

    def discard(self) -> None:
        """Forget the batch, and what was chosen for it."""
        self.stop_looking()
        self._stage.import_panel.forget()
        self._stage.arrange()

    def _take(self, paths: Sequence[Path], options: ReadOptions, again: bool, found: Found) -> None:
        stage = self._stage
        stage.bar.begin(ADD)
        if found.studies and not found.candidates and not found.problems:
            stage.open_path(found.studies[0])
            return
        stage.import_panel.set_reading(options)
        if again:
            stage.import_panel.replace_files(found.candidates)
            self._offer([])
        elif found.candidates and not self._offer(found.candidates):
            stage.bar.show_message("notice", "These were chosen already.")
        if found.problems or found.studies:
            self._report_left_out(found)

    def _offer(self, candidates: Sequence[Candidate]) -> int:
        """Put candidates into the batch; return how many were not in it yet."""
        stage = self._stage
        new = stage.import_panel.add_candidates(candidates)
        if stage.session.study is None and stage.import_panel.candidates:
            stage.import_panel.new_study.propose_for(stage.import_panel.paths())
        stage.arrange()
        return new

    def _report_left_out(self, found: Found) -> None:
        """Name what cannot be added and say why; offer to say how to read it where that is what lacks."""
        bar, weak = self._stage.bar, weakref.ref(self)
        errors = [error for _, error in found.problems]
        lacking = [(path, error) for path, error in found.problems if isinstance(error, NeedsOption)]

        def say_how() -> None:
            mine = weak()
            if mine is not None:
                mine.say_how_to_read([path for path, _ in lacking], lacking[0][1])

        link, action = ("Say how to read it…", say_how) if lacking else ("", None)
        if len(errors) == 1 and not found.candidates and not found.studies:
            bar.show_error(errors[0], link, action)
            return
        said = [f"Left out: {errors[0]}"] if len(errors) == 1 else []
        if len(errors) > 1:
            names = ", ".join(path.name for path, _ in found.problems)
            said = [f"{len(errors)} cannot be read and are left out: {names}."]
        said += [f"'{path.name}' is a study: open it by itself." for path in found.studies]
        details = "\n".join(map(str, errors)) if len(errors) > 1 else ""
        level = "warning" if found.candidates else "error"
        bar.show_message(level, " ".join(said), link, action, details=details)

    def say_how_to_read(self, paths: Sequence[Path], error: UserError) -> ReadingDialog:
        """Ask for what files do not say themselves, then look into them again."""
        stage, weak = self._stage, self._weak
        panel = stage.import_panel
        dialog = ReadingDialog(paths, error, panel.reading(), stage, others=len(panel.paths()))

        def again(options: ReadOptions) -> None:
            there = weak()
            if there is not None:
                there.choose(paths, options)

        dialog.chosen.connect(again)
        dialog.show()
        return dialog

    # ------------------------------------------------------------------------------------------------------- adding
    def add(self) -> None:
        """Add the batch to the open study, or make one for it first."""
        stage = self._stage
        panel = stage.import_panel
        if stage.session.study is not None or panel.error() is not None:
            self._submit()
        elif panel.new_study.place is not None and not self.making:
            self.making = True
            stage.arrange()
            weak = weakref.ref(self)

            def made() -> None:
                mine = weak()
                if mine is not None:
                    mine.making = False
                    mine._submit()

            stage.open_path(panel.new_study.place.folder, create=True, then=made)

    def on_failed(self) -> None:
        """Take note that no study could be made."""
        if self.making:
            self.making = False
            self._stage.arrange()

    def _submit(self) -> None:
        stage = self._stage
        panel, study, error = stage.import_panel, stage.session.study, stage.import_panel.error()
        if error is not None:
            stage.bar.show_error(error)
            return
        assert study is not None
        chosen, settings, windows = list(panel.candidates), panel.settings(), panel.windows()
        title = f"Adding {wording.count(len(chosen), 'volume')}"
        self._follow(stage.session.jobs.submit(title, lambda: _add(study, chosen, settings, windows), ADD))
        self.discard()

    def adopt(self) -> None:
        """Follow the job that was begun before the panel was opened, if there is one."""
        job = self._stage.session.jobs.find(ADD)
        if job is not None:
            self._follow(job)

    def _follow(self, job: Job) -> None:
        stage, weak = self._stage, weakref.ref(self)
        notices: list[Notice] = []

        def listen(event: Event) -> None:
            if isinstance(event, Notice):
                notices.append(event)

        def begin() -> None:
            mine = weak()
            if mine is not None:
                mine._before = frozenset(mine._stage.session.volumes)

        def end(*_: object) -> None:
            mine = weak()
            if mine is not None:
                mine._before = None

        def fail(_: object) -> None:
            mine = weak()
            if mine is not None:
                mine._all_failed([one.message for one in notices if one.level == "warning"])

        def finish(result: dict[str, Any]) -> None:
            mine = weak()
            if mine is not None:
                mine.after(result, notices)

        stage.follow(job.signals.started, begin)
        stage.follow(job.signals.event, listen)
        stage.follow(job.signals.cancelled, end)
        stage.follow(job.signals.failed, end)
        stage.watch(job, finish)
        stage.follow(job.signals.failed, fail)

    def _all_failed(self, errors: Sequence[str]) -> None:
        """Name all that could not be added where the error of the job names only the first."""
        if len(errors) > 1:
            named = "; ".join(error.partition(":")[0] for error in errors)
            self._stage.bar.show_message("error", f"Nothing was added. {named}.", details="\n".join(errors))

    def after(self, result: Mapping[str, Any], notices: Sequence[Notice] = ()) -> None:
        """Say what was added, what was not, what is worth a look, and what to do next."""
        stage = self._stage
        added = tuple(volume["name"] for volume in result.get("volumes", ()))
        failed = result.get("failed", ())
        if added and self._before is not None:  # not seen yet
            self._first = added[0]
        self._before = None
        self.show_first()
        errors = [one["error"] for one in failed]
        others = [one for one in notices if one.message not in errors]
        warnings = [one.message for one in others if one.level == "warning"]
        said = [f"{wording.count(len(added), 'volume')} added."]
        if len(failed) == 1:
            said.append(f"Not added: {errors[0]}")
        elif failed:
            said.append(f"{len(failed)} could not be: {', '.join(Path(one['path']).name for one in failed)}.")
        said += warnings or ["Next: pre-train an encoder on them, or paint a slice."]
        more = [*errors, *(one.message for one in others)]
        stage.bar.show_message(
            "warning" if errors or warnings else "success",
            " ".join(said),
            "Pre-train ▸",
            stage.go_to_pretrain,
            other=("Paint a slice ▸", lambda: stage.paint(added[0])) if added else None,
            details="\n".join(more) if len(more) > 1 or set(more) - {*errors, *warnings} else "",
        )

    def show_first(self) -> None:
        """Select and show the first volume that was added, unless a person is at work elsewhere."""
        stage = self._stage
        if self._first:
            new = [self._first] if self._first in stage.session.volumes else []
        else:
            new = [
                name for name in stage.session.volumes if name not in (self._before or stage.session.volumes)
            ]
        if not new:
            return
        self._first, self._before = "", None
        stage.table.select(new[:1])
        viewer = stage.session.viewer
        if viewer is not None and (stage.in_sight or not layers.ours(viewer, "volume")):
            stage.session.show_volumes(new[:1], along_axis=stage.along.isChecked())


def _add(
    study: Study, candidates: Sequence[Candidate], settings: AddSettings, windows: Mapping[str, str]
) -> Iterator[Event]:
    """Open the layers among the candidates and import all."""
    from napari_sortingloss.study.exchange.add import add

    with ExitStack() as opened:
        sources = [opened.enter_context(c.open(settings)) for c in candidates if c.layer is not None]
        yield from add(study, settings, sources, windows)


def _named(paths: Sequence[Path]) -> str:
    return f"'{paths[0].name}'" if len(paths) == 1 else f"{len(paths)} files and folders"
