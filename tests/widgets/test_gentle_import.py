"""Heavy libraries are loaded so that the window goes on: no collection of garbage meanwhile, and all as before after it."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from napari_sortingloss.widgets.toolkit.gentle_import import import_gently

LOAD = """
import gc, sys, threading, time
from napari_sortingloss.widgets.toolkit.gentle_import import import_gently
full = []
gc.callbacks.append(lambda phase, info: full.append(info["generation"]) if phase == "start" else None)
worker = threading.Thread(target=import_gently, args=("napari_sortingloss.training.loop.loop",))
before = len(full)
worker.start()
worker.join()
assert "torch" in sys.modules
assert gc.isenabled() and gc.get_freeze_count() == 0
print("full collections:", full[before:].count(2))
"""


def test_torch_is_loaded_in_a_thread_without_a_single_full_collection():
    done = subprocess.run(
        [sys.executable, "-c", LOAD], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "full collections: 0" in done.stdout


@pytest.fixture
def nothing_frozen():
    """Undo for one test what the suite froze for its speed."""
    gc.unfreeze()
    yield
    gc.freeze()


def test_a_module_that_fails_leaves_the_collector_as_it_was(tmp_path, monkeypatch, nothing_frozen):
    (tmp_path / "broken_for_test.py").write_text("raise ValueError('broken')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="broken"):
        import_gently("broken_for_test")
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_who_has_switched_the_collector_off_finds_it_off(tmp_path, monkeypatch):
    (tmp_path / "sound_for_test.py").write_text("VALUE = 1")
    monkeypatch.syspath_prepend(tmp_path)
    gc.disable()
    try:
        import_gently("sound_for_test")
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert sys.modules["sound_for_test"].VALUE == 1
