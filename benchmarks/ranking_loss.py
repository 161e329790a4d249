"""The ranking losses against a whole ResNet-18 training step at 16 slices, in one run.

Run it with ``python benchmarks/ranking_loss.py`` on a quiet computer. For each ranking it prints the time of loss and
gradient on 16 scores, alone and with the figures shown live (mean displacement, pairwise accuracy, Spearman), as a share
of a training step (forward, backward, Adam) on 16 slices of 112 px; the product asks for less than 2 %. For
comparison: the margin loss as a Python loop over pairs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.pretext.sorting.batch_figures import batch_figures
from napari_sortingloss.pretext.sorting.ranking import RANKINGS, margin_loss
from napari_sortingloss.pretext.sorting.scoring import SortingNetwork
from napari_sortingloss.training.computer.devices import has_bfloat16

SLICES, SIZE, LIMIT = 16, 112, 0.02


def looped_margin(scores: Tensor, positions: Tensor, groups: Tensor) -> Tensor:
    """Pair by pair, as one would write it down."""
    losses = [
        (0.2 - (scores[i] - scores[j])).clamp(min=0)
        for i in range(len(scores))
        for j in range(len(scores))
        if positions[i] > positions[j] and groups[i] == groups[j]
    ]
    return torch.stack(losses).mean()


def milliseconds(run: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Median time of a call."""
    times = []
    for turn in range(repeats + 2):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if turn >= 2:
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    half = has_bfloat16() if device.type == "cpu" else True

    network = SortingNetwork(build_encoder("resnet18", dropout=0.1)).to(device)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-4, fused=True)
    slices = torch.randint(0, 256, (SLICES, SIZE, SIZE), dtype=torch.uint8, device=device)
    positions = torch.randperm(150, device=device)[:SLICES]
    groups = torch.zeros(SLICES, dtype=torch.long, device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            margin_loss(network(slices), positions, groups).backward()
        optimizer.step()

    def loss_of(name: str, figures: bool) -> Callable[[], None]:
        ranking = looped_margin if name == "loop" else RANKINGS[name]

        def run() -> None:
            scores = torch.randn(SLICES, device=device, requires_grad=True)
            ranking(scores, positions, groups).backward()
            if figures:
                batch_figures(scores.detach(), positions, groups)

        return run

    whole = milliseconds(step, options.steps, device)
    kind = "bfloat16" if half else "float32"
    print(
        f"ResNet-18, {SLICES} slices of {SIZE} px, {device.type}, {options.threads} threads, {kind}: {whole:.1f} ms a step"
    )
    print(f"{'ranking':>10}  {'loss':>9}  {'share':>7}  {'+ figures':>9}  {'share':>7}")
    for name in [*RANKINGS, "loop"]:
        alone = milliseconds(loss_of(name, False), 200 if name != "loop" else 20, device)
        shown = milliseconds(loss_of(name, True), 200 if name != "loop" else 20, device)
        verdict = "" if name == "loop" else ("ok" if alone < LIMIT * whole else "TOO SLOW")
        print(
            f"{name:>10}  {alone:6.3f} ms  {alone / whole:7.2%}  {shown:6.3f} ms  {shown / whole:7.2%}  {verdict}"
        )


if __name__ == "__main__":
    main()
