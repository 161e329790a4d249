"""Fixtures for the formats: a volume that is nowhere symmetric, and makers of files in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHAPE = (9, 13, 17)


def _numbered(dtype: str = "uint16", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A volume in which every voxel differs from its mirror images."""
    values = np.arange(np.prod(shape)).reshape(shape)
    if np.dtype(dtype) == bool:
        return values % 7 < 3
    if np.dtype(dtype).kind == "f":
        return (values / 8 - 20).astype(dtype)
    return (values % 121 if np.dtype(dtype).itemsize == 1 else values).astype(dtype)


def _read_all(source: Any, step: int = 4) -> np.ndarray:
    """Read a source slab by slab and close it."""
    with source:
        n = source.shape[0]
        return np.concatenate([source.read(a, min(a + step, n)) for a in range(0, n, step)])


@pytest.fixture
def numbered() -> Callable[..., np.ndarray]:
    return _numbered


@pytest.fixture
def read_all() -> Callable[..., np.ndarray]:
    return _read_all


@pytest.fixture
def volume() -> np.ndarray:
    return _numbered()


@pytest.fixture
def write_dicom() -> Callable[..., list[Path]]:
    """Write a volume in (slice, row, column) order as a DICOM series; positions and names can be changed."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    def write(
        folder: Path,
        volume: np.ndarray,
        *,
        spacing: tuple[float, float, float] = (2.5, 0.75, 0.5),
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        positions: list[float] | None = None,
        slope: float = 1.0,
        intercept: float = 0.0,
        uid: str | None = None,
        number: int = 1,
        description: str = "thorax",
        prefix: str = "im",
        located: bool = True,
        samples: int = 1,
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        uid = uid or generate_uid()
        normal = np.cross(orientation[:3], orientation[3:])
        depths = positions or [i * spacing[0] for i in range(len(volume))]
        paths = []
        for i, image in enumerate(volume):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = CTImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
            data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            data.SeriesInstanceUID, data.StudyInstanceUID = uid, "1.2.3"
            data.SeriesNumber, data.SeriesDescription, data.Modality = number, description, "CT"
            data.InstanceNumber = i + 1
            data.Rows, data.Columns = image.shape[:2]
            data.SamplesPerPixel = samples
            data.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
            if samples > 1:
                data.PlanarConfiguration = 0
            data.BitsAllocated = data.BitsStored = image.dtype.itemsize * 8
            data.HighBit = data.BitsStored - 1
            data.PixelRepresentation = int(image.dtype.kind == "i")
            data.RescaleSlope, data.RescaleIntercept = slope, intercept
            if located:
                data.ImageOrientationPatient = list(orientation)
                data.ImagePositionPatient = [float(c) for c in normal * depths[i]]
                data.PixelSpacing = [spacing[1], spacing[2]]
            data.PixelData = image.tobytes()
            # names run against the positions, so that sorting by name would be wrong
            path = folder / f"{prefix}{len(volume) - i:03d}.dcm"
            pydicom.dcmwrite(path, data, enforce_file_format=True)
            paths.append(path)
        return paths

    return write
