"""Prediction of a volume end to end (reading, network, writing) against the network alone on the same batches.

Run it with ``OMP_NUM_THREADS=1 python benchmarks/prediction_pipeline.py`` on a quiet computer (about 3 minutes). It makes
a study with a generated volume and a U-Net on ResNet-18 with fresh weights (the time does not depend on them), and
prints the ratio of the times of ``predict`` and of the network on the very batches that ``predict`` gives it, held in
memory. The two take turns within one run; the median of the ratios counts. Asked for: at most 1.15 across the ordering
axis. Where other programs use the computer, the ratio of the processor times, over all threads, tells more: it says what
``predict`` does besides, though not how long it waits. Options set the size of the volume, the network, the number of
classes, the device, the axes, which labels are written and whether the entropy is.

``--memory`` prints instead how much memory a prediction adds for the volume and for one with twice as many slices.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from napari_sortingloss.networks.encoders.resnet import build_encoder
from napari_sortingloss.networks.segmenters.build import build_segmenter
from napari_sortingloss.segment.predict.job import PredictSettings, predict_volumes
from napari_sortingloss.segment.predict.pipeline import Network, read_blocks
from napari_sortingloss.segment.segmenter import Segmenter
from napari_sortingloss.study import Study, Volume, VolumeRecord, VolumeWriter
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.study.schema import AXES

LIMIT = 1.15
RUN = "benchmark"


def make_volume(study: Study, shape: tuple[int, int, int], name: str = "volume") -> Volume:
    """Keep a noisy ellipsoid, slab by slab."""
    rng = np.random.default_rng(0)
    z, y, x = shape
    at = np.linspace(-1, 1, y)[:, None] ** 2 + np.linspace(-1, 1, x)[None] ** 2
    record = VolumeRecord(name=name, shape=shape, voxel_size=(0.03, 0.02, 0.025), unit="mm")
    with VolumeWriter(study, record) as writer:
        for index in range(z):
            inside = at + (2 * index / z - 1) ** 2 < 0.8
            plane = 40 + 120 * inside + rng.integers(-20, 20, (y, x))
            writer.write(index, plane[None].clip(0, 255).astype(np.uint8))
        writer.commit()
    return study.volume(name)


def make_segmenter(options: argparse.Namespace) -> Segmenter:
    """A network with fresh weights."""
    torch.manual_seed(0)
    network = build_segmenter(options.network, build_encoder(options.encoder), options.classes)
    network.eval().to(options.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classes = tuple(LabelClass(i + 1, f"class {i + 1}", "#808080") for i in range(options.classes))
    return Segmenter(network, classes, 1, 0.0, bfloat16=options.bfloat16)


def end_to_end(
    study: Study, volume: Volume, segmenter: Segmenter, options: argparse.Namespace
) -> tuple[float, float]:
    """Seconds of the whole job, by the clock and of the processor."""
    settings = PredictSettings(
        run=RUN, axes=options.axes, uncertainty=options.uncertainty, labels=options.labels, again=True
    )
    began, used = time.perf_counter(), time.process_time()
    for _ in predict_volumes(study, RUN, segmenter, [volume], settings):
        pass
    return time.perf_counter() - began, time.process_time() - used


def network_alone(segmenter: Segmenter, volume: Volume, axes: str) -> tuple[float, float]:
    """Seconds that the network takes for the same batches, which are in memory, by the clock and of the processor."""
    total = processor = 0.0
    for axis in (a for a in AXES if a in axes):
        network = Network(segmenter, volume, axis)
        size = volume.shape[AXES.index(axis)]
        blocks = [(start, min(start + 64, size)) for start in range(0, size, 64)]
        for piece in read_blocks(volume, axis, blocks):
            began, used = time.perf_counter(), time.process_time()
            for batch in network.see(*piece):
                del batch
            if segmenter.device.type == "cuda":
                torch.cuda.synchronize()
            total += time.perf_counter() - began
            processor += time.process_time() - used
    return total, processor


class Peak:
    """The most memory that this process holds while the block runs, seen every 5 ms."""

    def __enter__(self) -> Peak:
        self._process, self._done = psutil.Process(), threading.Event()
        self.before = self.highest = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.highest = max(self.highest, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def mib(self) -> float:
        """What was added."""
        return (self.highest - self.before) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 320, 360), metavar=("Z", "Y", "X"))
    parser.add_argument("--network", default="unet", choices=("unet", "deeplabv3plus"))
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--axes", default="z")
    parser.add_argument("--uncertainty", action="store_true")
    parser.add_argument("--labels", default="likeliest", choices=("likeliest", "overlap"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, help="where the study is made; a temporary folder if not given"
    )
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    segmenter = make_segmenter(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        study = Study.create(Path(folder) / "study")
        volume = make_volume(study, tuple(options.shape))
        network_alone(segmenter, volume, options.axes)  # what the libraries need once
        if options.memory:
            longer = make_volume(study, (2 * options.shape[0], *options.shape[1:]), "longer")
            for one in (volume, longer):
                with Peak() as peak:
                    end_to_end(study, one, segmenter, options)
                print(f"{' x '.join(map(str, one.shape)):>20}  {peak.mib:6.0f} MiB added", flush=True)
            return
        print(
            f"{options.network} on {options.encoder}, {options.classes} classes, {' x '.join(map(str, options.shape))} "
            f"voxels across {options.axes}, {options.device}, {options.threads} threads"
        )
        ratios, used = [], []
        for _ in range(options.repeats):
            alone = network_alone(segmenter, volume, options.axes)
            whole = end_to_end(study, volume, segmenter, options)
            ratios.append(whole[0] / alone[0])
            used.append(whole[1] / alone[1])
            print(
                f"end to end {whole[0]:6.2f} s   network alone {alone[0]:6.2f} s   ratio {ratios[-1]:.3f}"
                f"   of processor times {used[-1]:.3f}",
                flush=True,
            )
        ratio = statistics.median(ratios)
        print(f"median ratio {ratio:.3f}  {'ok' if ratio <= LIMIT else 'TOO SLOW'}")
        print(f"median ratio of processor times {statistics.median(used):.3f}")


if __name__ == "__main__":
    main()
