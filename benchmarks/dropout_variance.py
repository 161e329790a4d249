"""The variance under dropout against the naive way: the whole encoder T times, all results kept, then their variance.

Run it with ``python benchmarks/dropout_variance.py`` on a quiet computer. It prints the ratio of the times of ResNet-18
with 20 passes on 16 slices of 112 px, at each output stride (the two take turns; medians), and the peak memory with
5 and with 40 passes, each in a process of its own. The product asks for at most 0.75 at stride 32, and for a peak that
does not grow with the passes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil
import torch
from torch import Tensor

from napari_sortingloss.localize.variance import DropoutVariance
from napari_sortingloss.networks.encoders.resnet import Encoder, OutputStride, build_encoder

SLICES, SIZE, PASSES, LIMIT = 16, 112, 20, 0.75
STRIDES: tuple[OutputStride, ...] = (32, 16, 8)


def make_encoder() -> Encoder:
    """A ResNet-18 as the localisation has it."""
    encoder = build_encoder("resnet18", dropout=0.1).eval()
    encoder.to(memory_format=torch.channels_last)
    return encoder


def make_slices(size: int = SIZE) -> Tensor:
    """Noise: the time does not depend on the content."""
    return torch.randint(0, 256, (SLICES, size, size), dtype=torch.uint8)


@torch.inference_mode()
def naive(encoder: Encoder, slices: Tensor, passes: int) -> Tensor:
    """As one would write it down."""
    encoder.drop.train()
    found = torch.stack([encoder(slices[:, None].float() / 255) for _ in range(passes)])
    encoder.drop.eval()
    return found.var(dim=0).mean(dim=1)


def seconds(run: Callable[[], Tensor]) -> float:
    """Time of a call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def compare(stride: OutputStride, repeats: int) -> tuple[float, float, float]:
    """Median seconds of both ways, which take turns, and the median of their ratios."""
    encoder, slices = make_encoder(), make_slices()
    ours = DropoutVariance(encoder, PASSES, stride)
    encoder.set_output_stride(stride)
    times: list[tuple[float, float]] = []
    for turn in range(repeats + 1):
        pair = seconds(lambda: ours(slices)), seconds(lambda: naive(encoder, slices, PASSES))
        if turn:
            times.append(pair)
    ratio = statistics.median(a / b for a, b in times)
    return statistics.median(a for a, _ in times), statistics.median(b for _, b in times), ratio


class Peak:
    """The most memory that this process holds while the block runs, seen every 2 ms; torch lets go of the lock."""

    def __enter__(self) -> Peak:
        self._process, self._done = psutil.Process(), threading.Event()
        self.before = self.highest = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self.highest = max(self.highest, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def added_memory(way: str, passes: int, stride: OutputStride, size: int) -> float:
    """MiB that a batch adds to what this process holds."""
    encoder, slices = make_encoder(), make_slices(size)
    with torch.inference_mode():
        encoder(slices[:1, None].float())  # what the library needs once
    with Peak() as peak:
        if way == "ours":
            DropoutVariance(encoder, passes, stride)(slices)
        else:
            encoder.set_output_stride(stride)
            naive(encoder, slices, passes)
    return (peak.highest - peak.before) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--memory", nargs=4, metavar=("WAY", "PASSES", "STRIDE", "SIZE"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.memory:
        way, passes, stride, size = options.memory
        print(added_memory(way, int(passes), int(stride), int(size)))  # type: ignore[arg-type]
        return
    print(f"ResNet-18, {PASSES} passes, {SLICES} slices of {SIZE} px, {options.threads} threads, float32")
    print(f"{'stride':>6}  {'ours':>7}  {'naive':>7}  {'ratio':>6}")
    for stride in STRIDES:
        ours, plain, ratio = compare(
            stride, options.repeats if stride == 32 else max(1, options.repeats // 2)
        )
        verdict = "" if stride != 32 else "ok" if ratio <= LIMIT else "TOO SLOW"
        print(f"{stride:>6}  {ours:5.2f} s  {plain:5.2f} s  {ratio:6.2f}  {verdict}", flush=True)
    print(
        f"\nAdded peak memory, stride 16, {SLICES} slices of 160 px\n{'passes':>6}  {'ours':>9}  {'naive':>9}"
    )
    for passes in (5, 40):
        peaks = []
        for way in ("ours", "naive"):
            command = [sys.executable, __file__, "--memory", way, str(passes), "16", "160"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(float(done.stdout))
        print(f"{passes:>6}  {peaks[0]:5.0f} MiB  {peaks[1]:5.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
