"""What a person chose in the forms of a study, kept in one small file of it: whatever cannot be read is forgotten."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sortingloss.disk import atomic

logger = logging.getLogger(__name__)

FILE = ".window.json"


class Memory:
    """The choices of one study, by stage; knows no Qt.

    Parameters
    ----------
    folder : Path
        The study's.

    Attributes
    ----------
    loaded : bool
        Whether the file was read. Until then nothing is taken: a form that has just been made knows no choices yet.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._stages: dict[str, Any] = {}
        self._unwritten: set[str] = set()
        self._lock, self._file_lock = threading.Lock(), threading.Lock()
        self.loaded = False

    def read(self) -> dict[str, Any]:
        """Return what the file says, by stage. Not for the GUI thread."""
        try:
            return dict(atomic.read_json(self._file))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            logger.warning("cannot read '%s': %s", self._file, error)
            return {}

    def load(self, stages: Mapping[str, Any]) -> None:
        """Take what `read` returned."""
        self._stages, self.loaded = dict(stages), True

    def of(self, stage: str) -> dict[str, Any]:
        """Return what was chosen in a stage."""
        found = self._stages.get(stage)
        return dict(found) if isinstance(found, Mapping) else {}

    def put(self, stage: str, values: Mapping[str, Any]) -> bool:
        """Take what is chosen in a stage now; returns whether that is news to be written."""
        plain = json.loads(json.dumps(atomic.plain(values)))
        with self._lock:
            if not self.loaded or plain == self.of(stage):
                return False
            self._stages[stage] = plain
            self._unwritten.add(stage)
            return True

    def write(self) -> None:
        """Write what is news; what other windows chose in other stages stays. A convenience: nothing fails with it."""
        with self._file_lock:
            with self._lock:
                news = {stage: self._stages[stage] for stage in self._unwritten}
                self._unwritten.clear()
            if not news:
                return
            try:
                atomic.write_json(self._file, {**self.read(), **news})
            except OSError as error:
                logger.warning("cannot remember what was chosen in '%s': %s", self._file, error)
