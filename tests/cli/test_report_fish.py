"""What the report says and draws of boxes: errors, crops, places and proportions."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from napari_sortingloss.boxes import NO_BOX, Box
from napari_sortingloss.cli import fish_pictures as pictures
from napari_sortingloss.cli.fish_boxes import FishBox, fish_boxes, mean_error
from napari_sortingloss.cli.fish_pictures import Frame
from napari_sortingloss.cli.report_fish import where_is_the_fish
from napari_sortingloss.localize.grid import Grid
from napari_sortingloss.study import Study
from napari_sortingloss.study.crops.job import CropSettings, crop
from napari_sortingloss.study.localizations.reading import Hull, Localization, LocalizationWriter

SHAPE = (20, 12, 16)
VOXEL = (0.4, 0.25, 0.3)
EXACT: Box = ((4, 16), (2, 9), (5, 14))
BOX: Box = ((3, 16), (2, 9), (5, 12))
GRID = Grid((10, 6, 8), (2.0, 2.0, 2.0), (0.5, 0.5, 0.5))


@pytest.fixture
def fish(study_dir: Path, tmp_path: Path, run: Callable) -> Study:
    """A study of two volumes: a block in the exact box, and beside it something brighter."""
    study = Study.create(study_dir)
    for name in ("a", "b"):
        voxels = np.full(SHAPE, 30, np.uint8)
        block = tuple(slice(*span) for span in EXACT)
        voxels[block] = np.linspace(100, 200, 12)[:, None, None]
        voxels[:, :, 0] = 250
        np.save(tmp_path / f"{name}.npy", voxels)
        done = run(
            "add",
            study_dir,
            tmp_path / f"{name}.npy",
            "--voxel-size",
            *VOXEL,
            "--unit",
            "mm",
            "--window",
            "0:255",
        )
        assert done.status == 0, done.err
    with study.transaction() as document:
        document["settings"]["sample"] = {name: {"box": EXACT, "upside_down": False} for name in ("a", "b")}
    return Study.open(study_dir)


def _localize(study: Study, name: str, box: Box) -> None:
    evidence = np.zeros(GRID.shape, np.float32)
    evidence[2:8, 1:5, 3:6] = 1
    corners = np.array([[4, 2, 5], [15, 2, 5], [15, 8, 5], [15, 8, 11.0]])
    with LocalizationWriter(study, name, "r") as writer:
        writer.uncertainty(evidence, GRID.to_json())
        writer.commit(
            Localization(
                volume=name,
                run="r",
                created="2026-01-01T00:00:00+00:00",
                shape=SHAPE,
                box=box,
                found=box,
                threshold=0.5,
                statistic="sensitivity",
                hull=Hull(corners, np.array([[0, 1, 2], [0, 1, 3]])),
            )
        )


def _cropped(study: Study, margin: int) -> list[FishBox]:
    _localize(study, "a", BOX)
    _localize(study, "b", NO_BOX)
    for _ in crop(study, CropSettings(volumes=("a",), margin=margin)):
        pass
    return fish_boxes(study, "r", ("a", "b"), held_back=("b",))


def test_the_error_is_the_mean_distance_of_the_six_faces_relative_to_the_sides(fish: Study) -> None:
    found = _cropped(fish, 0)[0]
    assert found.error == pytest.approx((1 / 20 + 2 / 16) / 6)
    assert found.largest == 2


def test_where_nothing_is_found_the_whole_volume_is_judged(fish: Study) -> None:
    found = _cropped(fish, 0)
    assert found[1].box == ((0, 20), (0, 12), (0, 16))
    assert found[1].error == pytest.approx((8 / 20 + 5 / 12 + 7 / 16) / 6)
    assert found[1].removed_fraction == 0
    assert found[1].to_json()["box"] == [[0, 0], [0, 0], [0, 0]]
    assert mean_error(found) == pytest.approx((found[0].error + found[1].error) / 2)


@pytest.mark.parametrize(("margin", "is_whole"), [(0, False), (1, False), (2, True)])
def test_a_fish_is_whole_when_its_exact_box_lies_in_the_crop(
    fish: Study, margin: int, is_whole: bool
) -> None:
    found = _cropped(fish, margin)[0]
    assert found.is_whole is is_whole
    z, y, x = (
        min(n, high + margin) - max(0, low - margin) for n, (low, high) in zip(SHAPE, BOX, strict=True)
    )
    assert found.removed_fraction == pytest.approx(1 - z * y * x / np.prod(SHAPE))


def test_the_report_owns_up_to_what_was_cut_off_and_to_what_was_not_found(fish: Study) -> None:
    page = where_is_the_fish(fish, _cropped(fish, 0))
    assert "the exact boxes of a reach out of the crops" in page
    assert "nothing found" in page
    assert "1 volumes" not in page


def test_a_report_without_any_box_says_so(fish: Study) -> None:
    for name in ("a", "b"):
        _localize(fish, name, NO_BOX)
    page = where_is_the_fish(fish, fish_boxes(fish, "r", ("a", "b"), ("b",)))
    assert "Nothing was found" in page
    assert "Nothing was cropped" in page


@pytest.mark.parametrize(
    ("across", "size"), [(0, (12 * 0.25, 16 * 0.3)), (1, (20 * 0.4, 16 * 0.3)), (2, (20 * 0.4, 12 * 0.25))]
)
def test_pictures_have_physical_proportions(across: int, size: tuple[float, float]) -> None:
    frame = Frame(SHAPE, VOXEL, across, 100)
    assert frame.size[1] / frame.size[0] == pytest.approx(size[1] / size[0])


def test_a_box_is_drawn_around_its_voxels(fish: Study) -> None:
    frame = Frame(SHAPE, VOXEL, 2, 20 * 0.4 * 10)
    drawn = frame.box(EXACT, "#fff", 1)
    x, y, width, height = (
        float(re.search(f' {k}="([0-9.]+)"', drawn).group(1)) for k in ("x", "y", "width", "height")
    )  # type: ignore[union-attr]
    assert (x, y, width, height) == pytest.approx((2 * 2.5, 4 * 4, 7 * 2.5, 12 * 4), abs=0.06)


def test_a_projection_sees_only_what_lies_in_the_box_along_the_line_of_sight(fish: Study) -> None:
    seen = pictures.projection(fish.volume("a"), EXACT, 2)
    assert seen.shape == (20, 12)
    assert seen[15, 2:9].min() > 240, "the end of the block is the brightest"
    assert seen[:4].max() == 0, "the bright plane lies outside the box"


def test_a_map_is_laid_where_its_grid_says() -> None:
    frame = Frame(SHAPE, VOXEL, 1, 100)
    values = np.zeros(GRID.shape, np.float32)
    values[5, 2, 6] = 1  # the voxels 10.5, 4.5, 12.5
    plane = pictures.plane_of_map(values, GRID, 4, frame)
    assert plane.shape == (20, 16)
    weights = plane / plane.sum()
    assert (weights.sum(axis=1) @ np.arange(20), weights.sum(axis=0) @ np.arange(16)) == pytest.approx(
        (10.5, 12.5)
    )
    assert pictures.plane_of_map(values, GRID, 0, frame).max() == 0


def test_an_embedded_picture_keeps_its_colours() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[..., 0] = 255
    data = base64.b64decode(pictures.png(image).split(",")[1])
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[0, 0].tolist() == [0, 0, 255]
