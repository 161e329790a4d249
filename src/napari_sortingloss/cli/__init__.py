"""The command line: every job, headless; this module only finds the way in."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        0 done, 2 wrong usage or bad input, 130 interrupted (what was done is kept).
    """
    from napari_sortingloss.cli.app import run

    return run(argv)
