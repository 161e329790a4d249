"""Sets up the trials of a learning curve: which slices are annotated, in a study of links that leaves the user's alone."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import readable_os_errors
from napari_sortingloss.segment.annotator.simulated import evenly
from napari_sortingloss.study.volumes.references import FOLDER as REFERENCES

if TYPE_CHECKING:
    from napari_sortingloss.segment.reference_labels import Reference
    from napari_sortingloss.study import Run, Study, Volume

_VOLUMES = 0x5EED
"""Keeps the drawing of volumes apart from that of slices."""

OF_THE_WRITER = ("*.lock", "owner.json", "heartbeat", "control.json", "*.png", "*.tmp", "preview*")
"""What of a run belongs to the process that trains it and is not linked."""


def draw_slices(
    candidates: Mapping[str, NDArray[np.intp]], seed: int, volumes: int, most: int
) -> dict[str, tuple[int, ...]]:
    """Draw volumes, and slices in each of them in an order of which beginnings are taken.

    Parameters
    ----------
    candidates : mapping of str to ndarray of int
        For each volume of the pool the array indices of the slices that can be drawn.
    seed : int
        The same seed draws the same slices, whatever is trained on them: arms are compared in pairs.
    volumes : int
        How many volumes to draw; all where there are no more.
    most : int
        How many slices of each at most.

    Returns
    -------
    dict of str to tuple of int
        Array indices; the first n of each volume are the annotation of n slices, so that fewer are a subset of more.

    Notes
    -----
    Slices are spread as `napari_sortingloss.segment.annotator.simulated.evenly` spreads them, as a person would who wants to see all
    of a volume.
    """
    names = sorted(candidates)
    drawn: dict[str, tuple[int, ...]] = {}
    for name in sorted(np.random.default_rng([seed, _VOLUMES]).permutation(names)[:volumes].tolist()):
        # A generator of its own: the slices of a volume depend on no other volume.
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        found = np.sort(candidates[name])
        drawn[name] = tuple(int(found[i]) for i in evenly(len(found), most, rng))
    return drawn


def linked_study(study: Study, folder: Path, volumes: Sequence[Volume], runs: Sequence[Run] = ()) -> Study:
    """Make a study of the same volumes, references and runs that takes no room and shares no annotation.

    Parameters
    ----------
    study : Study
        It is only read.
    folder : Path
        Where to make it; must not exist yet. On the study's disk files become hard links, elsewhere copies.
    volumes : sequence of Volume
        What it holds.
    runs : sequence of Run
        The pre-trained networks it starts from.

    Raises
    ------
    OutOfSpace, UserError
        If the disk is full or cannot be written to.
    """
    from napari_sortingloss.disk.atomic import read_json
    from napari_sortingloss.study import Study

    child = Study.create(folder)
    with readable_os_errors(f"Cannot set up a trial in '{folder}'"):
        for volume in volumes:
            _link(volume.path, child.volume_path(volume.name))
            reference = study.path / REFERENCES / f"{volume.record.reference}.zarr"
            if volume.record.reference is not None and reference.is_dir():
                _link(reference, folder / REFERENCES / reference.name)
        for run in runs:
            _link(run.path, folder / "runs" / run.id, OF_THE_WRITER)
    about = read_json(study.path / "study.json")
    with child.transaction() as document:
        document["classes"] = about["classes"]
        for volume in volumes:
            document["volumes"][volume.name] = {**about["volumes"][volume.name], "parent": None}
    return child


def _link(source: Path, target: Path, leave_out: Sequence[str] = ()) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        source, target, copy_function=_link_or_copy, ignore=shutil.ignore_patterns("*.lock", *leave_out)
    )


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copy2(source, target)
    return target


def annotate_from(
    study: Study, volume: Volume, indices: Sequence[int], reference: Reference, values: Sequence[int]
) -> None:
    """Copy the reference on some slices into a study's annotations and mark them complete.

    Parameters
    ----------
    study : Study
        The one to annotate in.
    volume : Volume
        A volume of it.
    indices : sequence of int
        Array indices along the ordering axis.
    reference : Reference
        Its labels.
    values : sequence of int
        The labels that become annotations; others become background.
    """
    from napari_sortingloss.study.annotations.editor import AnnotationEditor

    labels = reference.read_slices(volume.axis, indices)
    kept = np.where(np.isin(labels, values), labels, 0).astype(np.uint8)
    with AnnotationEditor(study, volume.name) as editor:
        for index, one in zip(indices, kept, strict=True):
            editor.put_slice(volume.axis, index, one, what="from the reference", status="complete")
