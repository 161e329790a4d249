"""How voxels could lie on disk, compared: reading random slices from the page cache, bytes read from a cold disk, files.

Run it with ``OMP_NUM_THREADS=1 python benchmarks/chunk_layout.py``. It prints the table of benchmarks/README.md. Speeds are
ratios to copying the same slices out of an uncompressed memory map in the same run (1 = as fast). Cold bytes are counted,
not timed: the 4 KiB pages (or, compressed, the chunks) that one slice touches, as a multiple of the slice's own size.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from napari_sortingloss.disk.level import Level
from napari_sortingloss.disk.shard_layout import Layout
from napari_sortingloss.study.volumes.writer import LevelWriter
from slice_reading import BATCH, Read, at_once, compare, one_by_one

Shape = tuple[int, int, int]
PAGE = 4096


@dataclass(frozen=True)
class Candidate:
    """One way to store a level; `codec` is None where blocks lie uncompressed in shards and are memory-mapped."""

    name: str
    block: Shape
    codec: str | None = None


def candidates(shape: Shape) -> list[Candidate]:
    _, y, x = shape
    return [
        Candidate(
            "**planes, 2 MB of them (full level)**",
            (Layout.of_planes(shape).block[0], y, x),
        ),
        Candidate("planes, 16", (16, y, x)),
        Candidate("whole rows", (32, 64, x)),
        Candidate("blocks", (16, 128, 128)),
        Candidate("blocks", (32, 256, 256)),
        Candidate("blocks", (32, 64, 64)),
        Candidate("**cubes (smaller levels)**", (64, 64, 64)),
        Candidate("planes, lz4", (1, y, x), "lz4"),
        Candidate("blocks, lz4", (16, 128, 128), "lz4"),
        Candidate("blocks, zstd", (32, 64, 64), "zstd"),
    ]


def specimen(shape: Shape) -> Iterator[NDArray[np.uint8]]:
    """Return planes of a noisy ellipsoid in noisy air: they compress about as a CT volume does."""
    rng = np.random.default_rng(0)
    z, y, x = (np.linspace(-1, 1, n) for n in shape)
    for height in z:
        inside = (height**2 + y[:, None] ** 2 + x**2) < 0.6
        texture = 90 + 40 * np.sin(9 * x) * np.cos(7 * y[:, None] + 5 * height)
        noise = rng.normal(0, 1, shape[1:])
        yield np.where(inside, texture + 9 * noise, np.maximum(0, 3 * noise)).clip(0, 255).astype(np.uint8)


def store(folder: Path, candidate: Candidate, flat: NDArray[np.uint8]) -> tuple[Read, Read, Read]:
    """Write the volume as the candidate says; return its readers across z, y and x."""
    shape: Shape = (flat.shape[0], flat.shape[1], flat.shape[2])
    if candidate.codec is None:
        writer = LevelWriter(folder, Layout.choose(shape, candidate.block))
        for z in range(0, shape[0], 16):
            writer.write(flat[z : z + 16])
        writer.close()
        level = Level(folder, "")
        level.box((0, 0, 0), shape)
        return tuple(lambda p, a=axis: level.read_slices(a, p.tolist()) for axis in range(3))  # type: ignore[return-value]
    codec = BloscCodec(cname=candidate.codec, clevel=5, shuffle="noshuffle")
    array: Any = zarr.create_array(
        folder, shape=shape, chunks=candidate.block, dtype="uint8", compressors=codec
    )
    array[...] = flat

    def reader(axis: int) -> Read:
        return lambda p: np.stack([array[(slice(None),) * axis + (i,)] for i in p.tolist()])

    return reader(0), reader(1), reader(2)


def cold(folder: Path, candidate: Candidate, shape: Shape, axis: int) -> float:
    """Return the bytes that the middle slice touches on disk, over the slice's size."""
    index = shape[axis] // 2
    size = math.prod(shape) // shape[axis]
    if candidate.codec is not None:
        kept = []
        for file in (folder / "c").rglob("*"):
            if file.is_file() and int(file.parts[-3 + axis]) == index // candidate.block[axis]:
                kept.append(-(-file.stat().st_size // PAGE) * PAGE)
        return sum(kept) / size
    layout = Layout.choose(shape, candidate.block)
    at = [np.arange(n) for n in shape]
    at[axis] = np.array([index])
    which = [a // b for a, b in zip(at, layout.block, strict=True)]
    within = [a % b for a, b in zip(at, layout.block, strict=True)]
    number, offset = np.zeros((1, 1, 1), np.int64), np.zeros((1, 1, 1), np.int64)
    for i in range(3):
        form = tuple(-1 if j == i else 1 for j in range(3))
        number = number * layout.blocks[i] + which[i].reshape(form)
        offset = offset * layout.block[i] + within[i].reshape(form)
    return len(np.unique((number * math.prod(layout.block) + offset) // PAGE)) * PAGE / size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=(320, 640, 720), metavar=("Z", "Y", "X"))
    parser.add_argument("--rounds", type=int, default=10, help="batches measured per cell")
    arguments = parser.parse_args()
    shape: Shape = tuple(arguments.shape)
    print("| layout | block (z, y, x) | speed z | y | x | cold z | y | x | files | size |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = np.memmap(folder / "flat.raw", np.uint8, "w+", shape=shape)
        for plane, filled in zip(specimen(shape), file, strict=True):
            filled[...] = plane
        flat = file.view(np.ndarray)
        for number, candidate in enumerate(candidates(shape)):
            place = folder / str(number)
            readers = store(place, candidate, flat)
            speed, touched = [], []
            for axis, read in enumerate(readers):
                rounds = arguments.rounds if candidate.codec is None else 2
                rng = np.random.default_rng(axis)
                found = compare(
                    {"one": one_by_one(flat, axis), "all": at_once(flat, axis), "read": read},
                    shape[axis],
                    rounds,
                    rng,
                )
                speed.append(f"{min(found['one'], found['all']) / found['read']:.2g}")
                touched.append(f"{cold(place, candidate, shape, axis):.3g}")
            files = [f for f in place.rglob("*") if f.is_file() and f.name != "zarr.json"]
            size = sum(f.stat().st_size for f in files) / flat.size
            block = " x ".join(map(str, candidate.block))
            cells = [candidate.name, block, *speed, *touched, str(len(files)), f"{size:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\nbatches of {BATCH} random slices of a volume of {shape[0]} x {shape[1]} x {shape[2]}")


if __name__ == "__main__":
    main()
