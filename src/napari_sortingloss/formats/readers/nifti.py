"""NIfTI-1 and -2 (.nii, .nii.gz, .hdr/.img) and Analyze, oriented by their affine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_sortingloss.errors import BadInput
from napari_sortingloss.formats.blocks import Block, FileBlock, StreamBlock, check_gzip_length, gzip_stream
from napari_sortingloss.formats.naming import stem_of
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.formats.orientation import AS_STORED, to_lps
from napari_sortingloss.formats.refusals import (
    cannot_read,
    collected_log,
    damaged,
    extra_axis,
    not_this_format,
    pick_axes,
    reading,
    refuse_dtype,
)
from napari_sortingloss.formats.stored import StoredSource
from napari_sortingloss.formats.units import geometry, round_digits

_AXES = "xyztuvw"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def open_nifti(path: Path, options: ReadOptions) -> StoredSource:
    """Open a NIfTI file; the voxels come out in LPS, scaled by ``scl_slope`` and ``scl_inter``.

    A file without a frame (neither qform nor sform) is read as it is stored.

    Raises
    ------
    BadInput
        If the file is damaged, cut off, 2D, a time series, complex or colour.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    what = cannot_read(path)
    with reading(what, ImageFileError, HeaderDataError), collected_log("nibabel.global"):
        try:
            image = nibabel.load(path)
        except ImageFileError as error:
            if "Cannot work out file type" in str(error):
                raise not_this_format(what, "NIfTI") from error
            raise
        header = image.header
        shape = tuple(int(n) for n in header.get_data_shape())
        dtype = np.dtype(header.get_data_dtype())
        affine = np.asarray(image.affine, dtype=float)
        proxy = image.dataobj
        voxels = Path(image.file_map["image"].filename)
        offset, slope, intercept = int(proxy.offset), float(proxy.slope), float(proxy.inter)
        codes = [int(header[key]) for key in ("qform_code", "sform_code") if key in header]
        unit = header.get_xyzt_units()[0] if codes else "mm"
    refuse_dtype(what, dtype)
    if any(n > 1 for n in shape[3:]):
        axis = next(a for a in range(3, len(shape)) if shape[a] > 1)
        raise extra_axis(what, len(shape), _AXES[axis] if axis == 3 else str(axis), shape[axis])
    if any(n < 1 for n in shape):
        raise damaged(what, f"its size is {shape}")
    pick_axes(what, shape[:3], _AXES[: min(3, len(shape))])
    stored = shape[2::-1]

    matrix = affine[:3, :3]
    directions = (_RAS_TO_LPS @ matrix).T[::-1]
    layout = to_lps(directions) if any(codes) else AS_STORED
    sizes = np.sqrt((matrix**2).sum(axis=0))
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        sizes = np.asarray(header.get_zooms()[:3], dtype=float)
    # the header holds 32-bit floats: no more than seven digits mean anything
    size = layout.sizes([round_digits(float(s), 7) for s in sizes[::-1]])
    return StoredSource(
        _block(voxels, offset, stored, dtype),
        name=stem_of(path),
        path=path,
        format="NIfTI",
        layout=layout,
        slope=slope,
        intercept=intercept,
        geometry=geometry(size, "mm" if unit == "unknown" else unit),
        metadata={"unit_in_file": unit},
        scratch=options.scratch,
    )


def _block(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Block:
    what = cannot_read(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if not packed:
        if path.suffix.lower() in (".gz", ".bz2", ".zst"):
            raise BadInput(
                what, f"it is not compressed with gzip although it ends in {path.suffix}", "unpack it first"
            )
        return FileBlock(path, offset, shape, dtype)
    block = StreamBlock(lambda: gzip_stream(path), offset, shape, dtype, what)
    check_gzip_length(path, offset + block.nbytes)
    return block
