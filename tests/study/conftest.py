"""A study with one small volume whose three sides and voxel sizes all differ, and programs that die."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.boxes import Box
from napari_sortingloss.study import Study, VolumeRecord, VolumeWriter
from napari_sortingloss.study.annotations.editor import Action, AnnotationEditor, Change
from napari_sortingloss.study.localizations.reading import Localization, LocalizationWriter

SHAPE = (37, 70, 90)
SIZES = (0.4, 0.25, 0.3)
STEP = (2.0, 10.0, 12.5)
"""Voxels from one point of a coarse map to the next."""


@pytest.fixture
def study(study_dir: Path) -> Study:
    return Study.create(study_dir)


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture
def store(study: Study, voxels: np.ndarray) -> Callable[..., VolumeRecord]:
    """Write a volume into the study, ten slices at a time."""

    def write(name: str = "fish", array: np.ndarray = voxels, **changes: object) -> VolumeRecord:
        record = VolumeRecord(name, array.shape, SIZES, "mm").replace(**changes)
        with VolumeWriter(study, record) as writer:
            for z in range(0, len(array), 10):
                writer.write(z, array[z : z + 10])
            return writer.commit()

    return write


@pytest.fixture
def program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program in another process and wait for the first line it prints."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def found_at(study: Study) -> Callable[..., Localization]:
    """Store where the specimen of a volume is, as a job would; every map value is another one."""

    def write(
        name: str,
        box: Box,
        run: str = "sorting-261121-093000",
        created: str = "2026-11-21T09:30:00+00:00",
        evidence: bool = False,
        **more: object,
    ) -> Localization:
        shape = study.volume(name).shape
        points = tuple(math.ceil(n / step) for n, step in zip(shape, STEP, strict=True))
        grid = {"shape": list(points), "scale": list(STEP), "offset": [(s - 1) / 2 for s in STEP]}
        values = np.arange(np.prod(points), dtype=np.float32).reshape(points) / 7
        found = Localization(
            volume=name, run=run, created=created, shape=shape, box=box, found=box, threshold=0.5
        )
        with LocalizationWriter(study, name, run) as writer:
            writer.uncertainty(values, grid)
            if evidence:
                writer.evidence(-values, grid)
            return writer.commit(found.replace(**more))

    return write


@pytest.fixture
def paint() -> Callable[..., Action]:
    """Paint a box on an editor's labels in place, as a viewer does, and record it."""

    def stroke(editor: AnnotationEditor, box: Box, value: int, **more: object) -> Action:
        part = tuple(slice(low, high) for low, high in box)
        view = editor.labels[part]
        mask = np.asarray(view != value)
        change = Change(tuple(low for low, _ in box), mask, np.asarray(view[mask]).copy(), value)
        view[mask] = value
        return editor.record([change], **more)

    return stroke
