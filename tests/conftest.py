"""Fixtures for all rooms: small volumes that are no cubes, with three different voxel sizes."""

from __future__ import annotations

import gc
import os
import signal
import threading

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

VOXEL_SIZE = (0.4, 0.25, 0.3)


def pytest_collection_finish() -> None:
    """Let the collector of garbage not look through what lives as long as the tests: napari calls it with each layer."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def hears_interrupts() -> None:
    """Hear Ctrl-C also where the suite was started in the background, which makes a shell ignore it for us."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def threads_of_jobs() -> Callable[[], set[threading.Thread]]:
    """Return the threads there are, but for those of zarr, whose pool grows by one whenever all of it is at work."""

    def there() -> set[threading.Thread]:
        return {t for t in threading.enumerate() if not t.name.startswith(("zarr_", "asyncio_"))}

    return there


@pytest.fixture
def voxel_size() -> tuple[float, float, float]:
    return VOXEL_SIZE


@pytest.fixture
def make_volume() -> Callable[..., np.ndarray]:
    """Make a (z, y, x) volume whose content changes along every axis."""

    def make(shape: tuple[int, int, int] = (24, 18, 30), dtype: str = "uint8", seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
        body = ((y - 0.5) ** 2 + (x - 0.45) ** 2) < (0.1 + 0.25 * z) ** 2
        values = 0.1 + 0.5 * body + 0.2 * z * body + 0.05 * rng.random(shape)
        if np.issubdtype(np.dtype(dtype), np.floating):
            return values.astype(dtype)
        top = min(np.iinfo(dtype).max, 60_000)
        return (values * top).astype(dtype)

    return make


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    return tmp_path / "study"
