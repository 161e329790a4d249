"""Averages, clocks, pictures and interrupts: the small parts of the loop."""

from __future__ import annotations

import signal

import cv2
import numpy as np
import pytest
import torch

from napari_sortingloss.training.curves import Curve, main_curve
from napari_sortingloss.training.loop import meters
from napari_sortingloss.training.loop.batch_pictures import save_snapshot
from napari_sortingloss.training.loop.interrupts import deaf, unbroken
from napari_sortingloss.training.loop.meters import Averages, Clock, Every, Recent, means, merge
from napari_sortingloss.training.task import SnapshotData


@pytest.fixture
def now(monkeypatch):
    """A clock that moves when told to."""
    moment = [100.0]
    monkeypatch.setattr(meters.time, "monotonic", lambda: moment[0])

    def move(seconds):
        moment[0] += seconds

    return move


def test_a_figure_is_averaged_over_the_steps_that_have_it():
    averages = Averages()
    averages.add({"loss": torch.tensor(1.0), "hits": 3})
    averages.add({"loss": torch.tensor(3.0)})
    assert means(averages.take()) == {"loss": 2.0, "hits": 3.0}
    assert averages.take() == {}


def test_figures_of_several_processes_weigh_by_their_steps():
    assert means(merge([{"loss": (2.0, 2)}, {"loss": (7.0, 1)}])) == {"loss": 3.0}


def test_a_figure_that_is_no_number_is_left_out():
    assert means({"loss": (float("nan"), 1), "error": (1.0, 1)}) == {"error": 1.0}


def test_recent_figures_forget_what_is_long_past():
    recent = Recent(steps=10)
    recent.add({"loss": (100.0, 10)})
    recent.add({"loss": (5.0, 5)})
    assert recent.means()["loss"] == 7.0
    recent.add({"loss": (5.0, 5)})
    assert recent.means()["loss"] == 1.0


def test_an_interval_is_due_at_once_then_after_its_time(now):
    every = Every(2.0)
    assert [every.due(), every.due()] == [True, False]
    now(2.5)
    assert every.due()


def test_the_intervals_of_a_long_run_grow(now):
    every = Every(1.0, share=0.01)
    now(1000)
    assert every.due()
    now(5)
    assert not every.due()
    now(6)
    assert every.due()


def test_the_speed_is_that_of_the_last_seconds_without_the_slow_first_step(now):
    clock = Clock()
    clock.start()
    now(5)
    clock.step(16)
    for _ in range(4):
        now(0.5)
        clock.step(16)
    assert clock.speed() == pytest.approx(32)


def test_the_clock_stands_still_while_stopped(now):
    clock = Clock()
    clock.start()
    now(1)
    clock.stop()
    now(50)
    clock.start()
    now(1)
    assert clock.now() == pytest.approx(2)


def test_lower_or_higher_is_better_as_the_curve_says():
    assert Curve("loss", "loss").better(1.0, 2.0)
    assert Curve("iou", "IoU", lower_is_better=False).better(0.9, 0.8)
    assert Curve("loss", "loss").better(1.0, None)
    assert not Curve("loss", "loss").better(float("nan"), None)


def test_a_task_with_two_main_curves_is_a_mistake():
    with pytest.raises(ValueError, match="exactly one"):
        main_curve((Curve("a", "a", main=True), Curve("b", "b", main=True)))


def test_many_tiles_are_thinned_with_their_captions(tmp_path):
    tiles = np.zeros((200, 9, 7), np.uint8)
    event = save_snapshot(tmp_path, 5, SnapshotData(tiles, tuple(map(str, range(200)))))
    assert event.tiles == len(event.captions) == 64
    assert (event.captions[0], event.captions[-1]) == ("0", "199")


def test_a_coloured_picture_keeps_its_colours(tmp_path):
    tiles = np.zeros((2, 8, 8, 3), np.uint8)
    tiles[1, ..., 0] = 255  # red
    event = save_snapshot(tmp_path, 1, SnapshotData(tiles))
    blue_green_red = cv2.imread(str(tmp_path / event.picture))
    assert blue_green_red[32, 96].tolist() == [0, 0, 255]


def interrupted(times):
    """Interrupt a block several times and return what happened."""
    done = []
    try:
        with unbroken():
            for time in range(times):
                signal.raise_signal(signal.SIGINT)
                done.append(f"after {time + 1}")
    except KeyboardInterrupt:
        done.append("KeyboardInterrupt")
    return done


def test_an_interrupt_waits_for_the_block_to_end():
    done = interrupted(times=1)
    assert done == ["after 1", "KeyboardInterrupt"]


def test_a_second_interrupt_does_not_wait():
    done = interrupted(times=2)
    assert done == ["after 1", "KeyboardInterrupt"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_deaf_process_ignores_interrupts():
    with deaf():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
