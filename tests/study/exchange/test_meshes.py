"""Surfaces: of the right size, in the right place, looking outwards, in files that other programs read."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput, BadSetting, OutOfSpace, StudyError
from napari_sortingloss.events import Notice
from napari_sortingloss.study import CropSettings
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.exchange.export import ExportSettings, export
from napari_sortingloss.study.exchange.meshes import Mesh, outwards, smoothed, surface, write_mesh
from napari_sortingloss.study.localizations.reading import Hull
from napari_sortingloss.study.predictions.reading import PredictionWriter

SHAPE = (37, 70, 90)
SIZES = (0.4, 0.25, 0.3)
CENTRE = (7.2, 8.0, 15.0)
RADIUS = 5.0
CLASSES = (
    LabelClass(3, "skull bone", "#e69f00"),
    LabelClass(7, "brain", "#56b4e9"),
    LabelClass(9, "eye", "#cc79a7"),
)


@pytest.fixture
def ball() -> np.ndarray:
    """A ball of 5 mm with its centre at (7.2, 8, 15) mm, a small one of another class in it."""
    z, y, x = (np.arange(n) * s for n, s in zip(SHAPE, SIZES, strict=True))
    squares = [(p - c) ** 2 for p, c in zip((z, y, x), CENTRE, strict=True)]
    distance = squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    return (3 * (distance < RADIUS**2) + 4 * (distance < 2.0**2)).astype(np.uint8)


@pytest.fixture
def predicted(study, store, ball) -> str:
    store("fish")
    write(study, "fish", ball)
    return "fish"


def write(study, name, labels, classes=CLASSES) -> None:
    with PredictionWriter(
        study, name, "seg-1", step=5, classes=classes, axes="z", settings={}, uncertainty=False
    ) as writer:
        writer.write(0, len(labels), labels)
        writer.commit()


def read_ply(path) -> tuple[Mesh, np.ndarray]:
    data = path.read_bytes()
    head, _, body = data.partition(b"end_header\n")
    counts = [int(line.split()[-1]) for line in head.decode().splitlines() if line.startswith("element")]
    vertices = np.frombuffer(body, [("p", "<f4", 3), ("c", "u1", 3)], counts[0])
    faces = np.frombuffer(body, [("n", "u1"), ("i", "<i4", 3)], counts[1], offset=15 * counts[0])
    assert len(body) == 15 * counts[0] + 13 * counts[1]
    assert (faces["n"] == 3).all()
    return Mesh(vertices["p"].astype(float), faces["i"].astype(np.intp)), vertices["c"]


def centre_and_radius(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return (low + high) / 2, (high - low) / 2


def run(study, target, volume="fish", what="mesh", **more):
    return list(export(study, ExportSettings(volume=volume, to=target, what=what, **more)))


def test_a_surface_looks_outwards_and_encloses_what_is_inside(ball):
    made = surface(ball == 7).moved(SIZES, (0, 0, 0))
    assert made.volume == pytest.approx(np.sum(ball == 7) * np.prod(SIZES), rel=0.05)
    corner = np.zeros((4, 5, 6), bool)
    corner[0, 0, 0] = True
    assert surface(corner).volume > 0
    np.testing.assert_allclose(surface(corner).vertices.mean(axis=0), 0, atol=1e-6)


def test_smoothing_takes_the_steps_away_and_does_not_shrink(ball):
    rough = surface(ball > 0).moved(SIZES, (0, 0, 0))
    fine = surface(ball > 0, smooth=20).moved(SIZES, (0, 0, 0))
    assert fine.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    away = [abs(np.linalg.norm(m.vertices - CENTRE[::-1], axis=1) - RADIUS) for m in (rough, fine)]
    assert away[1].mean() < 0.7 * away[0].mean()
    assert smoothed(rough, 0) is rough


@pytest.mark.parametrize("suffix", [".ply", ".stl", ".obj"])
def test_every_file_holds_the_triangles(tmp_path, ball, suffix):
    made = surface(ball == 7).moved(SIZES, (1.0, 2.0, 3.0))
    path = tmp_path / f"brain{suffix}"
    write_mesh(path, made, (86, 180, 233), "fish brain")
    data = path.read_bytes()
    if suffix == ".ply":
        found, colors = read_ply(path)
        np.testing.assert_array_equal(found.faces, made.faces)
        assert (colors == (86, 180, 233)).all()
        corners = found.vertices[found.faces]
    elif suffix == ".stl":
        assert data[:80].startswith(b"napari-sortingloss fish brain")
        kind = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
        triangles = np.frombuffer(data, kind, offset=84)
        assert int.from_bytes(data[80:84], "little") == len(triangles)
        corners = triangles["corners"]
        outside = np.einsum(
            "ij,ij->i", triangles["normal"], corners.mean(axis=1) - made.vertices.mean(axis=0)
        )
        assert (outside > 0).mean() > 0.99
    else:
        rows = [line.split() for line in data.decode().splitlines()]
        vertices = np.array([[float(v) for v in row[1:]] for row in rows if row[0] == "v"])
        corners = vertices[np.array([[int(v) - 1 for v in row[1:]] for row in rows if row[0] == "f"])]
        assert ["o", "fish", "brain"] in rows
    np.testing.assert_allclose(corners, made.vertices[made.faces], rtol=1e-5)


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch, ball):
    path = tmp_path / "a.stl"
    path.write_bytes(b"old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace, match=r"Cannot write 'a\.stl': the disk is full"):
        write_mesh(path, surface(ball == 7))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_class_lies_where_it_is_in_mm(study, predicted, tmp_path):
    events = run(study, tmp_path / "brain.ply", classes=("brain",))
    mesh, colors = read_ply(tmp_path / "brain.ply")
    centre, radius = centre_and_radius(mesh)
    np.testing.assert_allclose(centre, CENTRE[::-1], atol=0.2)
    np.testing.assert_allclose(radius, 2.0, atol=0.2)
    assert (colors == (86, 180, 233)).all()
    value = events[-1].value
    assert (value["unit"], value["run"], value["format"]) == ("mm", "seg-1", "PLY")
    assert value["surfaces"][0]["voxel_size"] == list(SIZES)
    assert value["surfaces"][0]["volume"] == pytest.approx(mesh.volume, rel=1e-3)


def test_every_class_becomes_a_file_and_what_is_not_there_is_said(study, predicted, tmp_path):
    events = run(study, tmp_path / "head.stl")
    names = [s["name"] for s in events[-1].value["surfaces"]]
    assert names == ["skull bone", "brain"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix) == ["head_brain.stl", "head_skull_bone.stl"]
    assert [e.message for e in events if isinstance(e, Notice)] == ["fish: there is no eye"]
    with pytest.raises(BadInput, match=r"'head_skull_bone.stl': it exists already"):
        run(study, tmp_path / "head.stl")
    run(study, tmp_path / "head.stl", overwrite=True)


def test_micrometres_become_mm_and_a_crop_lies_in_its_original(study, store, found_at, ball, tmp_path):
    store("fish", unit="um", voxel_size=tuple(1000 * s for s in SIZES))
    found_at("fish", ((4, 36), (5, 66), (10, 88)))
    list(crop(study, CropSettings(volumes=("fish",))))
    name = next(n for n in study.volumes if n != "fish")
    write(study, name, ball[4:36, 5:66, 10:88])
    run(study, tmp_path / "brain.ply", name, classes=("7",))
    centre, radius = centre_and_radius(read_ply(tmp_path / "brain.ply")[0])
    np.testing.assert_allclose(centre, CENTRE[::-1], atol=0.2)
    np.testing.assert_allclose(radius, 2.0, atol=0.2)


def test_a_box_that_is_too_large_is_taken_from_a_smaller_level_and_that_is_said(study, store, tmp_path):
    shape = (140, 130, 120)
    labels = np.zeros(shape, np.uint8)
    labels[5:135, 10:120, 20:110] = 3
    labels[60:64, 50:60, 40:60] = 7
    store("big", np.zeros(shape, np.uint8))
    write(study, "big", labels)
    events = run(study, tmp_path / "a.ply", "big", detail=1, smooth=0)
    first, second = events[-1].value["surfaces"]
    assert first["voxel_size"] == [0.8, 0.5, 0.6]
    assert second["voxel_size"] == [0.4, 0.25, 0.3]
    centre, radius = centre_and_radius(read_ply(tmp_path / "a_skull_bone.ply")[0])
    np.testing.assert_allclose(centre, [64.5 * 0.3, 64.5 * 0.25, 69.5 * 0.4], atol=0.4)
    np.testing.assert_allclose(radius, [45 * 0.3, 55 * 0.25, 65 * 0.4], atol=0.1)
    centre, _ = centre_and_radius(read_ply(tmp_path / "a_brain.ply")[0])
    np.testing.assert_allclose(centre, [49.5 * 0.3, 54.5 * 0.25, 61.5 * 0.4], atol=1e-4)
    said = [e.message for e in events if isinstance(e, Notice)]
    assert said == [
        "big: there is no eye in steps of 2 voxels",
        "big: skull bone was taken from voxels of 0.8 x 0.5 x 0.6 mm (z, y, x), because its box is large; "
        "raise 'detail' for more",
    ]


def test_the_hull_looks_outwards(study, store, found_at, tmp_path):
    store("fish")
    corners = np.array([[3, 5, 10], [30, 5, 10], [3, 60, 10], [3, 5, 88]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 1, 3], [1, 2, 3]])
    found_at("fish", ((3, 30), (5, 60), (10, 88)), hull=Hull(corners, faces))
    events = run(study, tmp_path / "hull.ply", what="hull")
    mesh, _ = read_ply(tmp_path / "hull.ply")
    np.testing.assert_allclose(mesh.vertices, (corners * SIZES)[:, ::-1], rtol=1e-6)
    assert mesh.volume == pytest.approx(27 * 55 * 78 / 6 * np.prod(SIZES), rel=1e-4)
    assert events[-1].value["surfaces"][0]["name"] == "hull"
    assert outwards(mesh).volume == mesh.volume


def test_what_cannot_be_made_a_surface_is_said(study, store, found_at, tmp_path):
    store("fish")
    with pytest.raises(
        BadInput, match=r"surfaces cannot be written as '\.nii'; choose one of \.ply \.stl \.obj"
    ):
        run(study, tmp_path / "a.nii")
    with pytest.raises(BadInput, match="does not exist"):
        run(study, tmp_path / "no" / "a.ply")
    with pytest.raises(StudyError, match="no run has predicted it yet"):
        run(study, tmp_path / "a.ply")
    found_at("fish", ((3, 30), (5, 60), (10, 88)))
    with pytest.raises(StudyError, match="found none; localise it again"):
        run(study, tmp_path / "a.ply", what="hull")
    write(study, "fish", np.zeros(SHAPE, np.uint8))
    with pytest.raises(StudyError, match="holds nothing of skull bone, brain, eye"):
        run(study, tmp_path / "a.ply")
    with pytest.raises(BadSetting, match="option 'margin'"):
        run(study, tmp_path / "a.ply", margin=3)
    with pytest.raises(BadInput, match="cannot be written"):
        write_mesh(tmp_path / "a.vtk", Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])))
