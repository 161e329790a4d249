"""Volumes that are one block of voxels on disk: oriented, scaled and read in slabs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.formats.blocks import Block, FileBlock
from napari_sortingloss.formats.orientation import AS_STORED, Layout
from napari_sortingloss.formats.refusals import refuse_dtype
from napari_sortingloss.formats.source import BUDGET, Geometry, Lookahead, VoxelSource
from napari_sortingloss.formats.units import UNKNOWN


class StoredSource(VoxelSource):
    """A block brought to (z, y, x) by a `Layout`.

    Parameters
    ----------
    block : Block
        The voxels as stored.
    layout : Layout
        Where z, y and x are found in the block.
    slope, intercept : float
        Grey value = slope * stored value + intercept.
    scratch : Path, optional
        The folder of the temporary file that a compressed block with turned axes is unpacked to.
    """

    def __init__(
        self,
        block: Block,
        *,
        name: str,
        path: Path,
        format: str,
        layout: Layout = AS_STORED,
        slope: float = 1.0,
        intercept: float = 0.0,
        geometry: Geometry = UNKNOWN,
        metadata: dict[str, Any] | None = None,
        scratch: Path | None = None,
    ) -> None:
        shape = layout.sizes(block.shape)
        self._scale = None if (slope, intercept) == (1.0, 0.0) else (slope, intercept)
        dtype = block.dtype
        if self._scale is not None:
            narrow = dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4)
            dtype = np.dtype(np.float32 if narrow else np.float64)
        self._block, self._layout, self._scratch = block, layout, scratch
        self._axis, self._backward = layout.order[0], layout.flip[0]
        self._turned = (self._axis != 0 and not block.any_axis) or (self._backward and block.sequential)
        thickness = max(1, BUDGET // max(1, int(shape[1] * shape[2]) * block.dtype.itemsize))
        self._ahead = Lookahead(self._stored, int(shape[0]), thickness if self._axis else 1)
        super().__init__(
            name=name,
            path=path,
            format=format,
            shape=shape,
            dtype=dtype,
            geometry=geometry,
            metadata={**layout.metadata(), **(metadata or {})},
            sequential=block.sequential,
            together=1 if self._axis == 0 else min(thickness, int(shape[0])),
        )
        refuse_dtype(self.what, block.dtype)

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Unpack a compressed block whose axes are turned, to a temporary file that `close` removes."""
        if self._turned:
            for step in self._block.unpack(self._scratch, self.what):
                if isinstance(step, FileBlock):
                    self._block, self._turned = step, False
                else:
                    yield step

    def _read(self, start: int, stop: int) -> np.ndarray:
        for _ in self.prepare():
            pass
        slab = self._ahead.get(start, stop)
        if self._scale is None:
            return slab
        slope, intercept = (self.dtype.type(number) for number in self._scale)
        scaled: np.ndarray = slab.astype(self.dtype) * slope + intercept
        return scaled

    def _stored(self, start: int, stop: int) -> np.ndarray:
        length = self.shape[0]
        low, high = (length - stop, length - start) if self._backward else (start, stop)
        return self._layout.apply(self._block.read(self._axis, low, high))

    def close(self) -> None:
        """Let go of the file and remove a temporary one."""
        self._block.close()
