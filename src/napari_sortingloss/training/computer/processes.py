"""The processes of one run: where this one stands among them, how they agree, and how more are started."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import find_free_network_port

from napari_sortingloss.errors import UserError
from napari_sortingloss.training.computer.place import Place

T = TypeVar("T")

START_PATIENCE = 300.0
"""Seconds to wait for a process to load torch and build its task."""


class OwnProcesses(ClusterEnvironment):  # type: ignore[misc]
    """Tells Fabric about processes that `start_workers` started on this computer."""

    def __init__(self, rank: int, size: int, port: int) -> None:
        super().__init__()
        self._rank, self._size, self._port = rank, size, port

    @property
    def creates_processes_externally(self) -> bool:
        """Fabric starts none itself."""
        return True

    @property
    def main_address(self) -> str:
        """The address of the first process."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """The port on which the first process waits for the others."""
        return self._port

    @staticmethod
    def detect() -> bool:
        """Never found, always given."""
        return False

    def world_size(self) -> int:
        """How many processes there are."""
        return self._size

    def set_world_size(self, size: int) -> None:
        """Fixed from the start."""

    def global_rank(self) -> int:
        """The number of this process."""
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        """Fixed from the start."""

    def local_rank(self) -> int:
        """The number of this process on this computer."""
        return self._rank

    def node_rank(self) -> int:
        """The only computer."""
        return 0


def own_place(rank: int, size: int, port: int) -> Place:
    """Describe a process of a run whose processes this package starts itself."""
    return Place(rank, size, size, OwnProcesses(rank, size, port))


def own_places(size: int) -> list[dict[str, int]]:
    """Number the processes of a run on this computer, as arguments for `own_place`."""
    port = find_free_network_port()
    return [{"rank": rank, "size": size, "port": port} for rank in range(size)]


class World:
    """How the processes of a run agree; with one process every answer is its own.

    Parameters
    ----------
    place : Place

    Notes
    -----
    Agreeing goes over a group of its own on the CPU (gloo), so that it never waits for the graphics card. All
    processes must ask the same questions in the same order.
    """

    def __init__(self, place: Place) -> None:
        self.rank, self.size = place.rank, place.size
        self._group = dist.new_group(backend="gloo") if place.size > 1 else None

    def agree(self, value: int) -> int:
        """Return the first process's `value`, in every process."""
        if self._group is None:
            return value
        held = torch.tensor([value], dtype=torch.int64)
        dist.broadcast(held, src=0, group=self._group)
        return int(held[0])

    def share(self, value: T) -> T:
        """Return the first process's object, in every process."""
        if self._group is None:
            return value
        held: list[Any] = [value]
        dist.broadcast_object_list(held, src=0, group=self._group)
        shared: T = held[0]
        return shared

    def gather(self, value: T) -> list[T]:
        """Return the objects of all processes, by rank, in every process."""
        if self._group is None:
            return [value]
        held: list[Any] = [None] * self.size
        dist.all_gather_object(held, value, group=self._group)
        return held


def part() -> None:
    """Part from the other processes, if there are any; the next run in this process meets others."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class Workers:
    """The further processes of a run on this computer, started by its first one.

    Parameters
    ----------
    orders : sequence of mapping
        What each is to do, as `napari_sortingloss.training.loop.worker` reads it.
    """

    def __init__(self, orders: Sequence[Mapping[str, Any]]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="napari-sortingloss-")
        folder = Path(self._folder.name)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ready: list[Path] = []
        self._logs: list[Path] = []
        for number, order in enumerate(orders, start=1):
            self._ready.append(folder / f"ready-{number}")
            self._logs.append(folder / f"log-{number}.txt")
            file = folder / f"order-{number}.json"
            file.write_text(json.dumps({**order, "ready": str(self._ready[-1])}), encoding="utf-8")
            command = [sys.executable, "-m", "napari_sortingloss.training.loop.worker", str(file)]
            with self._logs[-1].open("wb") as log:
                self._processes.append(
                    subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,  # an interrupt of the terminal is for the first process alone
                    )
                )

    def wait_ready(self) -> Iterator[None]:
        """Wait until each has built its task; yields a few times a second.

        Raises
        ------
        UserError
            If one ends before, or takes too long.
        """
        deadline = time.monotonic() + START_PATIENCE
        while not all(path.exists() for path in self._ready):
            problem = self.problem()
            if problem is not None:
                raise problem
            if time.monotonic() > deadline:
                raise UserError(
                    "Cannot train in several processes",
                    f"one was not ready after {START_PATIENCE:.0f} s",
                    "set devices to 1 or lower the load of the computer",
                )
            time.sleep(0.1)
            yield

    def problem(self, patience: float = 0.0) -> UserError | None:
        """Return why a process has ended although it should not have, or None.

        Parameters
        ----------
        patience : float
            Seconds to wait for one to end: the first process may notice a loss before it has happened entirely.
        """
        deadline = time.monotonic() + patience
        while True:
            for process, log in zip(self._processes, self._logs, strict=True):
                if process.poll() not in (None, 0):
                    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                    why = lines[-1].strip() if lines else f"it ended with status {process.returncode}"
                    return UserError(
                        "A process of the run failed", why, "resume the run, or set devices to 1"
                    )
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.05)

    def close(self, patience: float = 5.0) -> None:
        """Let them end by themselves for a moment, then end them."""
        deadline = time.monotonic() + patience
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()
