"""Random slices through `Volume.read_slices` against the same slices from a plain memory map, in one run.

Run it with ``OMP_NUM_THREADS=1 python benchmarks/slice_reading.py``. Both files are in the page cache; the bare operation
copies the same random slices along the same axis out of an uncompressed C-ordered ``np.memmap``, in whichever of numpy's
two ways (slice by slice, or one fancy index) is the faster. A ratio of 1 means as fast as that; the product asks for 0.5.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.study import AXES, Study, Volume, VolumeRecord, VolumeWriter

BATCH = 16
Read = Callable[[NDArray[np.intp]], NDArray[np.uint8]]


def one_by_one(flat: NDArray[np.uint8], axis: int) -> Read:
    """Return the bare reader that copies slice after slice."""

    def read(positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        out = np.empty((len(positions), *np.delete(flat.shape, axis)), np.uint8)
        for target, index in zip(out, positions.tolist(), strict=True):
            target[...] = flat[(slice(None),) * axis + (index,)]
        return out

    return read


def at_once(flat: NDArray[np.uint8], axis: int) -> Read:
    """Return the bare reader that takes all slices with one index, then brings them in order."""

    def read(positions: NDArray[np.intp]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.moveaxis(flat.take(positions, axis), axis, 0))

    return read


def ours(volume: Volume, axis: int) -> Read:
    """Return the reader of the product."""
    return lambda positions: volume.read_slices(positions, AXES[axis])


def seconds(read: Read, positions: NDArray[np.intp]) -> float:
    start = time.perf_counter()
    read(positions)
    return time.perf_counter() - start


def compare(readers: dict[str, Read], n: int, rounds: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the seconds of the quickest batch of each reader (the one other programs disturbed least), in turn, on fresh positions."""
    times: dict[str, list[float]] = {name: [] for name in readers}
    for round_ in range(rounds + 2):
        for name in rng.permutation(list(readers)):
            positions = rng.choice(n, size=min(BATCH, n), replace=False)
            spent = seconds(readers[name], positions)
            if round_ >= 2:
                times[name].append(spent)
    return {name: min(values) for name, values in times.items()}


def make(folder: Path, shape: tuple[int, int, int]) -> tuple[Volume, NDArray[np.uint8]]:
    """Write the same noise as a study's volume and as a flat file."""
    rng = np.random.default_rng(0)
    study = Study.create(folder / "study")
    flat_file = folder / "flat.raw"
    with VolumeWriter(study, VolumeRecord("v", shape)) as writer, flat_file.open("wb") as file:
        for z in range(0, shape[0], 16):
            slab = rng.integers(0, 256, (min(16, shape[0] - z), *shape[1:]), dtype=np.uint8)
            writer.write(z, slab)
            file.write(slab.data)
        writer.commit()
    flat = np.memmap(flat_file, np.uint8, "r", shape=shape).view(np.ndarray)
    volume = study.volume("v")
    for axis in range(3):  # map every page of both, once
        volume.read_slices(range(shape[axis])[:: max(1, shape[axis] // 64)], AXES[axis])
    volume.read_slab(0, shape[0])
    flat.max()
    return volume, flat


def table(shapes: list[tuple[int, int, int]], rounds: int) -> list[str]:
    """Return the lines of the markdown table."""
    lines = ["| volume (z, y, x) | across z | across y | across x |", "|---|---|---|---|"]
    for shape in shapes:
        with tempfile.TemporaryDirectory() as folder:
            volume, flat = make(Path(folder), shape)
            rng = np.random.default_rng(1)
            cells = []
            for axis in range(3):
                readers = {
                    "one": one_by_one(flat, axis),
                    "all": at_once(flat, axis),
                    "ours": ours(volume, axis),
                }
                found = compare(readers, shape[axis], rounds, rng)
                cells.append(f"{min(found['one'], found['all']) / found['ours']:.2f}")
            lines.append(f"| {shape[0]} x {shape[1]} x {shape[2]} | {' | '.join(cells)} |")
            del volume, flat
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25, help="batches measured per cell")
    rounds = parser.parse_args().rounds
    print("\n".join(table([(160, 250, 250), (600, 800, 800)], rounds)))


if __name__ == "__main__":
    main()
