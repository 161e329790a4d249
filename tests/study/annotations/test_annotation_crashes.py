"""What is left when a program that paints is killed, when the power fails, and when two programs want to paint."""

from __future__ import annotations

import json
import random
import shutil
import time

import numpy as np
import pytest

from napari_sortingloss.errors import StudyError
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor

DAB = ((3, 4), (6, 12), (10, 30))

PAINTER = """
import sys
import numpy as np
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor, Change

editor = AnnotationEditor(Study.open(sys.argv[1]), "fish")
rng = np.random.default_rng(int(sys.argv[2]))
print("ready", flush=True)
for number in range(1, 100_000):
    changes = []
    z = int(rng.integers(0, 37))
    for _ in range(5):
        y, x = int(rng.integers(0, 60)), int(rng.integers(0, 80))
        view = editor.labels[z : z + 1, y : y + 9, x : x + 9]
        value = int(rng.integers(0, 4))
        mask = np.asarray(view != value)
        changes.append(Change((z, y, x), mask, np.array(view[mask]), value))
        view[mask] = value
    editor.record(changes)
    print(number, flush=True)
"""


def replayed(seed: int, strokes: int) -> tuple[list[np.ndarray], np.ndarray]:
    """What the painter had after each stroke, and where the one after these goes."""
    labels = np.zeros((37, 70, 90), np.uint8)
    under = np.zeros(labels.shape, bool)
    rng = np.random.default_rng(seed)
    states = [labels.copy()]
    for number in range(strokes + 1):
        z = int(rng.integers(0, 37))
        for _ in range(5):
            y, x = int(rng.integers(0, 60)), int(rng.integers(0, 80))
            place = slice(z, z + 1), slice(y, y + 9), slice(x, x + 9)
            labels[place] = int(rng.integers(0, 4))
            under[place] |= number == strokes
        states.append(labels.copy())
    return states[:-1], under


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_finished_stroke_outlives_kill_9(study, store, program, seed):
    store("fish")
    process = program(PAINTER, study.path, seed)
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.uniform(0.2, 0.8))
    process.kill()
    finished = int((process.stdout.read().split() or ["0"])[-1])
    assert finished > 3
    with AnnotationEditor(Study.open(study.path), "fish") as editor:
        recorded = len(editor._held.journal.undoable)
        assert finished <= recorded <= finished + 1
        states, under = replayed(seed, recorded)

        def check(strokes: int) -> None:
            # Only the stroke that the program was in the middle of when it was killed may be there in part.
            np.testing.assert_array_equal(editor.labels[~under], states[strokes][~under])

        check(recorded)
        for strokes in range(recorded - 1, -1, -1):
            editor.undo()
            if strokes % 9 == 0 or strokes > recorded - 5:
                check(strokes)
        assert editor.undo() is None
        assert editor.annotations.slices() == ()
        while editor.redo():
            pass
        check(recorded)


def test_only_one_program_paints_on_a_volume(study, store, program):
    store("fish")
    store("other")
    holder = program(PAINTER, study.path, 1)
    assert holder.stdout.readline() == "ready\n"
    with pytest.raises(StudyError, match="another program or window has its annotations open"):
        AnnotationEditor(study, "fish")
    with pytest.raises(StudyError, match="open for painting"):
        study.rename_volume("fish", "cod")
    AnnotationEditor(study, "other").close()
    holder.kill()
    holder.wait()
    with AnnotationEditor(study, "fish") as editor:
        with pytest.raises(StudyError, match="another program or window"):
            AnnotationEditor(study, "fish")
        assert editor.undo_text == "stroke"


BULK = """
import sys, time
import numpy as np
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor

editor = AnnotationEditor(Study.open(sys.argv[1]), "fish")
bulk = editor.bulk("import of labels.nii")
for z in range(0, 30, 5):
    bulk.write((z, 0, 0), np.full((5, 70, 90), 7, np.uint8))
    bulk.set_status(z, "complete")
    print(z, flush=True)
if sys.argv[2] == "commit":
    bulk.commit()
print("done", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("lines", [1, 3, 7])
def test_a_bulk_action_that_was_killed_is_taken_back(study, store, program, paint, lines):
    store("fish")
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, DAB, 2)
        before, slices = np.array(editor.labels), editor.annotations.slices()
    process = program(BULK, study.path, "stop")
    for _ in range(lines):
        process.stdout.readline()
    process.kill()
    process.wait()
    with AnnotationEditor(study, "fish") as editor:
        np.testing.assert_array_equal(editor.labels, before)
        assert editor.annotations.slices() == slices
        assert editor.undo_text == "stroke"
        paint(editor, DAB, 3)
    with AnnotationEditor(study, "fish") as editor:
        assert (editor.labels[3, 6:12, 10:30] == 3).all()
        editor.undo()
        np.testing.assert_array_equal(editor.labels, before)


def test_a_bulk_action_that_was_killed_after_its_end_lasts(study, store, program):
    store("fish")
    process = program(BULK, study.path, "commit")
    while process.stdout.readline() != "done\n":
        pass
    process.kill()
    process.wait()
    with AnnotationEditor(study, "fish") as editor:
        assert (editor.labels[:30] == 7).all()
        assert len(editor.annotations.slices()) == 6
        editor.undo()
        assert not editor.labels.any()


# -------------------------------------------------------------------------------------------------- power failures
@pytest.fixture
def torn(study, store, paint):
    """The files of a session of which nothing after the first stroke is known to be on the disk."""
    store("fish")
    editor = AnnotationEditor(study, "fish")
    paint(editor, DAB, 2)
    editor.flush()
    early = editor.path / "labels.npy"
    first = early.read_bytes()
    for value in (3, 4, 5):
        paint(editor, DAB, value)
    editor.set_status("z", 3, "complete")
    kept = study.path.parent / "kept"
    shutil.copytree(editor.path, kept)
    editor.close()
    shutil.rmtree(editor.path)
    shutil.copytree(kept, editor.path)
    return editor.path, first


def test_labels_that_did_not_reach_the_disk_come_from_the_journal(study, torn):
    folder, first = torn
    (folder / "labels.npy").write_bytes(first)
    with AnnotationEditor(study, "fish") as editor:
        assert (editor.labels[3, 6:12, 10:30] == 5).all()
        assert editor.annotations.status("z", 3) == "complete"
        for value in (5, 4, 3, 2, 0):
            editor.undo()
            assert (editor.labels[3, 6:12, 10:30] == value).all()


@pytest.mark.parametrize("cut", [1, 30, 200, 700])
def test_a_torn_last_line_is_cut_off(study, torn, cut):
    folder, _ = torn
    lines = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(lines[:-cut])
    with AnnotationEditor(study, "fish") as editor:
        assert (editor.labels[3, 6:12, 10:30] >= 2).all()
        assert not editor.history_lost
        editor.set_status("z", 9, "complete")
    for line in (folder / "journal.jsonl").read_bytes().splitlines():
        json.loads(line)
    with AnnotationEditor(study, "fish") as editor:
        while editor.undo():
            pass
        assert not editor.labels.any()


@pytest.mark.parametrize("cut", [1, 50])
def test_a_torn_payload_is_cut_off_with_what_came_after_it(study, torn, cut):
    folder, _ = torn
    payloads = (folder / "journal.bin").read_bytes()
    (folder / "journal.bin").write_bytes(payloads[:-cut] + bytes(cut))
    with AnnotationEditor(study, "fish") as editor:
        assert editor.undo_text == "stroke"
        while editor.undo():
            pass
        assert (editor.labels[3, 6:12, 10:30] == 0).all()


def test_a_journal_damaged_in_the_middle_is_put_aside_and_nothing_painted_is_lost(study, torn):
    folder, _ = torn
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[2] = b"garbage\n"
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    with AnnotationEditor(study, "fish") as editor:
        assert editor.history_lost
        assert (editor.labels[3, 6:12, 10:30] == 5).all()
        assert editor.undo_text == ""
        editor.set_status("z", 3, "empty")
        editor.set_status("z", 3, "complete")
        assert editor.annotations.status("z", 3) == "complete"
    assert (folder / "damaged-1-journal.jsonl").read_bytes() == b"".join(lines)
    assert (folder / "damaged-1-journal.bin").exists()
    with AnnotationEditor(study, "fish") as editor:
        assert not editor.history_lost
        assert editor.annotations.status("z", 3) == "complete"


def test_a_payload_damaged_long_ago_stops_undo_there_with_a_sentence(study, store, paint):
    store("fish")
    with AnnotationEditor(study, "fish") as editor:
        paint(editor, DAB, 2)
        paint(editor, DAB, 3)
    payloads = editor.path / "journal.bin"
    data = bytearray(payloads.read_bytes())
    data[10] ^= 255
    payloads.write_bytes(bytes(data))
    with AnnotationEditor(study, "fish") as editor:
        editor.undo()
        with pytest.raises(StudyError, match="what is painted now is untouched"):
            editor.undo()
        assert (editor.labels[3, 6:12, 10:30] == 2).all()
        assert editor.undo_text == "stroke"
