"""Compares importing a volume with a plain dask copy of the same file: `python benchmarks/import_volume.py [--size small]`.

The import measures the window (p1:p99.95), windows, writes level 0 and the pyramid, and registers the volume. The copy
opens the file with dask, casts to uint8 and writes level 0 only: no window, no pyramid. It is made twice: into the
study's own layout (blocks in shards) and into a plain Zarr array of the same blocks without shards, which is the
faster of the two for dask. Both begin with the file in page cache. Times are the best of several rounds that take
turns; the peak is what one import adds to the resident memory of a fresh process that has imported everything it needs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHAPES = {"small": (96, 320, 400), "large": (420, 512, 640)}
VOXEL_SIZE = (0.4, 0.25, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SHAPES, default="large")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the files are made")
    parser.add_argument("--peak", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(json.dumps(peak_of_import(arguments.peak)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        print(f"{os.cpu_count()} cores, volume {' x '.join(map(str, SHAPES[arguments.size]))} (z, y, x)")
        print(
            f"{'file':16}{'MB':>6}{'import':>9}{'dask, same layout':>20}{'ratio':>7}"
            f"{'dask, no shards':>18}{'ratio':>7}{'peak MB':>9}"
        )
        for path, copy in make_files(folder, SHAPES[arguments.size]):
            compare(path, copy, folder, arguments.rounds)
            path.unlink()


def make_files(folder: Path, shape: tuple[int, int, int]):
    """Write one file after the other, so that not all lie on disk together; each with the dask way to open it."""
    import nibabel
    import tifffile

    with tifffile.TiffWriter(folder / "pages.tif", bigtiff=True) as writer:
        for page in slices(shape):
            writer.write(page, metadata=None)
    yield folder / "pages.tif", open_tiff

    header = nibabel.Nifti1Header()
    header.set_data_shape(shape[::-1])
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([-VOXEL_SIZE[2], -VOXEL_SIZE[1], VOXEL_SIZE[0], 1.0]), code=1)
    header["vox_offset"] = 352
    with gzip.open(folder / "volume.nii.gz", "wb", compresslevel=1) as file:
        file.write(header.binaryblock + b"\0\0\0\0")
        for page in slices(shape):
            file.write((page // 2).astype("<i2").tobytes())
    yield folder / "volume.nii.gz", open_nifti

    array = np.lib.format.open_memmap(folder / "volume.npy", "w+", np.float32, shape)
    for z, page in enumerate(slices(shape)):
        array[z] = page * np.float32(1e-4)
    array.flush()
    del array
    yield folder / "volume.npy", open_npy


def slices(shape: tuple[int, int, int]):
    """Yield the slices of a noisy body that grows along z, uint16."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(-1, 1, shape[1]), np.linspace(-1, 1, shape[2]), indexing="ij")
    for z in range(shape[0]):
        body = x**2 + y**2 < 0.2 + 0.5 * z / shape[0]
        yield (8000 + 20000 * body + rng.normal(0, 900, body.shape)).astype(np.uint16)


def open_tiff(path: Path):
    import dask.array as da
    import tifffile

    return da.from_zarr(tifffile.imread(path, aszarr=True))


def open_nifti(path: Path):
    import dask.array as da
    import nibabel

    return da.from_array(np.asanyarray(nibabel.load(path).dataobj).T, chunks=(32, -1, -1))


def open_npy(path: Path):
    import dask.array as da

    return da.from_array(np.load(path, mmap_mode="r"), chunks=(32, -1, -1))


def empty_study(folder: Path) -> Path:
    from napari_sortingloss.study import Study

    return Study.create(folder).path


def run_import(path: Path, folder: Path) -> None:
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.exchange.add import AddSettings, add

    for _ in add(Study.open(folder), AddSettings(paths=(path,))):
        pass


def run_copy(path: Path, folder: Path, open_array: Callable, sharded: bool) -> None:
    import dask
    import zarr

    from napari_sortingloss.disk.shard_layout import Layout

    source = open_array(path)
    layout = Layout.of_planes(source.shape)
    target = zarr.create_array(
        folder / "copy.zarr",
        shape=source.shape,
        dtype=np.uint8,
        chunks=layout.block,
        shards=layout.shard if sharded else None,
        compressors=None,
    )
    chunks = layout.shard if sharded else (layout.block[0], *source.shape[1:])
    with dask.config.set({"array.chunk-size": int(np.prod(chunks))}):  # or dask rechunks a second time
        source.astype(np.uint8).rechunk(chunks).to_zarr(target)


def compare(path: Path, open_array: Callable, folder: Path, rounds: int) -> None:
    jobs: dict[str, Callable[[Path], None]] = {
        "import": lambda f: run_import(path, f),
        "same layout": lambda f: run_copy(path, f, open_array, True),
        "no shards": lambda f: run_copy(path, f, open_array, False),
    }
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, job in jobs.items():
            work = empty_study(folder / "work")
            path.read_bytes()
            began = time.perf_counter()
            job(work)
            best[name] = min(best[name], time.perf_counter() - began)
            shutil.rmtree(work)
    peak = subprocess.run(
        [sys.executable, __file__, "--peak", str(path)], capture_output=True, text=True, check=True
    )
    print(
        f"{path.name:16}{path.stat().st_size / 1e6:6.0f}{best['import']:8.2f}s"
        f"{best['same layout']:19.2f}s{best['import'] / best['same layout']:7.2f}"
        f"{best['no shards']:17.2f}s{best['import'] / best['no shards']:7.2f}{json.loads(peak.stdout):9.0f}"
    )


def peak_of_import(path: Path) -> float:
    """Import in this process and return by how many MB its resident memory rose at most."""
    import psutil

    process = psutil.Process()
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        small = Path(name) / "small.npy"
        np.save(small, np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6))
        run_import(small, empty_study(Path(name) / "warm-up"))
        before = highest = process.memory_info().rss
        done = threading.Event()

        def watch() -> None:
            nonlocal highest
            while not done.wait(0.002):
                highest = max(highest, process.memory_info().rss)

        study = empty_study(Path(name) / "study")
        watcher = threading.Thread(target=watch)
        watcher.start()
        run_import(path, study)
        done.set()
        watcher.join()
        return (highest - before) / 1e6


if __name__ == "__main__":
    main()
