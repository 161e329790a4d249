"""study.json: read again only when it changed, changed by one writer at a time, and whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.lock import exclusive
from napari_sortingloss.errors import StudyError, readable_os_errors
from napari_sortingloss.study.schema import NewerSchemaError, VolumeRecord, check_document

STUDY_FILE = "study.json"
LOCK_FILE = ".study.lock"

LOCK_TIMEOUT = 20.0
"""Seconds that a writer waits for another one; a transaction takes milliseconds."""


class StudyFile:
    """The document of one study folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._cache: tuple[tuple[int, ...], dict[str, Any], dict[str, VolumeRecord]] | None = None
        self._cache_lock = threading.Lock()

    def read(self) -> tuple[dict[str, Any], dict[str, VolumeRecord]]:
        """Return study.json and its volumes, read again only when the file has changed; not to be modified."""
        file = self.folder / STUDY_FILE
        what = f"Cannot open the study '{self.folder}'"
        with self._cache_lock:
            try:
                status = file.stat()
                signature = (status.st_mtime_ns, status.st_size, status.st_ino)
                if self._cache is not None and self._cache[0] == signature:
                    return self._cache[1], self._cache[2]
                document = atomic.read_json(file)
                records = check_document(document)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise self._missing(what) from error
            except PermissionError as error:
                raise StudyError(
                    what, "there is no permission to read it", "change its permissions or ask its owner"
                ) from error
            except NewerSchemaError as error:
                raise StudyError(
                    what, f"a newer program wrote it ({error})", "update napari-sortingloss"
                ) from error
            except ValueError as error:
                reason = str(error) if type(error) is ValueError else "it is not readable as JSON"
                raise StudyError(
                    what,
                    f"its '{STUDY_FILE}' is damaged ({reason})",
                    f"restore '{STUDY_FILE}' from a backup; the volumes and runs beside it are untouched",
                ) from error
            except OSError as error:
                raise StudyError(
                    what,
                    f"the system reports '{error.strerror}'",
                    "check the disk and the path, then try again",
                ) from error
            self._cache = (signature, document, records)
            return document, records

    def _missing(self, what: str) -> StudyError:
        if not self.folder.exists():
            return StudyError(what, "there is no such folder", "check the path, or make a new study")
        if not self.folder.is_dir():
            return StudyError(what, "it is a file, not a folder", "choose the folder of a study")
        return StudyError(
            what, f"the folder holds no '{STUDY_FILE}'", "choose the folder of a study, or make a new one"
        )

    @contextmanager
    def transaction(self, timeout: float = LOCK_TIMEOUT) -> Iterator[dict[str, Any]]:
        """Change study.json: no other process or thread changes it meanwhile, and the change lasts whole or not at all.

        Yields
        ------
        dict
            The document as it is now on disk. What is changed in it is written when the block ends without an error.
            Keys this program does not know are kept.

        Raises
        ------
        StudyError
            If another program keeps the study locked for longer than `timeout` seconds, or the study is damaged.
        OutOfSpace, UserError
            If it cannot be written; the old document is then untouched.
        """
        what = f"Cannot change the study '{self.folder.name}'"
        if not self.folder.is_dir():
            raise self._missing(what)
        with exclusive(self.folder / LOCK_FILE, what, timeout):
            self.read()  # damaged or newer: refuse before touching it
            file = self.folder / STUDY_FILE
            document = atomic.read_json(file)
            before = atomic.plain(document)
            yield document
            if document != before:
                try:
                    check_document(document)
                except ValueError as error:
                    raise StudyError(
                        what, f"the change is not valid: {error}", "report this as a bug"
                    ) from error
                with readable_os_errors(what):
                    atomic.write_json(file, document)
                with self._cache_lock:
                    self._cache = None
