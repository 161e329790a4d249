"""A job in one line: how far, how long still, and what it is at."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_sortingloss import wording
from napari_sortingloss.widgets.session.job_strip import TimeLeft
from napari_sortingloss.widgets.session.jobs import Job


class JobLine(QWidget):
    """Text over a thin bar, beside the button that started the job; nothing while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._left = TimeLeft()
        self._job: Job | None = None
        self.text = QLabel()
        self.text.setMinimumWidth(40)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.text)
        layout.addWidget(self.bar)
        self.say(None)

    def say(self, job: Job | None) -> None:
        """Show how far a job is."""
        if job is not self._job:
            self._job, self._left = job, TimeLeft()
        self.bar.setVisible(job is not None)
        if job is None:
            self._write("")
            return
        progress = job.progress
        if job.state == "waiting":
            self.bar.setRange(0, 1)
            self.bar.setValue(0)
            self._write("waits for another job")
            return
        if job.cancelling:
            self._write("stopping…")
            return
        if progress is None or not progress.total:
            self.bar.setRange(0, 0)
            self._write(progress.what if progress is not None else "")
            return
        self.bar.setRange(0, progress.total)
        self.bar.setValue(min(progress.done, progress.total))
        seconds = self._left.of(progress)
        parts = [f"{100 * progress.done // progress.total} %"]
        if seconds is not None:
            parts.append(f"{wording.duration(seconds)} left")
        parts.append(progress.what)
        self._write(" · ".join(part for part in parts if part))

    def _write(self, text: str) -> None:
        self.setToolTip(text)
        room = max(60, self.text.width())
        self.text.setText(self.text.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room))
