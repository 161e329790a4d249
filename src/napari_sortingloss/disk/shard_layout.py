"""How voxels lie on disk: uncompressed blocks in shard files that can be memory-mapped and cut in any direction.

A level is a Zarr v3 array with the sharding codec. Inside a shard the blocks follow each other in C order, so that the
whole file is one six-dimensional array (block z, y, x, voxel z, y, x) and a slice along any axis is one strided copy.
The figures behind the choice are in benchmarks/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

PLANES_BYTES = 2 * 2**20
"""The full level's blocks are whole planes, as many as fit in this (at least one)."""

CUBE = (64, 64, 64)
"""The smaller levels' blocks, for which every direction is as good as the others."""

SHARD_BYTES = 256 * 2**20
"""No shard file is larger than this (unless a single block is)."""

MISSING = 2**64 - 1


@dataclass(frozen=True)
class Layout:
    """The blocks and shards of one level.

    Attributes
    ----------
    shape : tuple of int
        (z, y, x) of the level in voxels.
    block : tuple of int
        (z, y, x) of a block (Zarr: the inner chunk) in voxels.
    per_shard : tuple of int
        How many blocks a shard holds along each axis.
    """

    shape: tuple[int, int, int]
    block: tuple[int, int, int]
    per_shard: tuple[int, int, int]

    @classmethod
    def of_planes(cls, shape: tuple[int, int, int]) -> Layout:
        """Return the layout of a full level, of which training copies slices: blocks are whole planes.

        A shard is then a plain array, from which a slice in any direction costs what it costs from a memory map.
        """
        z, y, x = shape
        rows = min(y, max(1, SHARD_BYTES // x))
        return cls.choose(shape, (min(z, max(1, PLANES_BYTES // (rows * x))), rows, x))

    @classmethod
    def of_cubes(cls, shape: tuple[int, int, int]) -> Layout:
        """Return the layout of a smaller level, which a person looks at from three sides."""
        return cls.choose(shape, CUBE)

    @classmethod
    def choose(
        cls, shape: tuple[int, int, int], block: tuple[int, int, int], shard_bytes: int = SHARD_BYTES
    ) -> Layout:
        """Return blocks close to `block`, evened out so that none is nearly empty, and shards of many of them.

        Whole rows of blocks come first, then whole layers, then layers above each other, so that a slice along z
        opens as few files as possible.
        """
        blocks = [math.ceil(size / aim) for size, aim in zip(shape, block, strict=True)]
        even = [math.ceil(size / count) for size, count in zip(shape, blocks, strict=True)]
        left = max(1, shard_bytes // math.prod(even))
        per_shard = [1, 1, 1]
        for axis in (2, 1, 0):
            files = math.ceil(blocks[axis] / min(blocks[axis], left))
            per_shard[axis] = math.ceil(blocks[axis] / files)
            left = left // per_shard[axis] if files == 1 else 1
        return cls(shape, (even[0], even[1], even[2]), (per_shard[0], per_shard[1], per_shard[2]))

    @cached_property
    def whole_planes(self) -> bool:
        """Whether a block is some whole planes."""
        return self.block[1:] == self.shape[1:]

    @cached_property
    def shard(self) -> tuple[int, int, int]:
        """(z, y, x) of a shard in voxels (Zarr: the chunk of the chunk grid)."""
        z, y, x = (b * n for b, n in zip(self.block, self.per_shard, strict=True))
        return z, y, x

    @cached_property
    def blocks(self) -> tuple[int, int, int]:
        """How many blocks the level has along each axis."""
        z, y, x = (math.ceil(s / b) for s, b in zip(self.shape, self.block, strict=True))
        return z, y, x

    @cached_property
    def shards(self) -> tuple[int, int, int]:
        """How many shards the level has along each axis."""
        z, y, x = (math.ceil(s / b) for s, b in zip(self.blocks, self.per_shard, strict=True))
        return z, y, x

    def grid(self) -> Iterator[tuple[int, int, int]]:
        """Return the position of every shard in the grid of shards."""
        yield from product(*(range(n) for n in self.shards))

    def blocks_of(self, key: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return how many blocks of a shard lie inside the level, along each axis."""
        z, y, x = (
            min(per, total - at * per)
            for per, total, at in zip(self.per_shard, self.blocks, key, strict=True)
        )
        return z, y, x

    def file_name(self, key: tuple[int, int, int]) -> str:
        """Return the path of a shard below the level's folder."""
        return "c/" + "/".join(map(str, key))

    def index(self, key: tuple[int, int, int]) -> bytes:
        """Return the index that closes a shard file: offset and length of each block, then their CRC-32C."""
        import google_crc32c

        inside = self.blocks_of(key)
        size = math.prod(self.block)
        table = np.full((*self.per_shard, 2), MISSING, dtype="<u8")
        window = table[: inside[0], : inside[1], : inside[2]]
        window[..., 0] = np.arange(math.prod(inside), dtype=np.uint64).reshape(inside) * np.uint64(size)
        window[..., 1] = size
        data = table.tobytes()
        return data + int(google_crc32c.value(data)).to_bytes(4, "little")

    def data_bytes(self, key: tuple[int, int, int]) -> int:
        """Return the size of a shard file without its index."""
        return math.prod(self.blocks_of(key)) * math.prod(self.block)

    def metadata(self) -> dict[str, Any]:
        """Return the Zarr v3 metadata (zarr.json) of the level."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.shard)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": list(self.block),
                        "codecs": [{"name": "bytes"}],
                        "index_codecs": [
                            {"name": "bytes", "configuration": {"endian": "little"}},
                            {"name": "crc32c"},
                        ],
                        "index_location": "end",
                    },
                }
            ],
            "attributes": {},
            "dimension_names": ["z", "y", "x"],
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Layout | None:
        """Return the layout that a zarr.json describes, or None when the blocks cannot be mapped (another program's).

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no Zarr v3 array of three axes.
        """
        sz, sy, sx = (int(n) for n in metadata["shape"])
        cz, cy, cx = (int(n) for n in metadata["chunk_grid"]["configuration"]["chunk_shape"])
        codecs = list(metadata["codecs"])
        if codecs[0]["name"] != "sharding_indexed" or metadata["data_type"] != "uint8":
            return None
        bz, by, bx = (int(n) for n in codecs[0]["configuration"]["chunk_shape"])
        found = cls((sz, sy, sx), (bz, by, bx), (cz // bz, cy // by, cx // bx))
        ours = found.metadata()
        same = all(metadata.get(key) == ours[key] for key in ("codecs", "chunk_key_encoding", "fill_value"))
        return found if same else None
