"""Loads the heavy libraries of a job in its worker thread without holding up the window.

Three things would stop the event loop while torch, MONAI and albumentations load (measured in napari, seconds):

- The collector of cyclic garbage walks all objects of napari again and again as hundreds of thousands of new ones
  appear (up to 1.1 at a time). It waits here; what was loaded then counts as old, so that it is not walked at once.
- The interpreter's lock is held while torch's shared libraries are linked (0.2 to 0.7, more from a cold disk). Here they
  are linked before the import, by a call that lets go of the lock.
- Pure Python code gives the lock up every few milliseconds; that is left as it is.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_LIBRARIES = ("torch_global_deps", "c10", "torch_cpu", "torch")
"""Those of torch that hold no Python code, in the order of their dependence."""

_turn = threading.Lock()


def import_gently(*modules: str) -> None:
    """Import modules in the calling (worker) thread so that other threads are served meanwhile.

    Parameters
    ----------
    *modules : str
        Full names, e.g. ``"napari_sortingloss.training.loop.loop"``.
    """
    with _turn:
        if all(name in sys.modules for name in modules):
            return
        if "torch" not in sys.modules:
            _link_torch()
        with _collector_waiting():
            for name in modules:
                import_module(name)


@contextmanager
def _collector_waiting() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on and not gc.get_freeze_count():  # somebody else's frozen objects stay frozen
            gc.freeze()
            gc.unfreeze()  # into the oldest generation: together they cost nothing, a collection would
        if was_on:
            gc.enable()


def _link_torch() -> None:
    """Link torch's libraries with the interpreter's lock released; whatever fails here, the import itself will tell.

    On Windows torch loads its libraries that way by itself.
    """
    spec = find_spec("torch")
    if os.name == "nt" or spec is None or spec.origin is None:
        return
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    # Through ctypes, because `ctypes.CDLL(path)` keeps the lock while it links and a foreign call does not.
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    for name in _LIBRARIES:
        path = Path(spec.origin).parent / "lib" / f"lib{name}{suffix}"
        if path.is_file():
            visible = os.RTLD_GLOBAL if name == "torch_global_deps" else os.RTLD_LOCAL
            dlopen(os.fsencode(path), os.RTLD_NOW | visible)
