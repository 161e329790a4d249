"""File > Open Sample > Phantom fish: makes the sample study once, opens it, and returns its first fish as a layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import UserError
from napari_sortingloss.events import Event, Result
from napari_sortingloss.widgets.viewer import layers

if TYPE_CHECKING:
    from napari_sortingloss.study import Study

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
    from napari_sortingloss.widgets.session.recent import user_data_dir

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

    viewer = napari.current_viewer()
    if viewer is None or not hasattr(viewer, "window"):
        _, plan = _made(list(sample_job()))
        return [(plan.data, layers.options(plan), "image")]

    from napari_sortingloss.widgets.session.session import session_of
    from napari_sortingloss.widgets.session.waiting import wait_for

    found: list[tuple[Study, layers.LayerPlan]] = []

    def make() -> Iterator[Event]:
        events: list[Event] = []
        for event in sample_job():
            events.append(event)
            yield event
        found.append(_made(events))

    session = session_of(viewer)
    wait_for(session.jobs, "Making the sample study", make, viewer.window._qt_window)
    study, plan = found[0]
    session.set_study(study)
    session.show_stage("Study")
    layers.take_away(
        viewer, [layer for layer in layers.ours(viewer) if layer.metadata[layers.MARK] == plan.mark]
    )
    return [(plan.data, layers.options(plan), "image")]


def _made(events: list[Event]) -> tuple[Study, layers.LayerPlan]:
    """Open the study that the events tell of and plan the layer of its first volume."""
    from napari_sortingloss.study import Study

    result = events[-1]
    assert isinstance(result, Result)
    study = Study.open(Path(result.value["study"]))
    return study, layers.plan(study.select()[0])
