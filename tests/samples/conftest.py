"""The six fish at half the resolution, made once for all tests of the room."""

from __future__ import annotations

import pytest

from napari_sortingloss.samples import COUNT, Phantom, make_phantom


@pytest.fixture(scope="session")
def school() -> tuple[Phantom, ...]:
    return tuple(make_phantom(index, scale=0.5) for index in range(COUNT))
