"""The errors a person can act on: each is one sentence that says what happened, why, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the person in front of the program can mend.

    Parameters
    ----------
    what : str
        What could not be done, with the name of the thing it concerns, e.g. ``"Cannot read 'fish_03.tif'"``.
    why : str
        The cause, in the terms of the field.
    todo : str
        What to do about it.

    Notes
    -----
    ``str(error)`` is the one sentence shown on the command line and in the error bar of a widget:
    ``"what: why; todo."``
    """

    def __init__(self, what: str, why: str, todo: str) -> None:
        self.what, self.why, self.todo = what, why, todo
        super().__init__(what, why, todo)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}; {self.todo.rstrip('.')}."


class BadInput(UserError):
    """A file, folder or layer that cannot be used as it is."""


class AlreadyExists(BadInput):
    """A file is in the way and may be replaced, if a person says so."""


class NeedsOption(BadInput):
    """A file that can be read once an option says how, e.g. which of its volumes is meant."""


class BadSetting(UserError):
    """A setting that is out of range, of the wrong type or does not fit the data."""


class StudyError(UserError):
    """A study folder that is missing, damaged, too new or in use."""


class OutOfSpace(UserError):
    """The disk is full."""


class OutOfMemory(UserError):
    """The computer's or the GPU's memory does not suffice."""


@contextmanager
def readable_os_errors(what: str) -> Iterator[None]:
    """Turn the operating system's errors into a `UserError`.

    Parameters
    ----------
    what : str
        What is being done, as in `UserError`.

    Raises
    ------
    OutOfSpace
        If the disk or the quota is full.
    UserError
        If access is denied, or the disk fails in another way.
    """
    try:
        yield
    except PermissionError as error:
        name = error.filename or "a file"
        raise UserError(
            what, f"no permission for '{name}'", "change its permissions or choose another place"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(
                what, "the disk is full", "free some space or put the study on another disk, then start again"
            ) from error
        if error.errno == errno.EROFS:
            raise UserError(what, "the disk is read-only", "choose a place that can be written to") from error
        raise UserError(
            what,
            f"the system reports '{error.strerror or error}'",
            "check the disk and the path, then try again",
        ) from error
