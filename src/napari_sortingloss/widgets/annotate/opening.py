"""Opens and closes the annotations of a viewer and changes them in a worker: the ground that `Annotating` stands on."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal
from qtpy.QtCore import QObject

from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.annotate.layer import AnnotationLayer
from napari_sortingloss.widgets.annotate.reading import Opened, Shared, close, read
from napari_sortingloss.widgets.session.session import Session
from napari_sortingloss.widgets.toolkit.serial import Serial
from napari_sortingloss.widgets.viewer import layers

if TYPE_CHECKING:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.annotations.editor import Action, AnnotationEditor
    from napari_sortingloss.study.annotations.reading import AnnotatedSlice

State = Literal["closed", "opening", "open", "looking", "hidden"]
IMPORT = "import-labels"
"""The kind of the job that works with the open editor."""
PATIENCE = 10.0
"""Seconds that closing napari waits for what is not on disk yet."""


class AnnotationDesk(QObject):
    """What is open, in which state, and the one worker that files are touched in.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    study, volume : Study, str or None
        What is open, or being opened.
    state : {"closed", "opening", "open", "looking", "hidden"}
        ``"looking"``: they can be seen, not changed (another program has them open); ``"hidden"``: the person took the
        layer away.
    editor : AnnotationEditor or None
        None unless open.
    view : AnnotationLayer or None
        What is in the viewer.
    problem : UserError or None
        Why they can only be looked at, or not be painted on just now.
    undo_text, redo_text : str
        What would be taken back, or done again; empty where there is nothing.
    pending : int
        How many actions are not safe on the disk yet.
    saved_at : float or None
        When everything was last safe there (seconds since the epoch).
    changed : psygnal.Signal
        Something about them is different: opened, closed, painted, undone, written.
    acted : psygnal.Signal
        ``acted(Action, "done", "undone" or "redone")``.
    failed : psygnal.Signal
        ``failed(error)``: something could not be done.
    noticed : psygnal.Signal
        ``noticed(text)``: something a person should know.
    shared : Shared
        What its worker and a job that uses the editor look at.
    """

    changed = Signal()
    acted = Signal(object, str)
    failed = Signal(object)
    noticed = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = weakref.ref(session)
        self.study: Study | None = None
        self.volume: str | None = None
        self.state: State = "closed"
        self.editor: AnnotationEditor | None = None
        self.view: AnnotationLayer | None = None
        self.problem: UserError | None = None
        self._retired: frozenset[int] = frozenset()
        self._waiting: list[Callable[[], None]] = []
        self.shared = Shared()
        self._serial = Serial(self, error=self._fail)
        self._slices: tuple[AnnotatedSlice, ...] = ()
        self._at_work = 0  # changes in the worker: what it holds is not asked for meanwhile
        self.undo_text = self.redo_text = ""
        self.saved_at: float | None = None
        self.pending = 0

    @property
    def session(self) -> Session:
        """The session it belongs to."""
        session = self._session()
        assert session is not None
        return session

    # --------------------------------------------------------------------------------------------- opening and closing
    @property
    def layer(self) -> Any:
        """The napari Labels layer, or None."""
        return self.view.layer if self.view is not None else None

    @property
    def writable(self) -> bool:
        """Whether they can be changed now."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why they cannot be changed now; empty if they can."""
        if self.state != "open":
            return "The annotations can only be looked at" if self.state == "looking" else "They are not open"
        return "Wait until the change under way is done" if self._at_work else ""

    @property
    def busy(self) -> bool:
        """Whether anything is being opened, changed or closed."""
        return self._serial.busy

    def open(self, volume: str, then: Callable[[], None] | None = None) -> None:
        """Show the annotations of a volume and take them for painting, closing those of another one.

        Parameters
        ----------
        volume : str
        then : callable or None
            Called once they are open; not if they cannot be.
        """
        study = self.session.study
        if study is None or self.session.closed:
            return
        if self.study is study and self.volume == volume and self.state in ("opening", "open", "looking"):
            if then is not None and self.state == "opening":
                self._waiting.append(then)
            elif then is not None and self.state == "open":
                then()
            return
        self.close()
        self.study, self.volume, self.state = study, volume, "opening"
        self._waiting = [then] if then is not None else []
        self.shared.wanted += 1
        shared, turn = self.shared, self.shared.wanted
        self._serial.run(
            lambda: read(study, volume, shared, turn), partial(self._take, turn), partial(self._not, turn)
        )
        self.changed.emit()

    def close(self) -> None:
        """Take the layer away; what is not on disk yet is written in the background."""
        self._let_go("closed")
        self.study = self.volume = None
        self.changed.emit()

    def set_aside(self, volumes: Collection[str], then: Callable[[], None]) -> None:
        """Close the annotations, if they are those of one of these volumes, then do something with the volumes.

        Parameters
        ----------
        volumes : collection of str
        then : callable
            Called on the GUI thread once nobody here holds them: they can be renamed, removed or changed by a job.
        """
        if self.volume in volumes:
            self.close()
        if self.busy:
            self._serial.run(lambda: None, lambda _: then())
        else:
            then()

    def shutdown(self) -> None:
        """Write what is not written yet, and wait for it; the session ends, and with it, most often, the viewer."""
        if self.view is not None:
            self.view.detach()
            self.view = None
        self._let_go("closed")
        if self._serial.finish(PATIENCE):
            for editor in list(self.shared.made):  # opened, and never handed over
                close(editor, self.shared)

    def _let_go(self, state: State) -> None:
        editor, view = self.editor, self.view
        job = self.session.jobs.find(IMPORT)
        if job is not None:
            job.cancel()
        self.editor = self.view = self.problem = None
        self._at_work, self.undo_text, self.redo_text, self._slices = 0, "", "", ()
        self.pending, self.saved_at = 0, None
        self.state = state
        self.shared.wanted += 1
        self._waiting = []
        if view is not None:
            view.remove()
        if editor is not None:
            self._serial.run(partial(close, editor, self.shared), self._closed)

    def _closed(self, _: object = None) -> None:
        self.session.refresh()

    def _take(self, turn: int, found: Opened | None) -> None:
        if found is None or turn != self.shared.wanted:
            if found is not None and found.editor is not None:
                self._serial.run(partial(close, found.editor, self.shared))
            return
        viewer = self.session.viewer
        if viewer is None:
            self._serial.run(partial(close, found.editor, self.shared))
            return
        self.editor, self.problem, self._retired = found.editor, found.problem, found.retired
        self._show_volume(viewer, found.plan)
        self.state = "open" if found.editor is not None else "looking"
        view = self.view = AnnotationLayer(
            viewer, found.plan, found.labels, found.classes, writable=self.state == "open"
        )
        self._connect(view)
        waiting, self._waiting = self._waiting, []
        if found.problem is not None:
            self.failed.emit(found.problem)
        self.check()
        self.changed.emit()
        if self.state == "open":
            for then in waiting:
                then()

    def _connect(self, view: AnnotationLayer) -> None:
        """Follow what a person does on the layer."""

    def _not(self, turn: int, error: BaseException) -> None:
        if turn != self.shared.wanted:
            return
        self.state, self._waiting = "closed", []
        self.problem = error if isinstance(error, UserError) else None
        self.failed.emit(error)
        self.changed.emit()

    def _show_volume(self, viewer: Any, plan: layers.LayerPlan) -> None:
        """Show the voxels below, and go to their middle, unless they are in view already."""
        there = layers.find(viewer, plan.mark)
        if there is None or not there.visible:
            layers.show(viewer, [plan])

    # --------------------------------------------------------------------------------------------------- changing them
    def do(
        self,
        change: Callable[[AnnotationEditor], Action | None],
        then: Callable[[Action | None], None] | None = None,
        how: str = "done",
        *,
        long: bool = False,
    ) -> None:
        """Change the open annotations in the worker; the view follows, and `acted` tells.

        Parameters
        ----------
        change : callable
            Gets the editor, in the worker thread; returns what it did.
        then : callable or None
            Gets that, on the GUI thread.
        how : {"done", "undone", "redone"}
        long : bool
            It may take more than a moment: nothing can be painted meanwhile.
        """
        editor, view = self.editor, self.view
        if editor is None or view is None:
            return
        if long:
            self.hold()

        def done(action: Action | None) -> None:
            if long:
                self.release(editor)
            if editor is self.editor:
                view.refresh()
                self._told(action, how)
            if then is not None:
                then(action)

        def failed(error: BaseException) -> None:
            if long:
                self.release(editor)
            self._fail(error)

        self._serial.run(lambda: change(editor), done, failed)

    def ask(self, question: Callable[[AnnotationEditor], Any], then: Callable[[Any], None]) -> None:
        """Ask the open annotations something in the worker; ``then(answer)`` is called on the GUI thread."""
        editor = self.editor
        if editor is not None:
            self._serial.run(lambda: question(editor), then)

    def hold(self) -> None:
        """Let nothing be painted while something else changes the annotations: a stroke would have to wait for it."""
        self._at_work += 1
        if self.view is not None:
            self.view.set_writable(False)
        self.changed.emit()

    def release(self, editor: AnnotationEditor) -> None:
        """Go on after `hold`, if that editor is still the open one."""
        if editor is not self.editor:
            return
        self._at_work = max(0, self._at_work - 1)
        if self.view is not None:
            self.view.refresh()
            if not self._at_work and self.problem is None:
                self.view.set_writable(True)
        self.check()
        self.changed.emit()

    def check(self) -> None:
        """Look how far saving is, and whether painting has become impossible (a full disk) or possible again."""
        editor, view = self.editor, self.view
        if editor is None or view is None or self._at_work:
            return
        self.undo_text, self.redo_text = editor.undo_text, editor.redo_text
        self.saved_at, self.pending = editor.saved_at, editor.pending
        self._slices = editor.annotations.slices()
        problem = editor.problem
        if problem is not None and str(problem) != str(self.problem):
            self.failed.emit(problem)
        elif problem is None and self.problem is not None:
            self.noticed.emit("There is room on the disk again: you can go on painting.")
        if (problem is None) != (self.problem is None):
            view.set_writable(problem is None)
            self.problem = problem
            self.changed.emit()

    def _told(self, action: Action | None, how: str) -> None:
        self.check()
        if action is not None:
            self.acted.emit(action, how)
        self.changed.emit()

    def _fail(self, error: BaseException) -> None:
        self.failed.emit(error)
        self.changed.emit()
