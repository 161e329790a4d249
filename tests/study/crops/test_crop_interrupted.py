"""Crops that are cancelled, killed, started twice or run out of disk leave no half volume and lose nothing."""

from __future__ import annotations

import errno
import signal
import sys
from collections import namedtuple

import numpy as np
import pytest

from napari_sortingloss.errors import OutOfMemory, OutOfSpace, StudyError
from napari_sortingloss.events import Progress
from napari_sortingloss.formats import array_source
from napari_sortingloss.study import CropSettings, Study, Volume, VolumeWriter
from napari_sortingloss.study.crops import job as cropping
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.exchange.add import AddSettings, add
from napari_sortingloss.study.localizations.reading import read_localization

BOX = ((3, 30), (5, 60), (10, 88))


@pytest.fixture
def thin_slabs(monkeypatch):
    monkeypatch.setattr(cropping, "slab_height", lambda *_, **__: 4)
    monkeypatch.setattr(cropping, "_EVERY", 0.0)


def run(study: Study, *names: str) -> dict:
    return list(crop(study, CropSettings(volumes=names)))[-1].value


def content(study: Study) -> list[str]:
    folders = ("volumes", "references", "localizations")
    found = [p for folder in folders for p in (study.path / folder).glob("*")]
    found += (study.path / "localizations").glob("*/.*")
    return sorted(str(p.relative_to(study.path)) for p in found)


@pytest.fixture
def labelled(study, make_volume, tmp_path, found_at) -> str:
    volume = make_volume((20, 22, 24))
    np.save(tmp_path / "labels.npy", volume // 100)
    settings = AddSettings(window="0:255", reference=tmp_path / "labels.npy")
    list(add(study, settings, [array_source(volume, "fish", (0.4, 0.25, 0.3), "mm")]))
    found_at("fish", ((1, 19), (2, 20), (3, 20)))
    return "fish"


def test_closing_the_iterator_anywhere_leaves_nothing_of_the_crop(
    study, labelled, thin_slabs, threads_of_jobs
):
    before, threads = content(study), threads_of_jobs()
    total = len(list(crop(study, CropSettings(volumes=(labelled,)))))
    study.remove_volume("fish_crop")
    assert total > 6
    for n in range(1, total):
        job = crop(study, CropSettings(volumes=(labelled,)))
        for _ in range(n):
            event = next(job)
        if isinstance(event, Progress) and event.what == "done":
            break
        job.close()
        assert list(study.volumes) == ["fish"], n
        assert content(study) == before, n
    else:
        pytest.fail("it was never done")
    assert threads_of_jobs() == threads


def test_cancelling_keeps_the_crops_that_are_finished(study, store, found_at, thin_slabs):
    for name in ("a", "b", "c"):
        store(name)
        found_at(name, BOX)
    job = crop(study, CropSettings(volumes=("*",)))
    next(e for e in job if isinstance(e, Progress) and e.what.startswith("b (2 of 3)") and e.done > 35)
    job.close()
    assert list(study.volumes) == ["a", "b", "c", "a_crop"]
    assert run(study, "b")["volumes"][0]["name"] == "b_crop"


SLOW_CROP = """
import sys, time
from napari_sortingloss.study import CropSettings, Study, Volume
from napari_sortingloss.study.crops import job as crop
plain = Volume.read_box
def slow(self, box):
    time.sleep(0.1)
    return plain(self, box)
Volume.read_box = slow
crop.slab_height = lambda *_, **__: 1
crop._EVERY = 0.0
for event in crop.crop(Study.open(sys.argv[1]), CropSettings(volumes=("fish",))):
    print(event.what, event.done, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_kill_9_in_the_middle_of_a_crop_leaves_no_half_volume(study, store, found_at, program):
    store("fish")
    found_at("fish", BOX)
    before = content(study)
    process = program(SLOW_CROP, study.path)
    while (line := process.stdout.readline()) and not line.startswith("fish: writing 5"):
        pass
    with pytest.raises(StudyError, match=r"Cannot crop 'fish': another program or job is cropping it"):
        run(study, "fish")
    assert list(Study.open(study.path).volumes) == ["fish"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert any("part" in name for name in content(study)), "it was killed too late"
    opened = Study.open(study.path)
    assert list(opened.volumes) == ["fish"]
    assert content(opened) == before
    assert run(opened, "fish")["volumes"][0]["name"] == "fish_crop"


def test_a_second_crop_of_the_same_volume_is_refused_at_once_and_of_another_is_not(
    study, store, found_at, thin_slabs
):
    for name in ("a", "b"):
        store(name)
        found_at(name, BOX)
    job = crop(study, CropSettings(volumes=("a",)))
    next(e for e in job if e.done > 5)
    with pytest.raises(StudyError, match=r"Cannot crop 'a': another program or job is cropping it"):
        run(Study.open(study.path), "a")
    assert run(study, "b")["volumes"][0]["name"] == "b_crop"
    assert list(job)[-1].value["volumes"][0]["name"] == "a_crop"


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(study, store, found_at, monkeypatch):
    for name in ("a", "b"):
        store(name)
        found_at(name, BOX)
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    monkeypatch.setattr(Volume, "read_box", lambda *_: pytest.fail("it was read"))
    with pytest.raises(OutOfSpace, match=r"Cannot crop 2 volumes: it needs about .* and 1 kB are free"):
        run(study, "a", "b")


def test_a_disk_that_fills_up_is_said_and_the_part_is_removed(study, labelled, monkeypatch, thin_slabs):
    before = content(study)
    plain = VolumeWriter.write

    def write(self, z0, slab):
        if z0 >= 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, z0, slab)

    monkeypatch.setattr(VolumeWriter, "write", write)
    with pytest.raises(OutOfSpace, match="Cannot crop 'fish': the disk is full"):
        run(study, labelled)
    assert content(study) == before
    assert read_localization(study, labelled) is not None


def test_too_little_memory_is_said_in_one_sentence(study, labelled, monkeypatch):
    def read_box(self, box):
        raise MemoryError

    monkeypatch.setattr(Volume, "read_box", read_box)
    with pytest.raises(OutOfMemory, match="Cannot crop 'fish': the memory does not suffice"):
        run(study, labelled)


def test_a_parent_that_is_renamed_in_the_middle_leaves_no_crop_of_nothing(study, store, found_at, thin_slabs):
    store("fish")
    found_at("fish", BOX)
    job = crop(study, CropSettings(volumes=("fish",)))
    next(e for e in job if e.done > 5)
    study.rename_volume("fish", "cod")
    with pytest.raises(StudyError, match=r"Cannot (crop|read)"):
        list(job)
    assert list(study.volumes) == ["cod"]
    assert run(study, "cod")["volumes"][0]["parent"] == "cod"


PEAK = """
import sys, threading, psutil
import numpy as np
from pathlib import Path
from napari_sortingloss.study import CropSettings, Study, VolumeRecord, VolumeWriter
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.localizations.reading import Localization, LocalizationWriter

def made(name, shape):
    with VolumeWriter(study, VolumeRecord(name, shape)) as writer:
        for z in range(0, shape[0], 8):
            writer.write(z, np.full((min(8, shape[0] - z), *shape[1:]), z % 250, np.uint8))
        writer.commit()
    box = tuple((1, n - 1) for n in shape)
    with LocalizationWriter(study, name, "sorting-1") as writer:
        writer.uncertainty(np.zeros((1, 1, 1)), {"shape": [1, 1, 1], "scale": [1, 1, 1], "offset": [0, 0, 0]})
        writer.commit(Localization(volume=name, run="", created="", shape=shape, box=box, found=box))

study = Study.create(sys.argv[1])
made("small", (5, 6, 7))
made("big", (300, 900, 900))
list(crop(study, CropSettings(volumes=("small",))))
process = psutil.Process()
anonymous = lambda: process.memory_info().rss - process.memory_info().shared
before = highest = anonymous()
done = threading.Event()
def watch():
    global highest
    while not done.wait(0.001):
        highest = max(highest, anonymous())
watcher = threading.Thread(target=watch)
watcher.start()
list(crop(study, CropSettings(volumes=("big",))))
done.set()
watcher.join()
print((highest - before) >> 20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts memory that is not of mapped files")
def test_memory_stays_far_below_the_volume(tmp_path, program):
    """240 MB of voxels."""
    process = program(PEAK, tmp_path / "study")
    assert int(process.communicate()[0]) < 130
