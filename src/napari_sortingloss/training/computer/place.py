"""Where this process stands among the processes of a run, read from what started it; imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a process stands among those of its run.

    Attributes
    ----------
    rank, size : int
        Its number, and how many there are. Only the first one (rank 0) writes to the study and reports.
    local_size : int
        How many of them are on this computer.
    environment : lightning_fabric.plugins.environments.ClusterEnvironment or None
        Given where this package started the processes; otherwise Fabric finds torchrun's or SLURM's by itself.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    environment: Any = None

    @classmethod
    def of_this_process(cls) -> Place:
        """Read what ``torchrun`` or ``srun`` says about this process; alone when they say nothing."""
        env = os.environ
        if "RANK" in env and "LOCAL_RANK" in env and "WORLD_SIZE" in env:
            size = int(env["WORLD_SIZE"])
            return cls(int(env["RANK"]), size, int(env.get("LOCAL_WORLD_SIZE", size)))
        tasks = int(env.get("SLURM_NTASKS", "1"))
        if tasks > 1 and "SLURM_PROCID" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
            return cls(int(env["SLURM_PROCID"]), tasks, tasks // int(env.get("SLURM_NNODES", "1")))
        return cls()
