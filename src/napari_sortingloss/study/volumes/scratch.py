"""A folder for one import's temporary files, which never outlives the process that made it for long."""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from napari_sortingloss.disk.lock import Ownership
from napari_sortingloss.errors import readable_os_errors

if TYPE_CHECKING:
    from napari_sortingloss.study.folder import Study


class Scratch:
    """A hidden folder on the study's disk, removed at the end of the `with` block.

    It is marked like a volume that is being written (see `study.parts`), so that the study clears it away on opening
    when the process was killed. Its name is none that a volume can have.

    Parameters
    ----------
    study : Study

    Raises
    ------
    OutOfSpace, UserError
        If the study's folder cannot be written, on entering.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        marker = study.volume_path(".scratch")
        self.path = marker.with_name(f".{marker.name}.part-{uuid.uuid4().hex[:12]}")
        self._lock = self.path.with_name(self.path.name + ".lock")
        self._owner = Ownership(self._lock)

    def __enter__(self) -> Self:
        with readable_os_errors("Cannot begin an import"), self._study.transaction():
            self.path.parent.mkdir(exist_ok=True)
            self._owner.take()
            try:
                self.path.mkdir()
                owner = {"pid": os.getpid(), "host": socket.gethostname()}
                (self.path / "owner.json").write_text(json.dumps(owner), "utf-8")
            except BaseException:
                self._remove()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def folder(self) -> Path:
        """Return the path of a new folder inside, not made yet."""
        return self.path / uuid.uuid4().hex[:12]

    def _remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            self._lock.unlink()
        self._owner.release()
