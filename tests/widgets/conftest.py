"""A real napari viewer for each test, private user folders, and a watch for threads and windows left behind."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp(prefix="napari-test-")) / "settings.yaml"))

with warnings.catch_warnings():  # what napari's own dependencies say of each other while they are imported
    warnings.simplefilter("ignore", DeprecationWarning)
    import napari.plugins
    import napari.qt
    import napari.viewer

import numpy as np
import pytest
from localizing import BOXES, idle, localize, localize_job, see, statuses, trained
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_sortingloss.study import Study
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.widgets.localize import actions
from napari_sortingloss.widgets.localize.stage import LocalizeWidget
from napari_sortingloss.widgets.session.session import Session, session_of
from napari_sortingloss.widgets.viewer import stage_layers

SHAPES = {"fish_a": (24, 18, 30), "fish_b": (20, 26, 16)}


@pytest.fixture(autouse=True)
def _private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))


@pytest.fixture(autouse=True)
def _nothing_left_behind(qapp: QApplication) -> Iterator[None]:
    before = set(QApplication.topLevelWidgets())
    yield
    until = time.monotonic() + 5
    while time.monotonic() < until and _our_threads():
        qapp.processEvents()
        time.sleep(0.01)
    assert not _our_threads(), "a worker thread outlives its test"
    qapp.processEvents()
    left = [
        type(w).__name__
        for w in set(QApplication.topLevelWidgets()) - before
        if type(w).__module__.startswith("napari_sortingloss")
    ]
    assert not left, f"windows outlive their test: {left}"


def _our_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("sortingloss-")]


@pytest.fixture
def keep(qapp: QApplication) -> Iterator[Callable[[Any], Any]]:
    """Own a widget for the length of a test."""
    kept: list[Any] = []
    yield lambda widget: (kept.append(widget), widget)[1]
    for widget in kept:
        if isalive(widget):
            widget.close()
            widget.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def close_viewer(viewer: Any) -> None:
    """Close a viewer without writing where its window was."""
    window = viewer.window._qt_window
    window._save_current_window_settings = lambda: None
    viewer.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


@pytest.fixture(scope="session")
def _window(qapp: QApplication) -> Iterator[Any]:
    made = napari.viewer.Viewer(show=False)
    # With its first layer napari asks for the graphics driver's abilities, once for the process.
    made.add_image(np.zeros((2, 3)))
    made.layers.clear()
    gc.collect()
    gc.freeze()
    yield made
    close_viewer(made)


@pytest.fixture
def viewer(_window: Any) -> Iterator[Any]:
    """A viewer without layers or docks, with a session of its own; the window itself is shared to save time."""
    yield _window
    session_of(_window).shutdown()
    for dock in list(_window.window._wrapped_dock_widgets.values()):
        widget = dock.inner_widget()
        _window.window.remove_dock_widget(dock)
        widget.deleteLater()
    _window.layers.clear()
    _window.dims.order = (0, 1)
    _window.theme = "dark"
    stage_layers._found.pop(_window, None)  # what was chosen in one test is no choice in another
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def own_viewer(_window: Any) -> Iterator[Any]:
    """A viewer that the test may show and close."""
    made = napari.viewer.Viewer(show=False)
    made.window._qt_window._save_current_window_settings = lambda: None
    yield made
    session_of(made).shutdown()
    if hasattr(made.window, "_qt_window"):
        close_viewer(made)


@pytest.fixture
def session(viewer: Any) -> Session:
    return session_of(viewer)


@pytest.fixture
def study(study_dir: Path, make_volume: Callable[..., np.ndarray], voxel_size: tuple[float, ...]) -> Study:
    """A study with two volumes of different shapes."""
    from napari_sortingloss.formats import array_source

    made = Study.create(study_dir)
    sources = [
        array_source(make_volume(shape, "uint16", seed), name, voxel_size, "mm")
        for seed, (name, shape) in enumerate(SHAPES.items())
    ]
    for _ in add(made, AddSettings(), sources):
        pass
    return made


@pytest.fixture
def opened(session: Session, study: Study, qtbot: Any) -> Session:
    """The session with that study open and its volumes known."""
    session.set_study(study)
    qtbot.waitUntil(lambda: len(session.volumes) == 2)
    return session


@pytest.fixture
def localizer(viewer: Any, session: Session, monkeypatch: pytest.MonkeyPatch) -> LocalizeWidget:
    monkeypatch.setattr(
        actions, "localize_job", lambda study, settings: lambda: localize_job(study, settings)
    )
    made = LocalizeWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


@pytest.fixture
def sorting_run(study: Study) -> str:
    return trained(study)


@pytest.fixture
def localized(
    localizer: LocalizeWidget, study: Study, sorting_run: str, opened: Session, qtbot: Any
) -> LocalizeWidget:
    """The stage with both fish localised, the first one in view."""
    for name in BOXES:
        localize(study, name, sorting_run)
    see(localizer, qtbot, lambda: statuses(localizer) == ["found", "found"])
    idle(localizer, qtbot)
    return localizer
