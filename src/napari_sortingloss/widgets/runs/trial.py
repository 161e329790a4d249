"""Trains three steps in a process of its own to see what they take, so that napari loads no torch for it; knows no Qt.

The process reads its standard input until it ends: with whoever started it, killed or not, it ends too.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from napari_sortingloss.errors import OutOfMemory, UserError
from napari_sortingloss.training.computer.pace import Pace
from napari_sortingloss.training.settings import TrainSettings

WHAT = "Cannot time a run with these settings"


class Trial:
    """Three steps of a run that is not begun.

    Parameters
    ----------
    study : Path
    kind : str
        ``"pretrain"`` or ``"finetune"``.
    settings : TrainSettings
    memory : int
        Bytes it will take.
    """

    def __init__(self, study: Path, kind: str, settings: TrainSettings, memory: int) -> None:
        self._order = (str(study), kind, settings.task, json.dumps(settings.to_json()))
        self._memory = memory
        self._process: subprocess.Popen[str] | None = None
        self._guard = threading.Lock()
        self.cancelled = False

    def run(self) -> Pace | None:
        """Wait for the process and return what it measured; None if it was cancelled. Not for the GUI thread.

        Raises
        ------
        OutOfMemory
            If so much memory is not free now.
        UserError
            If no run could begin, or the process died.
        """
        free = psutil.virtual_memory().available
        if free < self._memory:
            raise OutOfMemory(
                WHAT,
                f"it takes {self._memory / 2**30:.1f} GB of memory, and {free / 2**30:.1f} GB are free now",
                "close other programs",
            )
        with self._guard:
            if self.cancelled:
                return None
            self._process = process = self._start()
        assert process.stdout is not None
        said = process.stdout.read()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
        process.stdout.close()
        return None if self.cancelled else _understood(said)

    def cancel(self) -> None:
        """Kill the process at once; harmless when repeated."""
        with self._guard:
            self.cancelled = True
            if self._process is not None:
                self._process.kill()

    def _start(self) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                [sys.executable, "-m", __name__, *self._order],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        except OSError as error:
            raise UserError(WHAT, error.strerror or str(error), "start the run to see") from error


def _understood(said: str) -> Pace:
    try:
        found: Any = json.loads(said.splitlines()[-1])
    except (ValueError, IndexError):
        found = {}
    pace = Pace.from_json(found.get("pace"))
    if pace is None:
        raise UserError(
            WHAT, found.get("problem", "the process that timed it ended early"), "start the run to see"
        )
    return pace


def main(study: str, kind: str, task: str, settings: str) -> int:
    """Time three steps and say what they took, as one line of JSON.

    Parameters
    ----------
    study, kind, task, settings : str
        As in `Trial`; the settings as JSON.
    """
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    answer: dict[str, Any]
    try:
        answer = {"pace": _measured(Path(study), kind, task, json.loads(settings)).to_json()}
    except UserError as error:
        answer = {"problem": error.why}
    sys.stdout.write("\n" + json.dumps(answer))
    return 0


def _measured(folder: Path, kind: str, task: str, values: dict[str, Any]) -> Pace:
    from napari_sortingloss.pretext import TASKS, settings_for
    from napari_sortingloss.segment.settings import FinetuneSettings
    from napari_sortingloss.study import Study

    began = time.monotonic()
    pretraining = kind == "pretrain"
    own = TASKS[task].task.partition(":")[0] if pretraining else "napari_sortingloss.segment.finetune.task"
    for module in ("napari_sortingloss.training.loop.loop", own):
        import_module(module)
    libraries = time.monotonic() - began
    study = Study(folder)  # not `open`, which tidies up: nothing is written here
    if pretraining:
        from napari_sortingloss.pretext.jobs import pretrain

        pace = pretrain.time_steps(study, settings_for(task).from_json(values))
    else:
        from napari_sortingloss.segment.finetune import job

        pace = job.time_steps(study, FinetuneSettings.from_json(values))
    return dataclasses.replace(pace, libraries=libraries)


def _end_with_the_other() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
