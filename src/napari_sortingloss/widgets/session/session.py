"""What all dock widgets of one viewer share: the open study, the current volume, the jobs; it knows no widget.

All methods are for the GUI thread. Whatever reads the disk runs in `Background` threads and is published by a signal.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QObject, QTimer
from qtpy.QtWidgets import QMainWindow

from napari_sortingloss.pretext.headline import Headline, headline, main_figure
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.widgets.annotated import Annotated, classes_of
from napari_sortingloss.widgets.annotated import look_at as look_at_annotations
from napari_sortingloss.widgets.localized import Localized, look_at
from napari_sortingloss.widgets.predicted import Predicted, look_at_predictions
from napari_sortingloss.widgets.session.activity import calm_spinner
from napari_sortingloss.widgets.session.jobs import Job, JobRunner
from napari_sortingloss.widgets.session.memory import Memory
from napari_sortingloss.widgets.states import VolumeState, volume_states
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer import layers
from napari_sortingloss.widgets.viewer.software_renderer import look_after_canvas

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, VolumeRecord
    from napari_sortingloss.study.classes import LabelClass

POLL_MS = 2000

REMEMBER_MS = 500
"""What is chosen in a form is written when nothing more was chosen for so long."""

ONE_BY_ONE = ("add", "crop")
"""Kinds of jobs that put one volume after another into the study, and say ``"fish_03 (3 of 6): writing"``."""


@dataclass(frozen=True)
class RunInfo:
    """A run as it was when the study folder was last looked at.

    Attributes
    ----------
    id, kind, task, state : str
        As of `napari_sortingloss.study.Run`.
    created : str
        ISO time.
    path : Path
    summary : mapping
        ``Run.summary()``: step, steps and the last metrics.
    settings : mapping
        What the run was given, as in its ``settings.json``.
    name : str
        What a person calls it; empty where it has no name.
    """

    id: str
    kind: str
    task: str
    state: str
    created: str
    path: Path
    summary: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @cached_property
    def figure(self) -> Curve | None:
        """The figure it is judged by."""
        return main_figure(self.kind, self.task, self.settings)

    def headline(self, *splits: str) -> Headline | None:
        """Return the main figure of the first of some splits that has it; validation before training if not said."""
        found = (
            headline(self.summary.get(split), self.figure) for split in splits or ("validation", "train")
        )
        return next((one for one in found if one is not None), None)

    @property
    def title(self) -> str:
        """What it is called where a person reads it: its name, or else its id."""
        return self.name or self.id


@dataclass(frozen=True)
class _Picture:
    """One look at the study folder."""

    volumes: dict[str, VolumeRecord]
    states: dict[str, VolumeState]
    runs: tuple[RunInfo, ...]
    free: int
    localized: Localized = field(default_factory=dict)
    annotated: Annotated = field(default_factory=dict)
    classes: tuple[LabelClass, ...] = ()
    predictions: Predicted = field(default_factory=dict)


class Session(QObject):
    """The state that the stages of one viewer share. Get it with `session_of`.

    Attributes
    ----------
    study : Study or None
        The open study.
    volumes : dict of str to VolumeRecord
        Its volumes when the folder was last looked at (at most two seconds ago), in order.
    states : dict of str to VolumeState
        What has been done with them.
    runs : tuple of RunInfo
        Its runs, newest first.
    localized : mapping of str to mapping of str to Look
        What each run found in each volume.
    annotated : mapping of str to AnnotatedLook
        Which slices of each volume are annotated.
    classes : tuple of LabelClass
        What is told apart, in order.
    predictions : mapping of str to mapping of str to PredictedLook
        What each run predicted of each volume, finished or growing, the newest first.
    free_bytes : int
        Free space on its disk.
    current_volume : str or None
        The volume all stages follow.
    jobs : JobRunner
        The one job queue.
    study_changed, volumes_changed, current_volume_changed, runs_changed, localized_changed, annotations_changed,
    classes_changed, stage_requested : Signal
        ``study_changed(study or None)``, ``volumes_changed()``, ``current_volume_changed(name or None)``,
        ``runs_changed()``, ``localized_changed()``, ``annotations_changed()``, ``classes_changed()``;
        likewise ``predictions_changed()``;
        ``stage_requested("Pre-train")`` asks the Workbench or the window to show a stage.
    memory_changed : psygnal.Signal
        What was chosen in the forms of this study before is known now, see `chosen`.
    ending : psygnal.Signal
        The session is shut down: write what is not written yet, now.
    failed : psygnal.Signal
        ``failed(exception)``: looking at the folder failed.
    """

    study_changed = Signal(object)
    volumes_changed = Signal()
    current_volume_changed = Signal(object)
    runs_changed = Signal()
    localized_changed = Signal()
    annotations_changed = Signal()
    classes_changed = Signal()
    predictions_changed = Signal()
    memory_changed = Signal()
    stage_requested = Signal(str)
    failed = Signal(object)
    ending = Signal()

    def __init__(self, viewer: Any = None) -> None:
        super().__init__()
        self._viewer = weakref.ref(unwrap(viewer)) if viewer is not None else (lambda: None)
        if viewer is not None:
            look_after_canvas(viewer)
        self.study: Study | None = None
        self.volumes: dict[str, VolumeRecord] = {}
        self.states: dict[str, VolumeState] = {}
        self.runs: tuple[RunInfo, ...] = ()
        self.localized: Localized = {}
        self.annotated: Annotated = {}
        self.classes: tuple[LabelClass, ...] = ()
        self.predictions: Predicted = {}
        self.free_bytes = 0
        self.current_volume: str | None = None
        self.jobs = JobRunner(self)
        self.jobs.job_ended.connect(self._on_job_ended)
        self.jobs.changed.connect(self._on_jobs)
        self._at_work = ""  # the volume that a job is putting into the study
        self._memory: Memory | None = None
        self._writing = QTimer(self)
        self._writing.setSingleShot(True)
        self._writing.setInterval(REMEMBER_MS)
        self._writing.timeout.connect(self._write)
        self._background = Background(self, error=self._fail)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._windows: weakref.WeakSet[QObject] = weakref.WeakSet()
        self._last_failure = ""
        self.closed = False
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.shutdown)

    @property
    def viewer(self) -> Any:
        """The viewer (not its public proxy), or None once it is gone."""
        return self._viewer()

    def open_path(self, path: Path, then: Callable[[], None] | None = None, *, create: bool = False) -> None:
        """Open or create a study in a background thread; `failed` tells when that cannot be done.

        Parameters
        ----------
        path : Path
            The study folder.
        then : callable or None
            Called on the GUI thread once it is open.
        create : bool
            Make a new study there instead of opening one.
        """
        from napari_sortingloss.widgets.session import recent

        def work() -> tuple[Study, _Picture, Memory]:
            from napari_sortingloss.study import Study

            study = Study.create(path) if create else Study.open(path)
            recent.remember_study(study.path)
            memory = Memory(study.path)
            memory.load(memory.read())
            return study, look(study), memory

        def done(found: tuple[Study, _Picture, Memory]) -> None:
            self._set(*found)
            if then is not None:
                then()
            self.show_current()

        self._background.run(work, done, self.failed.emit, topic="open")

    def set_study(self, study: Study | None) -> None:
        """Make an already open study the one of this session (None closes it); its volumes follow by signal."""
        self._background.drop("open")
        memory = Memory(study.path) if study is not None else None
        self._set(study, None, memory)
        if memory is not None:
            self._background.run(memory.read, lambda stages: self._recall(memory, stages))
        self.refresh()

    def chosen(self, stage: str) -> dict[str, Any]:
        """Return what a person chose in a stage of this study, in whichever window, when last it was open."""
        return self._memory.of(stage) if self._memory is not None else {}

    def remember(self, stage: str, values: Mapping[str, Any]) -> None:
        """Keep what is chosen in a stage now, so that it comes back with the study; written a little later."""
        if self._memory is not None and self._memory.put(stage, values) and not self.closed:
            self._writing.start()

    def _recall(self, memory: Memory, stages: Mapping[str, Any]) -> None:
        memory.load(stages)
        if memory is self._memory:
            self.memory_changed.emit()

    def _write(self) -> None:
        self._writing.stop()
        if self._memory is not None:
            self._background.run(self._memory.write)

    def set_current_volume(self, name: str | None) -> None:
        """Choose the volume that all stages follow."""
        if name != self.current_volume:
            self.current_volume = name
            self.current_volume_changed.emit(name)

    def show_volumes(self, names: Sequence[str], *, along_axis: bool = True, into_view: bool = True) -> None:
        """Show volumes in the viewer, and no others of ours; see `layers.show`."""
        study = self.study
        if study is None or not names or self.viewer is None:
            return

        def take(plans: list[layers.LayerPlan]) -> None:
            if self.viewer is not None and study is self.study and not self.closed:
                layers.show(self.viewer, plans, along_axis=along_axis, into_view=into_view)

        self._background.run(
            lambda: [layers.plan(study.volume(name)) for name in names], take, self.failed.emit, topic="show"
        )

    def show_current(self) -> None:
        """Show the current volume in the viewer, unless it is there."""
        if self.study is None or self.current_volume is None or self.viewer is None:
            return
        mark = {"study": str(self.study.path), "volume": self.current_volume, "content": "volume"}
        layer = layers.find(self.viewer, mark)
        if layer is None or not layer.visible:
            self.show_volumes((self.current_volume,))

    def show_stage(self, title: str) -> None:
        """Bring a stage to the front: its tab in the Workbench, or else a dock of its own."""
        if len(self.stage_requested):
            self.stage_requested.emit(title)
        elif self.viewer is not None and hasattr(self.viewer, "window"):
            self.viewer.window.add_plugin_dock_widget("napari-sortingloss", title, tabify=True)

    def run_title(self, run: str) -> str:
        """Return what a run is called where a person reads it: its name, or else its id."""
        return next((info.title for info in self.runs if info.id == run), run)

    def refresh(self) -> None:
        """Look at the study folder in a background thread and tell what changed there, by whomever."""
        study = self.study
        if study is None or self.closed:
            return
        self._background.run(lambda: look(study), lambda picture: self._take(study, picture), topic="look")

    def _poll(self) -> None:
        """Look again, unless the last look is still under way: it would be overtaken, and a slow disk never seen."""
        if not self._background.busy:
            self.refresh()

    def attach_window(self, window: QObject) -> None:
        """End all jobs when this window goes."""
        if window not in self._windows:
            self._windows.add(window)
            if isinstance(window, QMainWindow):
                calm_spinner(window)
            window.destroyed.connect(self.shutdown)

    def shutdown(self, *_: object) -> None:
        """Cancel all jobs, wait for the clean-up of the running one, and fall silent. Harmless when repeated."""
        if self.closed:
            return
        self.closed = True
        self._timer.stop()
        self.ending.emit()
        if self._memory is not None:
            self._memory.write()
        self.jobs.shutdown()

    def _fail(self, error: BaseException) -> None:
        """Tell of a failure once, not every two seconds."""
        if str(error) != self._last_failure:
            self._last_failure = str(error)
            self.failed.emit(error)

    def _on_jobs(self) -> None:
        """Look again as soon as a job turns to the next volume: the one before is in the study."""
        job = self.jobs.running
        if job is None or job.kind not in ONE_BY_ONE or job.progress is None:
            return
        before, self._at_work = self._at_work, job.progress.what.partition(":")[0]
        if self._at_work != before:
            self.refresh()

    def _on_job_ended(self, job: Job) -> None:
        self.refresh()

    def _set(self, study: Study | None, picture: _Picture | None, memory: Memory | None) -> None:
        self._write()
        self.study, self._memory = study, memory
        self._background.drop("look")
        self._background.drop("show")
        if self.viewer is not None:
            layers.leave_other_studies(self.viewer, str(study.path) if study is not None else "")
        if study is None:
            self._timer.stop()
        elif not self.closed:
            self._timer.start()
        empty = _Picture({}, {}, (), 0)
        self._adopt(picture or empty)
        self.current_volume = next(iter(self.volumes), None)
        self.study_changed.emit(study)
        self.volumes_changed.emit()
        self.runs_changed.emit()
        self.localized_changed.emit()
        self.classes_changed.emit()
        self.annotations_changed.emit()
        self.predictions_changed.emit()
        self.current_volume_changed.emit(self.current_volume)

    def _adopt(self, picture: _Picture) -> None:
        self.volumes, self.states = picture.volumes, picture.states
        self.runs, self.free_bytes = picture.runs, picture.free
        self.localized, self.annotated, self.classes = picture.localized, picture.annotated, picture.classes
        self.predictions = picture.predictions

    def _take(self, study: Study, picture: _Picture) -> None:
        if study is not self.study:
            return
        self._last_failure = ""
        volumes = (self.volumes, self.states) != (picture.volumes, picture.states)
        runs, localized = self.runs != picture.runs, self.localized != picture.localized
        annotated, classes = self.annotated != picture.annotated, self.classes != picture.classes
        predictions = self.predictions != picture.predictions
        self._adopt(picture)
        if volumes:
            self.volumes_changed.emit()
        if runs:
            self.runs_changed.emit()
        if localized:
            self.localized_changed.emit()
        if classes:
            self.classes_changed.emit()
        if annotated:
            self.annotations_changed.emit()
        if predictions:
            self.predictions_changed.emit()
        if self.current_volume not in self.volumes:
            self.set_current_volume(next(iter(self.volumes), None))


def look(study: Study) -> _Picture:
    """Read everything the stages show of a study folder. Not for the GUI thread."""
    volumes = dict(study.volumes)
    runs = study.runs()
    infos = tuple(
        RunInfo(
            id=run.id,
            kind=run.kind,
            task=run.task,
            state=run.state(),
            created=str(run.created),
            path=run.path,
            summary=run.summary(),
            settings=run.settings,
            name=run.name,
        )
        for run in runs
    )
    localized = look_at(study, volumes)
    annotated = look_at_annotations(study, volumes)
    states = volume_states(study, volumes, runs, localized, annotated)
    return _Picture(
        volumes,
        states,
        infos,
        study.free_bytes(),
        localized,
        annotated,
        classes_of(study),
        look_at_predictions(study, volumes),
    )


_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, made when first asked for.

    Parameters
    ----------
    viewer : napari.Viewer, napari.components.ViewerModel or napari's public proxy of one
    """
    viewer = unwrap(viewer)
    found = _sessions.get(viewer)
    if found is None or found.closed:
        found = _sessions[viewer] = Session(viewer)
    return found
