"""A study with reference labels, and a network that tells classes by grey value, for the tests of prediction and scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter
from napari_sortingloss.study.classes import LabelClass

SHAPE = (70, 44, 52)
VOXEL_SIZE = (0.4, 0.25, 0.3)
CLASSES = (LabelClass(3, "bone", "#ff0000"), LabelClass(7, "brain", "#00ff00"))


def labels(shape=SHAPE, shift=0):
    """A bone with a brain in it, not touching both ends of the volume."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    m = [n / 2 for n in shape]
    at = ((z - m[0] - shift) / (0.4 * shape[0])) ** 2 + ((y - m[1]) / (0.35 * shape[1])) ** 2
    at = at + ((x - m[2]) / (0.3 * shape[2])) ** 2
    return np.select([at < 0.3, at < 1], [7, 3], 0).astype(np.uint8)


def greys(of):
    """What a scan of these labels looks like: 20, 120 and 220."""
    return np.select([of == 3, of == 7], [120, 220], 20).astype(np.uint8)


def add_volume(study: Study, name: str, truth=None, reference=None, **changes):
    """Keep a volume that shows `truth`, with reference labels where some are given."""
    truth = labels() if truth is None else truth
    about = {"voxel_size": VOXEL_SIZE, "unit": "mm", **changes}
    kept = None if reference is None else name
    record = VolumeRecord(name=name, shape=truth.shape, reference=kept, **about)
    if reference is not None:
        write_reference(study, record, reference)
    with VolumeWriter(study, record) as writer:
        writer.write(0, greys(truth))
        writer.commit()
    return study.volume(name)


def write_reference(study: Study, record: VolumeRecord, values) -> None:
    from napari_sortingloss.formats import array_source
    from napari_sortingloss.study.volumes.references import ReferenceWriter
    from napari_sortingloss.study.volumes.scratch import Scratch

    with Scratch(study) as scratch, ReferenceWriter(study, record, scratch) as writer:
        for _ in writer.write(array_source(values, record.name, (1.0, 1.0, 1.0), ""), 1):
            pass
        writer.publish()
        writer.keep()


class GreySegmenter:
    """Is sure about greys near 20, 120 and 220, and less sure between them."""

    classes = CLASSES
    step = 40

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.seen: list[tuple[int, ...]] = []
        self.spacings: set[tuple[tuple[float, float], str]] = set()

    def probabilities(self, slices, spacing: tuple[float, float], unit: str) -> torch.Tensor:
        if self.most is not None and len(slices) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.seen.append(slices.shape)
        self.spacings.add((spacing, unit))
        values = torch.from_numpy(np.ascontiguousarray(slices)).float()
        levels: Sequence[float] = (20.0, 120.0, 220.0)
        return torch.stack([-((values - level) ** 2) / 400 for level in levels], dim=1).softmax(dim=1)
