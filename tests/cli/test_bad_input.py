"""Every mistake gets one clear sentence on standard error, status 2, and leaves the study as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sortingloss.study import Study

Case = tuple[str, Callable[[Path], list[object]], str]


def _save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def _tiff(path: Path, array: np.ndarray, cut: int = 0, **how: object) -> Path:
    tifffile.imwrite(path, array, **how)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["spectrum"] = np.arange(10)
    return path


def _picture(path: Path, mode: str) -> Path:
    Image.new(mode, (8, 6)).save(path)
    return path


NOISE = np.random.default_rng(0).integers(0, 4000, (9, 10, 12)).astype(np.uint16)

FILES: list[tuple[str, Callable[[Path], Path], list[object], str]] = [
    ("missing file", lambda d: d / "nowhere.tif", [], "nowhere.tif"),
    ("empty file", lambda d: _written(d / "empty.tif", b""), [], "empty"),
    ("truncated TIFF", lambda d: _tiff(d / "cut.tif", NOISE, cut=900), [], "cut.tif"),
    ("one picture", lambda d: _tiff(d / "flat.tif", NOISE[0]), [], "flat.tif"),
    ("one slice", lambda d: _save(d / "thin.npy", NOISE[:1]), [], "slice"),
    ("four dimensions", lambda d: _save(d / "time.npy", np.stack([NOISE, NOISE])), [], "time.npy"),
    ("colour", lambda d: _tiff(d / "rgb.tif", np.zeros((4, 6, 8, 3), np.uint8), photometric="rgb"), [], "rgb.tif"),
    ("complex numbers", lambda d: _save(d / "fft.npy", NOISE.astype(complex)), [], "complex"),
    ("nothing but NaN", lambda d: _save(d / "nan.npy", np.full((4, 5, 6), np.nan, np.float32)), [], "nan"),
    ("constant", lambda d: _save(d / "const.npy", np.full((4, 5, 6), 7, np.uint8)), [], "7"),
    ("wrong suffix", lambda d: _written(d / "pic.tif", _picture(d / "p.png", "L").read_bytes()), [], "pic.tif"),
    ("unknown suffix", lambda d: _written(d / "notes.docx", b"hello"), [], "docx"),
    ("raw without shape", lambda d: _written(d / "v.raw", bytes(120)), [], "raw-shape"),
    ("raw of another size", lambda d: _written(d / "v.raw", bytes(100)),
     ["--raw-shape", 4, 5, 6, "--raw-dtype", "uint8"], "120"),
    ("HDF5 without a volume", lambda d: _hdf5(d / "s.h5"), [], "s.h5"),
    ("not HDF5 at all", lambda d: _written(d / "x.h5", b"no such thing"), [], "x.h5"),
    ("damaged NIfTI", lambda d: _written(d / "x.nii.gz", b"\x1f\x8b\x08\x00junk"), [], "x.nii.gz"),
    ("empty folder", lambda d: (d / "dir").mkdir() or d / "dir", [], "dir"),
    ("window upside down", lambda d: _save(d / "a.npy", NOISE), ["--window", "500:100"], "500"),
    ("window of no sense", lambda d: _save(d / "a.npy", NOISE), ["--window", "bright"], "bright"),
    ("window beyond all voxels", lambda d: _save(d / "a.npy", NOISE), ["--window", "9000:9500"], "9000"),
    ("voxel size below zero", lambda d: _save(d / "a.npy", NOISE), ["--voxel-size", 1, 0, 1], "0"),
    ("downsampled to nothing", lambda d: _save(d / "a.npy", NOISE), ["--downsample", 32], "downsampling"),
    ("unknown axis", lambda d: _save(d / "a.npy", NOISE), ["--axis", "t"], "axis"),
    ("reference of another shape", lambda d: _save(d / "a.npy", NOISE),
     ["--reference", "{dir}/ref.npy"], "ref.npy"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "options", "said"), [c[1:] for c in FILES], ids=[c[0] for c in FILES])
def test_a_bad_file_is_refused_in_one_sentence(
    make: Callable[[Path], Path],
    options: list[object],
    said: str,
    study_dir: Path,
    tmp_path: Path,
    run: Callable,
) -> None:
    Study.create(study_dir)
    _save(tmp_path / "ref.npy", np.zeros((3, 4, 5), np.uint8))
    path = make(tmp_path)
    done = run("add", study_dir, path, *[str(o).replace("{dir}", str(tmp_path)) for o in options], "--json")
    _is_one_sentence(done, said)
    assert Study.open(study_dir).volumes == {}
    assert not list(study_dir.glob("volumes/*"))


def _damaged(study: Path) -> None:
    (study / "study.json").write_text("{ not json")


def _newer(study: Path) -> None:
    document = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps({**document, "schema_version": 99}))


COMMANDS: list[tuple[str, Callable[[Path], object], list[str], str]] = [
    ("no study there", lambda s: None, ["list", "{study}-elsewhere"], "elsewhere"),
    ("a file for a study", lambda s: None, ["list", "{study}/study.json.bak"], "study.json.bak"),
    ("damaged study", _damaged, ["list", "{study}"], "damaged"),
    ("newer study", _newer, ["list", "{study}"], "newer"),
    ("study there already", lambda s: None, ["new", "{study}"], "already"),
    ("no file named", lambda s: None, ["add", "{study}"], "file"),
    ("unknown task", lambda s: None, ["pretrain", "{study}", "--task", "knitting"], "knitting"),
    ("no steps", lambda s: None, ["pretrain", "{study}", "--steps", "-1"], "steps"),
    ("slices too small", lambda s: None, ["pretrain", "{study}", "--size", "4"], "size"),
    ("one slice a batch", lambda s: None, ["pretrain", "{study}", "--slices", "1"], "slices"),
    ("unknown volume", lambda s: None, ["pretrain", "{study}", "--volumes", "fish"], "fish"),
    ("all kept out", lambda s: None, ["pretrain", "{study}", "--validate", "scan"], "validat"),
    ("trained and kept out", lambda s: None,
     ["pretrain", "{study}", "--volumes", "scan", "--validate", "scan"], "scan"),
    ("unknown option", lambda s: None, ["pretrain", "{study}", "--colour", "red"], "--colour"),
    ("not a number", lambda s: None, ["pretrain", "{study}", "--steps", "many"], "many"),
    ("unknown run", lambda s: None, ["order", "{study}", "--run", "sorting-0"], "sorting-0"),
    ("no run to resume", lambda s: None, ["pretrain", "{study}", "--resume", "sorting-0"], "sorting-0"),
    ("order without a run", lambda s: None, ["order", "{study}"], "--run"),
    ("export of nothing", lambda s: None, ["export", "{study}", "fish", "--to", "{study}/../a.tif"], "fish"),
    ("export to no format", lambda s: None, ["export", "{study}", "scan", "--to", "{study}/../a.doc"], ".doc"),
    ("export into the study", lambda s: None, ["export", "{study}", "scan", "--to", "{study}/a.tif"], "study"),
    ("export nowhere", lambda s: None, ["export", "{study}", "scan", "--to", "{study}/../no/such/a.tif"], "no"),
    ("demo over another study", lambda s: None, ["demo", "{study}", "--no-gui"], "another study"),
    ("unknown command", lambda s: None, ["frobnicate", "{study}"], "frobnicate"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"), [c[1:] for c in COMMANDS], ids=[c[0] for c in COMMANDS]
)
def test_a_bad_command_is_refused_in_one_sentence(
    spoil: Callable[[Path], object], arguments: list[str], said: str, study: Path, run: Callable
) -> None:
    spoil(study)
    before = (study / "study.json").read_bytes()
    done = run(*[a.replace("{study}", str(study)) for a in arguments])
    _is_one_sentence(done, said)
    assert (study / "study.json").read_bytes() == before
    assert not list(study.glob("runs/*"))


def _is_one_sentence(done: object, said: str) -> None:
    status, out, err = done.status, done.out, done.err  # type: ignore[attr-defined]
    assert status == 2, f"ended with {status}: {out}{err}"
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert said.lower() in lines[0].lower(), lines[0]
    assert "Traceback" not in err
    assert "Error" not in lines[0], lines[0]
    assert lines[0].rstrip().endswith((".", "'"))
