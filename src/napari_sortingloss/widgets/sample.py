"""File > Open Sample > Phantom fish: makes the sample study once, opens it, and returns its first fish as a layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import Event, Result

FOLDER = "phantom-fish"


def sample_job() -> Iterator[Event]:
    """Make the sample study in the user's data folder, or find it there.

    Yields
    ------
    Event
        Last a `Result`: ``{"study": path}``.
    """
    from napari_sortingloss.samples import sample_study

    folder, complete = _folder()
    if not complete:
        yield from (event for event in sample_study(folder) if not isinstance(event, Result))
    yield Result(value={"study": str(folder)})


def _folder() -> tuple[Path, bool]:
    """Return where the sample study is or may go, and whether it is there; an incomplete one is left alone."""
    from napari_sortingloss.samples import COUNT
    from napari_sortingloss.study import Study
    from napari_sortingloss.widgets.recent import user_data_dir

    number = 1
    while True:
        folder = user_data_dir() / (FOLDER if number == 1 else f"{FOLDER}-{number}")
        if not folder.exists() or not any(folder.iterdir()):
            return folder, False
        try:
            if len(Study.open(folder).volumes) >= COUNT:
                return folder, True
        except UserError:
            pass  # something else lies there: the next name is tried
        number += 1


def phantom_fish() -> list[tuple[Any, dict[str, Any], str]]:
    """Return the first phantom fish as layer data; in a window, open the study and the Study widget too."""
    import napari

    from napari_sortingloss.study import Study
    from napari_sortingloss.widgets import layers

    viewer = napari.current_viewer()
    if viewer is not None and hasattr(viewer, "window"):
        from napari_sortingloss.widgets.session import session_of
        from napari_sortingloss.widgets.waiting import wait_for

        session = session_of(viewer)
        value = wait_for(session.jobs, "Making the sample study", sample_job, viewer.window._qt_window)
        study = Study.open(Path(value["study"]))
        session.set_study(study)
        session.show_stage("Study")
    else:
        events = list(sample_job())
        study = Study.open(Path(events[-1].value["study"]))  # type: ignore[attr-defined]
    first = layers.plan(next(iter(study.select())))
    return [(first.data, layers.options(first), "image")]
