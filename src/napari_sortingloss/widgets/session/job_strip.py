"""The strip above the buttons: the running job with time left and Cancel, and the jobs that wait behind it."""

from __future__ import annotations

import time
from collections.abc import Collection

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_sortingloss import wording
from napari_sortingloss.events import Progress
from napari_sortingloss.widgets.session.jobs import Job, JobRunner
from napari_sortingloss.widgets.toolkit.lifetime import follow


class TimeLeft:
    """Estimates the time left where a job does not say it itself."""

    def __init__(self) -> None:
        self._first: Progress | None = None
        self._began = 0.0

    def of(self, progress: Progress) -> float | None:
        """Return the seconds left, or None while that is a guess."""
        if progress.seconds_left is not None:
            return progress.seconds_left
        first = self._first
        if first is None or progress.done < first.done or progress.total != first.total:
            self._first, self._began = progress, time.monotonic()
            return None
        passed, done = time.monotonic() - self._began, progress.done - first.done
        if passed < 1.0 or not done or not progress.total:
            return None
        return passed / done * (progress.total - progress.done)


class JobRow(QWidget):
    """One job: what it does, how far it is, Cancel."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job
        self._left = TimeLeft()
        self._label = QLabel(job.title)
        self._label.setMinimumWidth(40)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip("Stop this job; what it has finished stays")
        self._cancel.clicked.connect(self._on_cancel)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(self._label)
        texts.addWidget(self._bar)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(texts, 1)
        layout.addWidget(self._cancel, 0, Qt.AlignmentFlag.AlignVCenter)

    def update_row(self, ahead: Job | None) -> None:
        """Show the job's state; `ahead` is the job it waits for."""
        job = self.job
        self._cancel.setEnabled(not job.cancelling)
        self._cancel.setText("Cancelling…" if job.cancelling else "Cancel")
        if ahead is not None:
            self._bar.hide()
            self._say(f"waiting: {job.title}", f"It starts when '{ahead.title}' is done.")
            return
        self._bar.show()
        progress = job.progress
        if progress is None or not progress.total:
            self._bar.setRange(0, 0)
            what = progress.what if progress is not None else ""
            self._say(what or job.title, job.title)
            return
        self._bar.setRange(0, progress.total)
        self._bar.setValue(min(progress.done, progress.total))
        parts = [f"{progress.what or job.title} {100 * progress.done / progress.total:.0f} %"]
        left = self._left.of(progress)
        if left is not None:
            parts.append(f"{wording.duration(left)} left")
        self._say(" · ".join(parts), job.title)

    def _say(self, text: str, tooltip: str) -> None:
        shown = self._label.fontMetrics().elidedText(
            text, Qt.TextElideMode.ElideMiddle, max(80, self._label.width())
        )
        self._label.setText(shown)
        self._label.setToolTip(f"{tooltip}\n{text}" if text != tooltip else tooltip)

    def _on_cancel(self) -> None:
        self.job.cancel()


class JobStrip(QWidget):
    """All jobs of a session; hidden when there are none.

    Parameters
    ----------
    jobs : JobRunner
    hidden_kinds : collection of str
        Kinds of running jobs that the stage shows in its own way.
    """

    def __init__(self, jobs: JobRunner, hidden_kinds: Collection[str] = ()) -> None:
        super().__init__()
        self._jobs, self._hidden = jobs, frozenset(hidden_kinds)
        self.rows: list[JobRow] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        follow(self, jobs.changed, self._update)
        self._update()

    def hide_kinds(self, kinds: Collection[str]) -> None:
        """Choose the kinds of running jobs that are shown elsewhere."""
        if frozenset(kinds) != self._hidden:
            self._hidden = frozenset(kinds)
            self._update()

    def cancel_running(self) -> None:
        """Cancel the job at work, if any."""
        if self._jobs.running is not None:
            self._jobs.running.cancel()

    def _update(self) -> None:
        running = self._jobs.running
        shown = [running] if running is not None and running.kind not in self._hidden else []
        shown += self._jobs.waiting
        for row in [row for row in self.rows if row.job not in shown]:
            self.rows.remove(row)
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        for job in shown[len(self.rows) :]:
            row = JobRow(job)
            self.rows.append(row)
            self._layout.addWidget(row)
        self.setVisible(bool(shown))
        before = running
        for row in self.rows:
            waits = row.job is not running
            row.update_row(before if waits else None)
            before = row.job
