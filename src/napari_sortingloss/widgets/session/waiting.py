"""A modal wait for the rare call that must return with a result, such as Open Sample: progress, time left, Cancel."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QProgressDialog, QWidget

from napari_sortingloss import wording
from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.session.job_strip import TimeLeft
from napari_sortingloss.widgets.session.jobs import JobRunner, MakeJob

POLL_MS = 60


def wait_for(jobs: JobRunner, title: str, make: MakeJob, parent: QWidget | None) -> dict[str, Any]:
    """Run a job in the queue and wait for it while the window stays alive.

    Parameters
    ----------
    jobs : JobRunner
    title : str
    make : callable
        As `JobRunner.submit` takes it.
    parent : QWidget or None

    Returns
    -------
    dict
        The job's result.

    Raises
    ------
    UserError
        If the person cancelled it.
    Exception
        Whatever the job raised.
    """
    job = jobs.submit(title, make, "sample")
    left = TimeLeft()
    dialog = QProgressDialog(title, "Cancel", 0, 0, parent)
    dialog.setWindowModality(Qt.WindowModality.WindowModal)
    dialog.setWindowTitle("SortingLoss")
    dialog.setMinimumWidth(360)
    dialog.setMinimumDuration(400)
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)
    loop = QEventLoop()
    timer = QTimer()
    timer.setInterval(POLL_MS)

    def look() -> None:
        if job.ended:
            loop.quit()
            return
        if dialog.wasCanceled():
            job.cancel()
            return
        progress = job.progress
        if progress is None or not progress.total:
            return
        seconds = left.of(progress)
        rest = f" · {wording.duration(seconds)} left" if seconds is not None else ""
        dialog.setLabelText(f"{title}\n{progress.what}{rest}")
        dialog.setMaximum(progress.total)
        dialog.setValue(min(progress.done, progress.total))

    timer.timeout.connect(look)
    timer.start()
    loop.exec()
    timer.stop()
    dialog.close()
    dialog.deleteLater()
    if job.error is not None:
        raise job.error
    if job.state != "finished":
        raise UserError(f"{title} was cancelled", "you asked for it", "open it again when you want it")
    return job.result or {}
