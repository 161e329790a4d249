"""The live preview: asks a run that trains, in whichever process, for the slice in view, and shows its answer there."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_sortingloss.widgets.session.session import Session
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.lifetime import follow
from napari_sortingloss.widgets.viewer import layers
from napari_sortingloss.widgets.viewer.layers import AXES
from napari_sortingloss.widgets.viewer.slice_layer import PreviewLayer, SliceAt
from napari_sortingloss.widgets.viewer.view import slice_in_view

if TYPE_CHECKING:
    from napari_sortingloss.study.runs.live_preview import PreviewPicture

SETTLE_MS = 150
"""The slider must rest that long before a slice is asked for."""
POLL_MS = 400


class LivePreview(QObject):
    """Follows the slice in view while a run trains.

    Parameters
    ----------
    session : Session
    background : Background
        Writes and reads the files.
    parent : QObject

    Attributes
    ----------
    changed : psygnal.Signal
        Another answer is shown, or none any more.
    step : int
        The training step of the answer in view, 0 without one.
    """

    changed = Signal()

    def __init__(self, session: Session, background: Background, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._background = weakref.ref(session), background
        self._run = ""
        self._on = True
        self._asked: SliceAt | None = None
        self.step = 0
        viewer = session.viewer
        self.layer = PreviewLayer(viewer) if viewer is not None else None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self.ask)
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self.look)
        if viewer is not None:
            for name in ("point", "order", "ndisplay"):
                follow(self, getattr(viewer.dims.events, name), self._on_step)
        follow(self, session.current_volume_changed, self._on_step)

    @property
    def run(self) -> str:
        """The run that is asked; empty while none trains."""
        return self._run

    def set_run(self, run: str) -> None:
        """Ask this run from now on; with an empty id the last answer stays in view, on its slice."""
        if run == self._run:
            return
        self._run, self._asked = run, None
        if run:
            self._begin()
        else:
            self._rest()

    def set_on(self, on: bool) -> None:
        """Show the preview, or not."""
        if on != self._on:
            self._on, self._asked = on, None
            self._begin()

    def _begin(self) -> None:
        if self._run and self._on and self.layer is not None:
            self._settle.start()
            self._poll.start()
        else:
            self._rest()
            self.clear()

    def _rest(self) -> None:
        self._settle.stop()
        self._poll.stop()
        self._background.drop("preview")

    def slice_in_view(self) -> SliceAt | None:
        """Return the slice of the current volume that is in view; None in 3D, or where the volume is not shown."""
        session = self._session()
        if session is None or session.viewer is None or session.study is None:
            return None
        return slice_of(session)

    def ask(self) -> None:
        """Ask the run for the slice in view, if it is another one than before."""
        session, at = self._session(), self.slice_in_view()
        if session is None or session.study is None or at is None or not self._run or not self._on:
            return
        if at == self._asked:
            return
        self._asked = at
        study, run = session.study, self._run

        def request() -> None:
            from napari_sortingloss.study.runs.live_preview import request_preview

            request_preview(study.run(run), at.volume, at.axis, at.index)  # type: ignore[arg-type]

        self._background.run(request, topic="ask preview")

    def look(self) -> None:
        """See whether there is an answer for the slice in view."""
        session = self._session()
        if session is None or session.study is None or not self._run:
            return
        if self._asked is None:
            self.ask()  # the volume may have come into view since
        study, run = session.study, self._run

        def read() -> Any:
            from napari_sortingloss.study.runs.live_preview import read_preview

            return read_preview(study.run(run))

        if not self._background.pending("preview"):
            self._background.run(read, self._take, lambda _: None, topic="preview")

    def _take(self, picture: PreviewPicture | None) -> None:
        session, at = self._session(), self.slice_in_view()
        if picture is None or session is None or session.study is None or self.layer is None:
            return
        about = picture.slice
        shown = SliceAt(about.volume, about.axis, about.index)
        record = session.volumes.get(about.volume)
        if shown != at or record is None or not self._run or not self._on:
            return
        if (self.layer.at, self.step) == (shown, picture.step) and self.layer.layer is not None:
            return
        self.step = picture.step
        self.layer.show(str(session.study.path), record, shown, picture.labels, session.classes)
        self.changed.emit()

    def _on_step(self, *_: object) -> None:
        if not self._run or not self._on or self.layer is None:
            return
        if self.layer.at is not None and self.layer.at != self.slice_in_view():
            self.clear()
        self._settle.start()

    def clear(self) -> None:
        """Take the answer out of view, e.g. because a prediction takes its place."""
        if self.layer is not None:
            self.layer.remove()
        if self.step:
            self.step = 0
            self.changed.emit()


def slice_of(session: Session) -> SliceAt | None:
    """Return the slice of the current volume that is in view; None in 3D, or where the volume is not shown."""
    viewer, name, study = session.viewer, session.current_volume, session.study
    record = session.volumes.get(name or "")
    if viewer is None or study is None or record is None or viewer.dims.ndisplay != 2 or viewer.dims.ndim < 3:
        return None
    mark = {"study": str(study.path), "volume": record.name, "content": "volume"}
    layer = layers.find(viewer, mark)
    if layer is None or not layer.visible:
        return None
    axis, index, _ = slice_in_view(viewer, layer.units, record.voxel_size, record.offset)
    if not 0 <= index < record.shape[axis]:
        return None
    return SliceAt(record.name, AXES[axis], index)
