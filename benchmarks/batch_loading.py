"""Making a batch of 16 slices in one loader thread against a ResNet-18 training step on two threads, in one run.

Run it with ``python benchmarks/batch_loading.py`` on a quiet computer. A batch is drawn, read from a volume of a study
(in the page cache), fitted to 112 px and augmented. *Share* is the processor time of a batch over that of a step, each
on one thread: where all cores compute the network, loading can make training slower by no less, so it must stay far
below 0.15; it hardly depends on what else the computer does. *End to end* is the time of a step on batches from the
loader over that on batches already in memory, in turn; the product asks for at most 1.15.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.slices import AugmentLevel
from napari_sortingloss.slices.augment import Augmenter
from napari_sortingloss.slices.drawing import draw_positions
from napari_sortingloss.slices.loader import BatchLoader, step_rng
from napari_sortingloss.slices.reader import load_slices
from napari_sortingloss.study import Study, Volume, VolumeRecord, VolumeWriter
from napari_sortingloss.training.computer.devices import has_bfloat16

BATCH, SIZE, THREADS = 16, 112, 2
LEVELS: tuple[AugmentLevel, ...] = ("none", "normal", "tough")
Slices = NDArray[np.uint8]


def make_volume(folder: Path, shape: tuple[int, int, int]) -> Volume:
    """Write a noisy ellipsoid as a volume with three different voxel sizes."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    body = 140 * (z**2 / 0.8 + y**2 / 0.6 + x**2 / 0.5 < 1)
    voxels = np.clip(40 + body + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)
    study = Study.create(folder / "study")
    with VolumeWriter(study, VolumeRecord("v", shape, voxel_size=(0.05, 0.035, 0.03), unit="mm")) as writer:
        writer.write(0, voxels)
        writer.commit()
    return study.volume("v")


def batch_maker(volume: Volume, level: AugmentLevel) -> Callable[[int], Slices]:
    """Return what a loader thread does for a step."""
    augmenter = Augmenter(level)

    def make(step: int) -> Slices:
        rng = step_rng(0, step)
        positions = draw_positions(rng, volume.n_slices, BATCH)
        return augmenter.batch(load_slices(volume, positions, SIZE), rng)

    return make


def trainer() -> Callable[[Slices], None]:
    """Return one training step: forward, loss, backward and Adam, as fast as this processor can."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        build_encoder("resnet18"), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(512, 1)
    ).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), 3e-4)

    def step(slices: Slices) -> None:
        x = (torch.from_numpy(slices)[:, None] / 255).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            loss = network(x).float().square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def processor_seconds(work: Callable[[int], object], rounds: int) -> float:
    """Return the time that this process computes, OpenCV's threads included, for each of `rounds` calls."""
    for number in range(3):
        work(number)
    begin = time.process_time()
    for number in range(rounds):
        work(number)
    return (time.process_time() - begin) / rounds


def in_turn(
    step: Callable[[Slices], None], make: Callable[[int], Slices], blocks: int
) -> tuple[float, float]:
    """Return the median seconds of a step on batches in memory, and of one on batches from the loader."""
    ready = cycle([make(i) for i in range(8)])
    times: tuple[list[float], list[float]] = ([], [])
    for block in range(blocks + 1):
        for which in (0, 1) if block % 2 else (1, 0):
            with BatchLoader(make, 0, 1000 if which else 0, workers=1, prefetch=2) as loader:
                feed = loader if which else ready
                for turn in range(10):
                    begin = time.perf_counter()
                    step(next(feed))
                    if (
                        block and turn >= 5
                    ):  # by then what was made ahead is used up and the thread is at work
                        times[which].append(time.perf_counter() - begin)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=6, help="turns of six measured steps of each kind")
    blocks = parser.parse_args().blocks
    step = trainer()
    torch.set_num_threads(1)
    example = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE), np.uint8)
    network = processor_seconds(lambda _: step(example), 10)
    torch.set_num_threads(THREADS)
    print("| augmentation | processor ms a batch | processor ms a step | share | end to end |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        volume = make_volume(Path(folder), (160, 220, 250))
        for level in LEVELS:
            make = batch_maker(volume, level)
            batch = processor_seconds(make, 100)
            memory, loaded = in_turn(step, make, blocks)
            print(
                f"| {level} | {batch * 1e3:.1f} | {network * 1e3:.0f} | {batch / network:.3f} | "
                f"{loaded / memory:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
