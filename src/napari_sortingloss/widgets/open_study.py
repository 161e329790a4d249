"""``python -m napari_sortingloss.widgets.open_study FOLDER``: napari with the Workbench on a study."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sortingloss.widgets.session import Session


def open_in_napari(folder: Path) -> Any:
    """Open a viewer with the Workbench on a study.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    napari.Viewer
        Its event loop is not started yet.
    """
    import napari

    from napari_sortingloss.widgets.session import session_of

    viewer = napari.Viewer(title=f"{folder.name} - SortingLoss")
    viewer.window.add_plugin_dock_widget("napari-sortingloss", "Workbench")
    session = session_of(viewer)
    session.open_path(folder, lambda: begin_with_boxes(session))
    return viewer


def begin_with_boxes(session: Session) -> None:
    """Show what was localised in the open study, where anything was: its first volume, with its layers."""
    if session.localized:
        session.set_current_volume(next(name for name in session.volumes if name in session.localized))
        session.show_stage("Localize")


def main(arguments: Sequence[str] | None = None) -> int:
    """Open napari on the study named on the command line and run it."""
    import napari

    named = list(sys.argv[1:] if arguments is None else arguments)
    if len(named) != 1:
        sys.stderr.write("Name one study folder.\n")
        return 2
    viewer = open_in_napari(Path(named[0]).absolute())
    napari.run()
    del viewer
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
