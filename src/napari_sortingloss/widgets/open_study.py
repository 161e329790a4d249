"""``python -m napari_sortingloss.widgets.open_study FOLDER``: napari with the Workbench on a study."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sortingloss.widgets.session.session import Session


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

    from napari_sortingloss.widgets.session.session import session_of

    viewer = napari.Viewer(title=f"{folder.name} - SortingLoss")
    _, bench = viewer.window.add_plugin_dock_widget("napari-sortingloss", "Workbench")
    session = session_of(viewer)
    session.open_path(folder, lambda: begin_with_results(session, bench.show_prediction))
    return viewer


def begin_with_results(session: Session, show_prediction: Callable[[str, str], None]) -> None:
    """Show what there is to see in the open study: labels that were predicted, or else boxes that were found.

    Parameters
    ----------
    session : Session
    show_prediction : callable
        Shows what a run predicted for a volume, the current one.
    """
    whole = [look for looks in session.predictions.values() for look in looks.values() if look.complete]
    if whole:
        newest = max(whole, key=lambda look: look.value.created)
        session.set_current_volume(newest.volume)
        session.show_stage("Segment")
        show_prediction(newest.volume, newest.run)
    elif session.localized:
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
