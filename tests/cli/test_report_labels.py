"""How the report draws labels, and what it says of slices, curves and scores."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from napari_sortingloss.cli import label_pictures as pictures
from napari_sortingloss.cli.learning_curve_plot import draw
from napari_sortingloss.cli.report_painted import fine_tuning, painted_slices
from napari_sortingloss.cli.report_parts import Log
from napari_sortingloss.cli.report_result import Scene, hero, result
from napari_sortingloss.events import Metrics
from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.editor import AnnotationEditor
from napari_sortingloss.study.classes import LabelClass, add_class, read_classes
from napari_sortingloss.study.predictions.reading import PredictionWriter

RED, BLUE = (255, 0, 0), (0, 0, 255)
SHAPE = (24, 18, 30)


def _reference() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:12, 3:9, 5:15] = 1
    labels[10:20, 9:15, 12:25] = 2
    return labels


@pytest.fixture
def labelled(study_dir: Path, scan: Path, tmp_path: Path, run: Callable) -> Study:
    """A study with one volume, its reference and two classes."""
    np.save(tmp_path / "ref.npy", _reference())
    run("new", study_dir)
    done = run(
        "add", study_dir, scan, "--reference", tmp_path / "ref.npy",
        "--voxel-size", 0.4, 0.25, 0.3, "--unit", "mm",
    )  # fmt: skip
    assert done.status == 0, done.err
    study = Study.open(study_dir)
    add_class(study, "shell", color="#ff0000")
    add_class(study, "core", color="#0000ff")
    return study


def test_labels_are_tinted_and_their_outlines_are_clearer() -> None:
    labels = np.zeros((7, 9), np.uint8)
    labels[1:6, 2:7] = 1
    image = pictures.tinted(np.full((7, 9), 100, np.uint8), labels, {1: RED})
    assert image[0, 0].tolist() == [100, 100, 100]
    inside, edge = image[3, 4].astype(int), image[1, 4].astype(int)
    assert inside[0] > 150 > inside[2]
    assert edge[0] > inside[0]


def test_labels_that_touch_are_outlined_against_each_other() -> None:
    labels = np.array([[1, 1, 2, 2]], np.uint8)
    assert pictures.outline(labels).tolist() == [[False, True, True, False]]


def test_mistakes_tell_missed_from_invented_and_mistaken() -> None:
    grey = np.zeros((1, 4), np.uint8)
    missed, invented, mistaken, right = pictures.mistakes(
        grey, np.array([[0, 1, 1, 1]], np.uint8), np.array([[1, 0, 2, 1]], np.uint8)
    )[0].tolist()
    assert len({tuple(c) for c in (missed, invented, mistaken, right)}) == 4
    assert right == [0, 0, 0]


def test_pictures_of_planes_have_square_pixels() -> None:
    plane = np.arange(20 * 12, dtype=np.uint8).reshape(20, 12)
    seen = pictures.resized(plane, (0.4, 0.25), 100)
    assert seen.shape == (100, round(12 * 0.25 * 100 / (20 * 0.4)))
    assert set(np.unique(pictures.resized(plane, (0.4, 0.25), 100, nearest=True))) <= set(plane.ravel())


def test_the_organ_in_front_is_seen_in_its_colour_and_in_physical_proportions() -> None:
    voxels, labels = np.full(SHAPE, 50, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[4:20, 3:15, 4:10] = 1
    labels[4:20, 3:15, 20:28] = 2
    labels[4:20, 3:15, 0:2] = 9  # a label that has no colour hides nothing
    image = pictures.organs(voxels, labels, (0.4, 0.25, 0.3), {1: RED, 2: BLUE}, 96)
    assert image.shape == (96, round(18 * 0.25 * 96 / (24 * 0.4)), 3)
    middle = image[48, image.shape[1] // 2].astype(int)
    assert middle[0] > 90 > middle[2]


def test_an_address_holds_the_picture() -> None:
    image = np.zeros((2, 3, 4), np.uint8)
    image[..., 0], image[..., 3] = 255, 128
    stored = pictures.address(image)
    assert stored.startswith("data:image/png")
    found = cv2.imdecode(
        np.frombuffer(base64.b64decode(stored.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert found[0, 0].tolist() == [0, 0, 255, 128]
    assert pictures.address(image[..., :3], photograph=True).startswith("data:image/jpeg")


def test_the_painted_slices_are_shown_with_what_is_on_them(labelled: Study) -> None:
    labels = _reference()[6]
    with AnnotationEditor(labelled, "scan") as editor:
        editor.put_slice("z", 6, labels, what="test", status="complete")
    page = painted_slices(labelled, [{"volume": "scan", "axis": "z", "index": 6}], read_classes(labelled))
    assert "slice 6 across z" in page
    assert f"<td class=n>{int((labels == 1).sum())}</td>" in page
    assert "On none of them is there any core" in page
    assert f"{100 / 24:.1f}\N{NO-BREAK SPACE}% of the voxels" in page


def test_slices_painted_across_several_axes_are_each_shown_as_they_lie(labelled: Study) -> None:
    reference = _reference()
    with AnnotationEditor(labelled, "scan") as editor:
        editor.put_slice("x", 9, reference[:, :, 9], what="test", status="complete")
        editor.put_slice("z", 6, reference[6], what="test", status="complete")
    painted = [{"volume": "scan", "axis": axis, "index": index} for axis, index in (("x", 9), ("z", 6))]
    page = painted_slices(labelled, painted, read_classes(labelled))
    assert page.index("slice 6 across z") < page.index("slice 9 across x")
    pixels = int((reference[6] == 1).sum() + (reference[:, :, 9] == 1).sum())
    assert f"<td class=n>2</td><td class=n>{pixels:,}</td>" in page


def test_curves_of_classes_are_drawn_in_their_colours(labelled: Study) -> None:
    with labelled.new_run("finetune", "segmentation", {"network": "unet"}) as writer:
        for step in (1, 2):
            writer.append(Metrics(step=step, values={"loss": 1.0 / step}))
            writer.append(
                Metrics(
                    step=step,
                    values={"mean_iou": 0.4 * step, "iou shell": 0.3 * step},
                    split="validation",
                )
            )
        run = writer.run
    page = fine_tuning(run, {"steps": 2, "seconds": 3.0}, read_classes(labelled), init="sorting-1")
    assert 'stroke="#ff0000"' in page
    assert 'stroke="#0000ff"' not in page, "a class that was not measured has no curve"
    assert "0.80" in page
    assert "U-Net" in page
    assert Log.of(run).train["loss"] == [(1, 1.0), (2, 0.5)]


def _predicted(study: Study, labels: np.ndarray) -> Scene:
    with PredictionWriter(
        study,
        "scan",
        "segmentation-1",
        step=1,
        classes=read_classes(study),
        axes="z",
        settings={},
        uncertainty=False,
    ) as writer:
        for start in range(0, SHAPE[0], writer.block):
            stop = min(SHAPE[0], start + writer.block)
            writer.write(start, stop, labels[start:stop], None)
        writer.commit()
    return Scene.of(study, "scan", "segmentation-1")


def test_the_result_shows_prediction_truth_and_mistakes(labelled: Study) -> None:
    said = _reference()
    said[7, 3:9, 5:15] = 0
    scene = _predicted(labelled, said)
    np.testing.assert_array_equal(scene.reference, _reference())
    np.testing.assert_array_equal(scene.predicted, said)
    classes = read_classes(labelled)
    scores = {
        "mean_iou": 0.9,
        "mean_dice": 0.95,
        "classes": {
            "shell": {"iou": 0.875, "dice": 0.93, "surface_distance_mm": 0.05},
            "core": {"iou": None, "dice": None, "surface_distance_mm": None},
        },
        "confusion": {
            "labels": ["background", "shell", "core"],
            "counts": [[90, 10, 0], [1, 7, 0], [0, 0, 0]],
        },
        "volumes": [{"name": "scan", "iou": {"shell": 0.875, "core": None}, "dice": {}}],
    }
    predicted = {"volumes": [{"name": "scan", "seconds": 2.0, "voxels_per_second": 6480.0, "kept": False}]}
    page = result([scene], scores, predicted, classes, never_seen=["scan"], whole_fish=False) + hero(
        [scene], classes
    )
    assert "scan, slice 7: 60 pixels, 100 % of the painted ones" in page
    assert ">50</td>" in page, "the surface distance in micrometres"
    assert "10.0" in page, "a tenth of the background is called shell"
    assert "nan" not in re.sub(r"data:[^)\"]+", "", page)
    assert page.count("–") >= 3, "what is not known is a dash"
    (height,) = {int(h) for h in re.findall(r'max="(\d+)"', page)}
    assert height == 11, "every second of 24 slices can be scrolled to"
    assert "is not judged here" in page


def test_a_learning_curve_shows_every_beginning_with_its_spread() -> None:
    def point(n: int, mean: float, sd: float | None) -> dict:
        return {"annotated": n, "mean_iou": {"mean": mean, "sd": sd}}

    picture = draw(
        {
            "arms": [
                {
                    "init": "scratch",
                    "title": "scratch",
                    "points": [point(5, 0.4, 0.02), point(10, 0.5, None)],
                },
                {"init": "sorting-1", "title": "sorting", "points": [point(5, 0.5, 0.03)]},
            ]
        }
    )
    assert ">scratch<" in picture
    assert ">sorting<" in picture
    assert picture.count("<polyline") == 4, "two curves and the spread of two points"


def _bars(picture: str) -> list[tuple[float, float]]:
    """Return where the upright bars stand and how long they are, in px."""
    found = []
    for points in re.findall(r'<polyline points="([^"]+)"', picture):
        (x0, y0), (x1, y1) = (tuple(map(float, pair.split(","))) for pair in points.split()[:2])
        if x0 == x1:
            found.append((x0, abs(y1 - y0)))
    return found


def test_the_bars_of_beginnings_that_hardly_differ_can_be_told_apart() -> None:
    def arm(name: str, mean: float) -> dict:
        points = [{"annotated": n, "mean_iou": {"mean": mean, "sd": 0.01}} for n in (5, 50)]
        return {"init": name, "title": name, "points": points}

    picture = draw({"title": "Heads", "arms": [arm("scratch", 0.55), arm("sorting", 0.56)]})
    assert ">Heads<" in picture
    bars = _bars(picture)
    assert len({round(x) for x, _ in bars}) == 4
    assert min(length for _, length in bars) > 90, "the axis begins just below the lowest bar"


def test_a_class_has_its_own_colour_in_the_key() -> None:
    from napari_sortingloss.cli.report_parts import chips

    assert "background:#112233" in chips([LabelClass(3, "a<b", "#112233")])
    assert "a&lt;b" in chips([LabelClass(3, "a<b", "#112233")])
