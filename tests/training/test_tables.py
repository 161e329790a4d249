"""Tables of counts: asked for at every validation, added up, written to the log, rewound with a resumed run."""

from __future__ import annotations

import json

import numpy as np
from toy_training import ToySettings, ToyTask

from napari_sortingloss.events import Event, Matrix, Metrics
from napari_sortingloss.study.runs.event_log import encode
from napari_sortingloss.training.computer.pace import Laps
from napari_sortingloss.training.loop.batch_pictures import save_snapshot
from napari_sortingloss.training.loop.reporter import Reporter
from napari_sortingloss.training.task import MatrixData, SnapshotData


class Counting(ToyTask):
    """Counts its training batches in the first cell and its validations in the last."""

    def __init__(self, settings):
        super().__init__(settings)
        self.counted = {}

    def _count(self, split, cell):
        self.counted.setdefault(split, np.zeros((2, 2), int))[cell] += 1

    def loss(self, network, batch):
        self._count("train" if network.training else "validation", (0, 0) if network.training else (1, 1))
        return super().loss(network, batch)

    def take_matrix(self, split):
        counts = self.counted.pop(split, None)
        return None if counts is None else MatrixData(counts, ("low", "high"), "side")


def tables(events):
    return [(e.step, e.split, e.counts) for e in events if isinstance(e, Matrix)]


def test_a_table_of_each_split_comes_with_every_validation(trainer):
    run, job = trainer.job(Counting, validate=1, validate_every=5)
    events = list(job)
    assert tables(events) == [
        (5, "train", ((5, 0), (0, 0))),
        (5, "validation", ((0, 0), (0, 2))),
        (10, "train", ((5, 0), (0, 0))),
        (10, "validation", ((0, 0), (0, 2))),
        (12, "train", ((2, 0), (0, 0))),
        (12, "validation", ((0, 0), (0, 2))),
    ]
    logged = [e for e in run.events() if isinstance(e, Matrix)]
    assert [e.counts for e in logged] == [[list(row) for row in c] for _, _, c in tables(events)]
    assert logged[0].labels == ["low", "high"]
    assert logged[0].what == "side"


def test_without_validation_volumes_there_is_still_a_table_of_training(trainer):
    _, job = trainer.job(Counting, validate_every=6)
    assert [(step, split) for step, split, _ in tables(job)] == [(6, "train"), (12, "train")]


def test_a_task_without_classes_has_no_tables(trainer):
    _, job = trainer.job(validate=1, validate_every=6)
    assert tables(job) == []


def test_a_resumed_run_forgets_the_tables_behind_its_checkpoint(trainer):
    run, job = trainer.job(Counting, validate=1, validate_every=2, checkpoint_every=5)
    for event in job:
        if isinstance(event, Metrics) and event.step == 8 and event.split == "validation":
            break
    job.close()
    saved = run.summary()["step"]
    list(trainer.resume(run, Counting, validate=1))
    steps = [e.step for e in run.events() if isinstance(e, Matrix) and e.split == "validation"]
    assert steps == [2, 4, 6, 8, 10, 12]
    assert saved == 8


def test_the_counts_of_several_processes_are_added_up():
    parts = [
        MatrixData(np.array([[1, 2], [3, 4]]), ("a", "b")),
        None,
        MatrixData(np.eye(2, dtype=int), ("a", "b")),
    ]
    (event,) = Reporter(None, 10, Laps(ToySettings())).matrix(3, "train", parts)
    assert event.counts == ((2, 2), (3, 5))
    assert list(Reporter(None, 10, Laps(ToySettings())).matrix(3, "train", [None, None])) == []


def test_a_table_survives_the_log_and_an_older_program_shows_it_as_a_notice():
    event = Matrix(step=3, counts=((1, 2), (3, 4)), labels=("a", "b"), what="side", split="validation")
    read = Event.from_record(json.loads(encode(event)))
    assert isinstance(read, Matrix)
    assert (read.counts, read.split, read.time) == ([[1, 2], [3, 4]], "validation", event.time)


def test_pictures_of_pairs_are_thinned_by_whole_pairs(tmp_path):
    tiles = np.zeros((200, 8, 8), np.uint8)
    captions = tuple(str(i) for i in range(100))
    data = SnapshotData(tiles, captions, (True,) * 100, "pairs", group=2, about="what it is")
    event = save_snapshot(tmp_path, 1, data)
    assert (event.tiles, event.group, event.about) == (64, 2, "what it is")
    assert len(event.captions) == len(event.correct) == 32
    assert (event.captions[0], event.captions[-1]) == ("0", "99")
