import threading
from pathlib import Path

import pytest

from napari_sortingloss.disk.lock import Ownership, is_owned


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    path = tmp_path / "work.lock"
    path.touch()
    return path


def look(path: Path, times: int = 300) -> list[bool]:
    """Look from four threads at once, as several tables of a window do."""
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.extend(is_owned(path) for _ in range(times))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_those_who_only_look_are_never_taken_for_an_owner(lock_file: Path) -> None:
    assert not any(look(lock_file))


def test_an_owner_is_seen_by_all_who_look(lock_file: Path) -> None:
    owner = Ownership(lock_file)
    assert owner.take()
    try:
        assert all(look(lock_file, times=2))
    finally:
        owner.release()
