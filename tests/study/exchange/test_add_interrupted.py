"""Imports that are cancelled, killed, or run out of disk or memory leave nothing half-visible."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.disk import slabs
from napari_sortingloss.errors import OutOfMemory, OutOfSpace
from napari_sortingloss.events import Progress, Result
from napari_sortingloss.formats import array_source
from napari_sortingloss.study import Study, VolumeWriter
from napari_sortingloss.study.exchange.add import AddSettings, add

SHAPE = (24, 22, 17)


@pytest.fixture
def study(study_dir) -> Study:
    return Study.create(study_dir)


@pytest.fixture
def thin_slabs(monkeypatch):
    monkeypatch.setattr("napari_sortingloss.study.exchange.measure_window.slab_height", lambda *_, **__: 2)


def left_over(study: Study) -> list[str]:
    return [
        str(p.relative_to(study.path)) for d in ("volumes", "references") for p in (study.path / d).glob("*")
    ]


@pytest.mark.parametrize("stage", ["looking", "reference", "measuring", "writing"])
def test_closing_the_iterator_at_any_stage_leaves_nothing(
    study, make_volume, tmp_path, thin_slabs, monkeypatch, threads_of_jobs, stage
):
    monkeypatch.setattr("napari_sortingloss.study.exchange.add._EVERY", 0.0)
    np.save(tmp_path / "fish.npy", make_volume(SHAPE, "uint16"))
    np.save(tmp_path / "labels.npy", make_volume(SHAPE) // 100)
    settings = AddSettings(paths=(tmp_path / "fish.npy",), reference=tmp_path / "labels.npy")
    before = threads_of_jobs()
    job = add(study, settings)
    event = next(e for e in job if isinstance(e, Progress) and stage in e.what)
    assert event.done < SHAPE[0]
    job.close()
    assert not study.volumes
    assert left_over(study) == []
    assert threads_of_jobs() == before
    assert isinstance(list(add(study, settings))[-1], Result)


SLOW_IMPORT = """
import sys, time
import numpy as np
from pathlib import Path
from napari_sortingloss.formats import array_source
from napari_sortingloss.study import Study
from napari_sortingloss.study.exchange import measure_window as measure
from napari_sortingloss.study.exchange.add import AddSettings, add

class Slow:
    shape, dtype, ndim = (400, 22, 17), np.dtype(np.uint16), 3
    def __getitem__(self, index):
        time.sleep(0.02)
        z = np.arange(400, dtype=np.uint16)[index[0] if isinstance(index, tuple) else index]
        return np.broadcast_to(z[:, None, None] * 100, (len(z), 22, 17)).copy()

measure.slab_height = lambda *_, **__: 4
path, window = Path(sys.argv[1]), sys.argv[2]
for event in add(Study.open(path), AddSettings(window=window), [array_source(Slow(), "slow", (0.4, 0.25, 0.3), "mm")]):
    print(getattr(event, "what", ""), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize(("window", "stage"), [("p1:p99", "measuring"), ("0:30000", "writing")])
def test_kill_9_in_the_middle_loses_only_that_volume(study, make_volume, window, stage):
    list(add(study, AddSettings(), [array_source(make_volume(SHAPE), "first", (0.4, 0.25, 0.3), "mm")]))
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_IMPORT, str(study.path), window], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if stage in line:
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [p for p in left_over(study) if "part" in p], "it was killed too late"

    opened = Study.open(study.path)
    assert list(opened.volumes) == ["first"]
    assert left_over(opened) == ["volumes/first.zarr"]
    data = make_volume((31, 22, 17), "uint16")
    list(add(opened, AddSettings(), [array_source(data, "slow", (0.4, 0.25, 0.3), "mm")]))
    assert list(opened.volumes) == ["first", "slow"]
    assert opened.volumes["slow"].shape == (31, 22, 17)


def test_another_program_opening_the_study_does_not_disturb_an_import(
    study, make_volume, thin_slabs, monkeypatch
):
    monkeypatch.setattr("napari_sortingloss.study.exchange.add._EVERY", 0.0)
    job = add(study, AddSettings(), [array_source(make_volume(SHAPE), "fish", (0.4, 0.25, 0.3), "mm")])
    for event in job:
        if isinstance(event, Progress) and event.done % 3 == 0:
            assert "fish" not in Study.open(study.path).volumes or event.what == "done"
    assert "fish" in study.volumes


def test_a_disk_that_fills_up_is_said_and_the_part_is_removed(study, make_volume, monkeypatch, thin_slabs):
    written = []
    plain_write = VolumeWriter.write

    def write(self, z0, slab):
        from napari_sortingloss.errors import readable_os_errors

        if len(written) == 3:
            with readable_os_errors("Cannot write volume 'fish'"):
                raise OSError(errno.ENOSPC, "No space left on device")
        written.append(z0)
        plain_write(self, z0, slab)

    monkeypatch.setattr(VolumeWriter, "write", write)
    with pytest.raises(OutOfSpace, match="the disk is full; free some space"):
        list(add(study, AddSettings(), [array_source(make_volume(SHAPE), "fish", (0.4, 0.25, 0.3), "mm")]))
    assert left_over(study) == []


def test_a_full_disk_under_the_temporary_file_is_said_as_well(study, make_volume, monkeypatch, tmp_path):
    def append(self, slab):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(slabs.Spool, "append", append)
    with pytest.raises(OutOfSpace, match="Cannot add 'fish': the disk is full"):
        list(add(study, AddSettings(), [array_source(make_volume(SHAPE), "fish", (0.4, 0.25, 0.3), "mm")]))
    assert left_over(study) == []


def test_a_disk_that_is_too_small_is_said_before_anything_is_read(study, make_volume, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    source = array_source(make_volume(SHAPE), "fish", (0.4, 0.25, 0.3), "mm")
    monkeypatch.setattr(source, "_read", lambda start, stop: pytest.fail("it was read"))
    with pytest.raises(OutOfSpace, match=r"it needs about 16\.8 MB on the study's disk and 1 kB are free"):
        list(add(study, AddSettings(), [source]))


def test_too_little_memory_is_said_in_one_sentence(study, make_volume, monkeypatch):
    def no_memory(slab, factor):
        raise MemoryError

    monkeypatch.setattr("napari_sortingloss.study.exchange.measure_window.block_mean", no_memory)
    with pytest.raises(OutOfMemory, match="Cannot add 'fish': the memory does not suffice"):
        list(
            add(
                study,
                AddSettings(window="0:9"),
                [array_source(make_volume(SHAPE), "fish", (0.4, 0.25, 0.3), "mm")],
            )
        )
    assert left_over(study) == []


PEAK = """
import sys, threading, psutil
import numpy as np
from pathlib import Path
from napari_sortingloss.study import Study
from napari_sortingloss.study.exchange.add import AddSettings, add

def run(path, name):
    window = "0:1" if name == "small" else "p1:p99.95"
    for _ in add(study, AddSettings(paths=(path,), name=name, window=window, downsample=int(sys.argv[2]))):
        pass

folder = Path(sys.argv[1])
study = Study.create(folder / "study")
np.save(folder / "small.npy", np.random.default_rng(0).random((6, 8, 10), dtype=np.float32))
run(folder / "small.npy", "small")
big = np.lib.format.open_memmap(folder / "big.npy", "w+", np.float32, (500, 500, 400))
big[::100, 100:200, 50:90] = np.linspace(0, 1, 40, dtype=np.float32)
del big
process = psutil.Process()
before = highest = process.memory_info().rss
done = threading.Event()
def watch():
    global highest
    while not done.wait(0.001):
        highest = max(highest, process.memory_info().rss)
watcher = threading.Thread(target=watch)
watcher.start()
run(folder / "big.npy", "big")
done.set()
watcher.join()
print((highest - before) >> 20)
"""


@pytest.mark.parametrize("downsample", [1, 2])
def test_memory_stays_far_below_the_volume(tmp_path, downsample):
    """400 MB on disk, as a sparse file."""
    got = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), str(downsample)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(got.stdout) < 220


@pytest.mark.parametrize(
    ("shape", "itemsize", "multiple", "height"),
    [
        ((2000, 2000, 2000), 2, 1, 4),
        ((2000, 2000, 2000), 2, 4, 4),
        ((2000, 2000, 2000), 4, 3, 3),
        ((50, 9000, 9000), 4, 1, 1),
        ((50, 9000, 9000), 4, 2, 2),
        ((7, 10, 10), 1, 1, 7),
        ((7, 10, 10), 1, 4, 8),
    ],
)
def test_slabs_hold_as_many_slices_as_fit_a_budget_and_whole_blocks(shape, itemsize, multiple, height):
    assert slabs.slab_height(shape, itemsize, multiple) == height


@pytest.mark.parametrize("limit", [1000, 100_000], ids=["file", "memory"])
def test_what_was_put_aside_is_read_again_from_memory_or_from_a_file_without_a_name(
    tmp_path, monkeypatch, limit
):
    monkeypatch.setattr(slabs, "SPOOL_BYTES", limit)
    data = np.random.default_rng(0).random((11, 12, 13)).astype(np.float32)
    with slabs.Spool(data.shape, data.dtype, tmp_path) as spool:
        for start, stop in slabs.steps(11, 4):
            spool.append(data[start:stop])
        assert (spool.read(3, 9) == data[3:9]).all()
        assert (spool.read(0, 2) == data[:2]).all()
        assert (spool.read(4, 8) == data[4:8]).all()
        assert (spool.read(10, 11) == data[10:]).all()
        assert (np.concatenate(list(spool.slabs())) == data).all()
        if sys.platform.startswith("linux"):
            assert not list(tmp_path.iterdir())


def test_reading_ahead_ticks_while_it_waits_and_hands_errors_on():
    def slow():
        time.sleep(0.05)
        yield 1
        raise ValueError("broken")

    with slabs.Ahead(slow(), tick=0.01) as ahead:
        items = iter(ahead)
        seen = list(iter(lambda: next(items), 1))
        with pytest.raises(ValueError, match="broken"):
            next(items)
    assert len(seen) >= 2
    assert set(seen) == {None}


def test_closing_early_closes_what_is_read():
    closed = []

    def endless():
        try:
            while True:
                yield Path()
        finally:
            closed.append(True)

    with slabs.Ahead(endless()) as ahead:
        next(iter(ahead))
    assert closed == [True]
