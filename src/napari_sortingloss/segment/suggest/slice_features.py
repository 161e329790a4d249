"""What a run's network sees in slices of whole volumes: embedding, anatomical position, doubt; kept beside the weights.

Imports no torch before something has to be computed: windows read what is kept.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import readable_os_errors

if TYPE_CHECKING:
    from napari_sortingloss.segment.suggest.slice_readers import Seer
    from napari_sortingloss.study import Run, Volume

Floats = NDArray[np.float32]
Weights = Literal["best", "last"]

SLICES = 96
"""Of each volume about so many slices are looked at, evenly; shorter ones are looked at slice by slice."""

SLICES_WITH_DOUBT = 48
"""The same where a whole segmentation network is asked, which takes longer."""

BATCH, PIXELS = 16, 4_000_000
"""Slices looked at together: at most so many, and (but for a single one) at most so many pixels."""

THUMBNAIL = 32
"""Side in pixels of the small copies by which empty slices are told."""

VERSION = 1

FINETUNE = "finetune"
"""The kind of the runs that segment."""


@dataclass(frozen=True)
class SliceFeatures:
    """What a network sees in some slices of one volume.

    Attributes
    ----------
    volume : str
    axis : str
        The volume's ordering axis.
    positions : ndarray of int, shape (n,)
        Ascending, along the ordering axis in its direction.
    indices : ndarray of int, shape (n,)
        The same slices along the array.
    slices : int
        How many the volume has.
    embeddings : ndarray of float32, shape (n, d)
        Encoder features averaged over each slice.
    anatomy : ndarray of float32, shape (n,)
        Where the slice lies in the anatomy: the score of a sorting network (in its own units, comparable from volume
        to volume), or the position divided by the number of slices where no network of the kind is known.
    foreground : ndarray of bool, shape (n,)
        Which slices show something of the sample.
    doubt : ndarray of float32, shape (n,)
        Mean entropy of the predicted classes, from 0 (sure) to 1; NaN where the network segments nothing.
    step : int
        Steps the weights were trained for.
    """

    volume: str
    axis: str
    positions: NDArray[np.intp]
    indices: NDArray[np.intp]
    slices: int
    embeddings: Floats
    anatomy: Floats
    foreground: NDArray[np.bool_]
    doubt: Floats
    step: int


def features_path(run: Run, volume: str) -> Path:
    """Return where a run's features of a volume are kept."""
    return run.path / f"features-{volume}.npz"


def sampled_positions(volume: Volume, kind: str) -> NDArray[np.intp]:
    """Return the positions at which a volume is looked at for a kind of run: every n-th, both ends alike."""
    most = SLICES_WITH_DOUBT if kind == FINETUNE else SLICES
    step = max(1, math.ceil(volume.n_slices / most))
    return np.arange((volume.n_slices - 1) % step // 2, volume.n_slices, step)


def read_features(run: Run, volume: Volume, weights: Weights | None = None) -> SliceFeatures | None:
    """Return what is kept of a run's features of a volume; loads no torch.

    Parameters
    ----------
    run : Run
    volume : Volume
    weights : {"best", "last"}, optional
        Only if it was computed with these weights as they are now; without it whatever is kept, as long as it fits
        the volume.

    Returns
    -------
    SliceFeatures or None
        None where there is nothing, or it is out of date or damaged.
    """
    try:
        path = features_path(run, volume.name)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) != _key(run, volume) or (
                weights is not None and str(kept["stamp"]) != weights_stamp(run, weights)
            ):
                return None
            return SliceFeatures(
                volume=volume.name,
                axis=volume.axis,
                positions=kept["positions"].astype(np.intp),
                indices=kept["indices"].astype(np.intp),
                slices=volume.n_slices,
                embeddings=kept["embeddings"].astype(np.float32),
                anatomy=kept["anatomy"].astype(np.float32),
                foreground=kept["foreground"].astype(bool),
                doubt=kept["doubt"].astype(np.float32),
                step=int(kept["step"]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def write_features(run: Run, volume: Volume, found: SliceFeatures, stamp: str) -> None:
    """Keep features, whole or not at all.

    Parameters
    ----------
    run : Run
    volume : Volume
    found : SliceFeatures
    stamp : str
        Of the weights that made them, see `weights_stamp`.
    """
    from napari_sortingloss.disk.atomic import write_bytes

    buffer = io.BytesIO()
    np.savez(
        buffer,
        key=np.array(_key(run, volume)),
        stamp=np.array(stamp),
        step=np.array(found.step),
        positions=found.positions,
        indices=found.indices,
        embeddings=found.embeddings.astype(np.float16),
        anatomy=found.anatomy,
        foreground=found.foreground,
        doubt=found.doubt,
    )
    with readable_os_errors(f"Cannot keep what the run '{run.id}' sees in '{volume.name}'"):
        write_bytes(features_path(run, volume.name), buffer.getvalue())


def weights_stamp(run: Run, weights: Weights) -> str:
    """Return a text that changes whenever the weights in question do, without reading them."""
    wanted = [run.path / "best.pt", run.path / "last.pt"]
    for path in wanted if weights == "best" else wanted[1:]:
        try:
            about = path.stat()
        except OSError:
            continue
        return f"{path.name} {about.st_size} {about.st_mtime_ns}"
    return ""


def _key(run: Run, volume: Volume) -> str:
    """What the features of a volume depend on besides the weights."""
    shape = "x".join(map(str, volume.shape))
    scan = volume.record.created
    positions = sampled_positions(volume, run.kind)
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    return f"{VERSION} {shape} {volume.axis}{volume.direction} every {step} {scan}"


def look_at(volume: Volume, kind: str, seer: Seer) -> Iterator[SliceFeatures | int]:
    """Look at the slices of a volume, a few at a time.

    Yields
    ------
    int or SliceFeatures
        How many slices were looked at since the last time; last what was seen.
    """
    from napari_sortingloss.pretext.displacement import foreground_slices
    from napari_sortingloss.slices.reader import load_slices

    positions = sampled_positions(volume, kind)
    embeddings: list[Floats] = []
    anatomy: list[Floats] = []
    doubt: list[Floats] = []
    thumbnails: list[NDArray[np.uint8]] = []
    together = max(1, min(BATCH, PIXELS // math.prod(volume.slice_shape)))
    for start in range(0, len(positions), together):
        part = [int(p) for p in positions[start : start + together]]
        embedded, where, unsure = seer.look(volume, part)
        embeddings.append(embedded)
        fallback = ((np.asarray(part) + 0.5) / volume.n_slices).astype(np.float32)
        anatomy.append(fallback if where is None else where)
        doubt.append(np.full(len(part), np.nan, np.float32) if unsure is None else unsure)
        thumbnails.append(load_slices(volume, part, THUMBNAIL))
        yield len(part)
    yield SliceFeatures(
        volume=volume.name,
        axis=volume.axis,
        positions=positions,
        indices=np.array([volume.index_of(int(p)) for p in positions], np.intp),
        slices=volume.n_slices,
        # As precise as what is kept, so that a second call ranks alike.
        embeddings=np.concatenate(embeddings).astype(np.float16).astype(np.float32),
        anatomy=np.concatenate(anatomy),
        foreground=foreground_slices(np.concatenate(thumbnails)),
        doubt=np.concatenate(doubt),
        step=seer.step,
    )


def features_of(run: Run, volumes: Sequence[Volume]) -> list[SliceFeatures]:
    """Return what is kept of volumes; those without are left out. Loads no torch."""
    found = (read_features(run, volume) for volume in volumes)
    return [one for one in found if one is not None]
