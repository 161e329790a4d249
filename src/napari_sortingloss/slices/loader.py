"""Makes batches in threads ahead of the network, in order and reproducibly; knows nothing of what a batch is."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

import numpy as np

T = TypeVar("T")


def step_rng(seed: int, step: int, *more: int) -> np.random.Generator:
    """Return the random generator of one training step.

    Parameters
    ----------
    seed : int
        The seed of the run.
    step : int
        The step; each has a stream of its own, so a run that resumes at a step continues identically, and it does
        not matter which thread makes the batch.
    *more : int
        Further indices, such as the volume or the slice within the batch.

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(step, *more)))


class _Shared(Generic[T]):
    """What worker threads and the consumer share; holds no reference to the loader, so that it can be collected."""

    def __init__(self, make_batch: Callable[[int], T], first: int, stop: int, ahead: int) -> None:
        self.make_batch = make_batch
        self.next_to_make = first
        self.next_to_give = first
        self.stop = stop
        self.ahead = ahead
        self.closed = False
        self.changed = threading.Condition()
        self.made: dict[int, T | _Failure] = {}

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.made.clear()
            self.changed.notify_all()

    def claim(self) -> int | None:
        """Wait for room and return the next step to make, or None when there is nothing more to do."""
        with self.changed:
            while not self.closed and self.next_to_make < self.stop:
                if self.next_to_make < self.next_to_give + self.ahead:
                    self.next_to_make += 1
                    return self.next_to_make - 1
                self.changed.wait()
            return None

    def put(self, step: int, batch: T | _Failure) -> None:
        with self.changed:
            if not self.closed:
                self.made[step] = batch
                self.changed.notify_all()

    def take(self) -> T | _Failure:
        """Wait for the next batch; a failure with StopIteration after the last, or once closed."""
        with self.changed:
            while self.next_to_give not in self.made:
                if self.closed or self.next_to_give >= self.stop:
                    return _Failure(StopIteration())
                self.changed.wait()
            batch = self.made.pop(self.next_to_give)
            self.next_to_give += 1
            self.changed.notify_all()
            return batch

    def make_now(self) -> T | _Failure:
        """Do the same without workers: make the batch in the consumer's own thread."""
        step = self.claim()
        self.next_to_give = self.next_to_make
        return _Failure(StopIteration()) if step is None else self.make(step)

    def make(self, step: int) -> T | _Failure:
        """Make a batch; an error is kept for the consumer, who meets it at its step."""
        try:
            return self.make_batch(step)
        except StopIteration as error:
            # Passed on as it is, it would look like the regular end of the run.
            failure = RuntimeError(f"making batch {step} raised StopIteration")
            failure.__cause__ = error
            return _Failure(failure)
        except BaseException as error:
            return _Failure(error)

    def work(self) -> None:
        while (step := self.claim()) is not None:
            self.put(step, self.make(step))


class _Failure:
    """An error, or the end, in the place of a batch."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class BatchLoader(Generic[T]):
    """Batches in step order, made ahead of time by threads.

    Parameters
    ----------
    make_batch : callable
        ``make_batch(step)`` returns the batch of a step. It is called from several threads at once and must depend
        on nothing but the step (see `step_rng`): then the same batches come out whatever the number of workers.
    first_step : int
        The first step to deliver; a run that resumes starts here.
    steps : int
        How many batches to deliver.
    workers : int
        Number of threads; with 0 each batch is made when it is asked for.
    prefetch : int
        How many batches may be made or waiting ahead of the consumer, at least 1.

    Attributes
    ----------
    waited : float
        Seconds the consumer has spent waiting for batches so far.

    Notes
    -----
    An error in `make_batch` is raised again where the consumer asks for that step; the loader is closed then.
    Iterate inside ``with``, or call `close`; a loader that is forgotten closes when it is collected.
    """

    def __init__(
        self, make_batch: Callable[[int], T], first_step: int, steps: int, workers: int = 1, prefetch: int = 4
    ) -> None:
        if steps < 0 or workers < 0 or prefetch < 1:
            raise ValueError(f"cannot load {steps} batches with {workers} workers, {prefetch} ahead")
        self.waited = 0.0
        self._inline = workers == 0
        self._shared: _Shared[T] = _Shared(make_batch, first_step, first_step + steps, prefetch)
        self._threads = [
            threading.Thread(target=self._shared.work, name=f"batch-loader-{i}", daemon=True)
            for i in range(min(workers, steps))
        ]
        for thread in self._threads:
            thread.start()
        weakref.finalize(self, self._shared.close)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        began = time.perf_counter()
        batch = self._shared.make_now() if self._inline else self._shared.take()
        self.waited += time.perf_counter() - began
        if isinstance(batch, _Failure):
            self.close()
            raise batch.error
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self, timeout: float = 0.1) -> None:
        """Stop making batches and drop those not yet asked for.

        Parameters
        ----------
        timeout : float
            How many seconds to wait for the threads. A thread that is in the middle of a batch is not waited for
            any longer; it drops that batch and ends by itself.
        """
        self._shared.close()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
