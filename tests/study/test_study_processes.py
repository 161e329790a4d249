"""Several programs in one study, and programs that die in the middle, lose nothing and leave nothing half-visible."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.study import Study, StudyError, VolumeRecord, VolumeWriter

Program = Callable[..., subprocess.Popen[str]]

ADD_TEN = """
    import sys
    import numpy as np
    from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter
    study = Study.open(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(10):
        record = VolumeRecord(f"{sys.argv[2]}_{number}", (3, 4, 5))
        with VolumeWriter(study, record) as writer:
            writer.write(0, np.full((3, 4, 5), number, np.uint8))
            writer.commit()
        with study.transaction() as document:
            document["settings"]["count"] = document["settings"].get("count", 0) + 1
    print("done", flush=True)
"""

WRITE_HALF = """
    import sys, time
    import numpy as np
    from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter
    writer = VolumeWriter(Study.open(sys.argv[1]), VolumeRecord("fish", (400, 80, 90)))
    writer.write(0, np.ones((200, 80, 90), np.uint8))
    print("half", flush=True)
    time.sleep(60)
"""

HOLD = """
    import sys, time
    from napari_sortingloss.study import Study
    with Study.open(sys.argv[1]).transaction():
        print("held", flush=True)
        time.sleep(60)
"""


def test_two_programs_adding_at_once_lose_nothing(study: Study, program: Program) -> None:
    both = [program(ADD_TEN, study.path, name) for name in ("left", "right")]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in both:
        assert one.stdout.readline() == "done\n"
    opened = Study.open(study.path)
    assert set(opened.volumes) == {f"{side}_{number}" for side in ("left", "right") for number in range(10)}
    assert opened.settings == {"count": 20}
    for volume in opened.select():
        assert (volume.read_slab(0, 3) == int(volume.name[-1])).all()
    assert all(not p.name.startswith(".") for p in (study.path / "volumes").iterdir())


def test_threads_changing_at_once_lose_nothing(study: Study) -> None:
    def change() -> None:
        for _ in range(10):
            with study.transaction() as document:
                document["settings"]["count"] = document["settings"].get("count", 0) + 1

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert study.settings == {"count": 40}


def test_a_study_that_another_program_keeps_locked_says_so(study: Study, program: Program) -> None:
    holder = program(HOLD, study.path)
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(StudyError, match=r"another program has been writing to the study for more than 0.2 s"),
        study.transaction(timeout=0.2),
    ):
        pass
    assert Study.open(study.path).volumes == {}  # reading goes on
    holder.kill()
    holder.wait()
    with study.transaction(timeout=5) as document:
        document["settings"]["free"] = True
    assert study.settings == {"free": True}


def test_a_killed_import_leaves_nothing_behind(study: Study, program: Program) -> None:
    writer = program(WRITE_HALF, study.path)
    assert writer.stdout.readline() == "half\n"
    parts = list((study.path / "volumes").iterdir())
    assert len(parts) == 2  # the part and its lock
    writer.kill()
    writer.wait()
    opened = Study.open(study.path)
    assert opened.volumes == {}
    assert list((study.path / "volumes").iterdir()) == []
    assert opened.free_name("fish") == "fish"


def test_a_living_import_is_left_alone(study: Study, program: Program) -> None:
    writer = program(WRITE_HALF, study.path)
    assert writer.stdout.readline() == "half\n"
    before = sorted((study.path / "volumes").rglob("*"))
    opened = Study.open(study.path)
    assert sorted((study.path / "volumes").rglob("*")) == before
    assert opened.volumes == {}
    assert opened.free_name("fish") == "fish-2"


def test_a_part_of_another_computer_is_given_up_when_it_is_old(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = study.path / "volumes" / ".fish.zarr.part-0123456789ab"
    part.mkdir(parents=True)
    (part / "owner.json").write_text(json.dumps({"pid": 1, "host": socket.gethostname() + "-2"}))
    Study.open(study.path)
    assert part.is_dir()
    for path in (part / "owner.json", part):
        os.utime(path, (time.time() - 3600,) * 2)
    Study.open(study.path)
    assert not part.exists()


def test_a_commit_killed_before_it_was_listed_can_be_repeated(
    study: Study, store: Callable[..., VolumeRecord], voxels: np.ndarray
) -> None:
    store()
    with study.transaction() as document:  # as if the program had died between the rename and the list
        del document["volumes"]["fish"]
    assert Study.open(study.path).free_name("fish") == "fish"
    store(array=255 - voxels)
    np.testing.assert_array_equal(study.volume("fish").read_slab(0, 37), 255 - voxels)


@pytest.mark.parametrize("moment", ["before the rename", "after the rename", "after the list"])
def test_a_commit_killed_at_any_moment_shows_the_volume_whole_or_not_at_all(
    study: Study, program: Program, moment: str
) -> None:
    code = """
        import os, signal, sys
        import numpy as np
        from pathlib import Path
        from napari_sortingloss.disk import atomic
        from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter
        die = lambda: os.kill(os.getpid(), signal.SIGKILL)
        rename, write = Path.rename, atomic.write_json
        moment = sys.argv[2]
        def rename_(self, target):
            if moment == "before the rename": die()
            result = rename(self, target)
            if moment == "after the rename": die()
            return result
        def write_(path, document):
            write(path, document)
            if path.name == "study.json": die()
        writer = VolumeWriter(Study.open(sys.argv[1]), VolumeRecord("fish", (6, 70, 80)))
        writer.write(0, np.full((6, 70, 80), 7, np.uint8))
        Path.rename, atomic.write_json = rename_, write_
        writer.commit()
    """
    assert program(code, study.path, moment).wait(timeout=60) == -9
    opened = Study.open(study.path)
    assert list(opened.volumes) == (["fish"] if moment == "after the list" else [])
    for volume in opened.select():
        assert (volume.read_slab(0, 6) == 7).all()
    assert not list((study.path / "volumes").glob(".*"))


def test_what_a_killed_removal_left_is_cleared_away(
    study: Study, store: Callable[..., VolumeRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    store()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        study.remove_volume("fish")
    monkeypatch.undo()
    assert list(Study.open(study.path).volumes) == []
    assert list((study.path / "volumes").iterdir()) == []


def test_a_leftover_of_a_killed_writer_of_the_document_is_cleared_away(study: Study) -> None:
    leftover = study.path / ".study.json.0123.tmp"
    leftover.write_text("{")
    Study.open(study.path)
    assert not leftover.exists()


def test_a_study_that_cannot_be_written_still_opens(
    study: Study, store: Callable[..., VolumeRecord], monkeypatch: pytest.MonkeyPatch, voxels: np.ndarray
) -> None:
    store()
    (study.path / ".study.lock").unlink()
    (study.path / ".study.lock").mkdir()  # refuses to be a lock file, even for root
    opened = Study.open(study.path)
    np.testing.assert_array_equal(opened.volume("fish").read_slab(0, 37), voxels)


def test_an_import_into_a_place_that_is_a_file_says_so(study: Study) -> None:
    (study.path / "volumes").write_text("not a folder")
    with pytest.raises(Exception, match="Cannot write volume 'fish': ") as caught:
        VolumeWriter(study, VolumeRecord("fish", (3, 4, 5)))
    assert "\n" not in str(caught.value)
    assert Path(study.path / "volumes").read_text() == "not a folder"
