"""The batch loader: in order, the same whatever the threads, errors where they belong, prompt to close."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest

from napari_sortingloss.slices.loader import BatchLoader, step_rng


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("batch-loader")]


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind():
    yield
    assert wait_until(lambda: not loader_threads())


def uneven(step):
    time.sleep(float(step_rng(9, step).random()) * 0.01)
    return step, step_rng(1, step).integers(0, 1000, 5).tolist()


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_batches_come_in_step_order(workers):
    with BatchLoader(uneven, 0, 30, workers, prefetch=6) as loader:
        assert [step for step, _ in loader] == list(range(30))


def test_the_same_seed_gives_the_same_batches_whatever_the_number_of_workers():
    runs = []
    for workers in (0, 1, 4):
        with BatchLoader(uneven, 0, 20, workers, prefetch=3) as loader:
            runs.append(list(loader))
    assert runs[0] == runs[1] == runs[2]


def test_starting_at_a_step_gives_the_same_as_running_through():
    with BatchLoader(uneven, 0, 20, 2) as through, BatchLoader(uneven, 12, 8, 3) as resumed:
        assert list(through)[12:] == list(resumed)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_is_raised_at_its_step_and_not_before(workers):
    def fails_at_three(step):
        if step == 3:
            raise OSError("the disk is gone")
        time.sleep(0.01 if step < 3 else 0)
        return step

    loader = BatchLoader(fails_at_three, 0, 10, workers, prefetch=8)
    assert [next(loader) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(loader)
    assert list(loader) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stray_stop_iteration_is_not_taken_for_the_end(workers):
    with (
        BatchLoader(lambda _: next(iter(())), 0, 5, workers) as loader,
        pytest.raises(RuntimeError, match="batch 0"),
    ):
        list(loader)


@pytest.mark.parametrize("workers", [1, 4])
def test_no_more_than_the_prefetch_is_made_ahead(workers):
    made = []
    with BatchLoader(lambda step: made.append(step) or step, 0, 100, workers, prefetch=5) as loader:
        assert wait_until(lambda: len(made) == 5)
        time.sleep(0.05)
        assert len(made) == 5
        next(loader)
        assert wait_until(lambda: len(made) == 6)


def test_without_workers_a_batch_is_made_when_it_is_asked_for():
    made = []
    loader = BatchLoader(lambda step: made.append(threading.current_thread().name), 0, 3, 0)
    assert made == []
    next(loader)
    assert made == [threading.current_thread().name]


@pytest.mark.parametrize("prefetch", [1, 4])
def test_closing_is_prompt_while_every_worker_is_in_the_middle_of_a_batch(prefetch):
    release = threading.Event()
    loader = BatchLoader(lambda _: release.wait(10), 0, 10, 3, prefetch)
    assert wait_until(lambda: len(loader_threads()) == 3)
    began = time.monotonic()
    loader.close()
    assert time.monotonic() - began < 0.2
    release.set()


def test_closing_wakes_a_consumer_that_waits():
    release = threading.Event()
    loader = BatchLoader(lambda _: release.wait(10), 0, 10, 1)
    got = []
    consumer = threading.Thread(target=lambda: got.extend(loader))
    consumer.start()
    loader.close()
    consumer.join(2)
    release.set()
    assert not consumer.is_alive()
    assert got == []


def test_threads_end_after_the_last_batch_without_closing():
    loader = BatchLoader(uneven, 0, 5, 3)
    list(loader)
    assert wait_until(lambda: not loader_threads())


def test_a_forgotten_loader_ends_its_threads():
    loader = BatchLoader(uneven, 0, 1000, 2)
    next(loader)
    del loader
    gc.collect()
    assert wait_until(lambda: not loader_threads())


def test_a_closed_loader_gives_nothing_and_can_be_closed_again():
    loader = BatchLoader(uneven, 0, 10, 2)
    loader.close()
    loader.close()
    assert list(loader) == []


def test_no_steps_mean_no_batches_and_no_threads():
    loader = BatchLoader(uneven, 5, 0, 4)
    assert loader_threads() == []
    assert list(loader) == []


def test_the_time_spent_waiting_is_counted():
    with BatchLoader(lambda step: time.sleep(0.05), 0, 2, 1) as loader:
        list(loader)
        assert 0.05 <= loader.waited < 1


@pytest.mark.parametrize("bad", [{"steps": -1}, {"workers": -1}, {"prefetch": 0}])
def test_impossible_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="cannot load"):
        BatchLoader(uneven, 0, **({"steps": 3} | bad))


def test_every_step_and_every_index_has_a_stream_of_its_own():
    keys = [(0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0, 0)]
    assert len({step_rng(*key).integers(2**63) for key in keys}) == len(keys)


def test_the_stream_of_a_step_does_not_change_between_versions():
    np.testing.assert_array_equal(step_rng(0, 5, 1).integers(0, 1000, 4), [600, 768, 481, 4])
