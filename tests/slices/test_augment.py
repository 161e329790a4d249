"""The augmentation: the paper's functions with the paper's strengths, the same for the same seed, in any thread."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import albumentations
import numpy as np
import pytest

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.slices.augment import Augmenter, build_pipeline, recipe
from napari_sortingloss.slices.gallery import GAP, gallery
from napari_sortingloss.slices.loader import step_rng
from napari_sortingloss.slices.transforms import QuickGlassBlur

LEVELS = ["normal", "tough"]


def parameters(level, name):
    return next(p for _, functions in recipe(level) for n, p in functions if n == name)


def only(level, name):
    """The pipeline that always applies one function of a level."""
    return build_pipeline([(1.0, [(name, parameters(level, name))])])


def apply(pipeline, image, seed):
    pipeline.set_random_seed(seed)
    return pipeline(image=image)["image"]


def test_the_groups_and_their_probabilities_are_those_of_the_paper():
    groups = [(p, [name for name, _ in functions]) for p, functions in recipe("normal")]
    assert groups == [
        (0.5, ["Blur", "MedianBlur", "MotionBlur"]),
        (0.2, ["CLAHE", "Equalize"]),
        (0.2, ["RandomBrightnessContrast", "RandomGamma"]),
        (0.5, ["GridDistortion", "Affine", "GlassBlur"]),
        (0.5, ["GaussNoise"]),
    ]
    tough = [name for _, functions in recipe("tough") for name, _ in functions]
    assert set(tough) - {name for _, names in groups for name in names} == {"Solarize"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("GaussNoise", {"var_limit": (20, 50)}),
        ("Solarize", {"threshold": (64, 192)}),
        ("MedianBlur", {"limit": 5}),
        ("Affine", {"cval": 0}),
        ("Blur", {"blur_limit": (4, 6)}),
        ("ShiftScaleRotate", {}),
        ("NoSuchFunction", {}),
    ],
)
def test_a_parameter_that_albumentations_would_ignore_or_change_is_an_error(name, parameters):
    with pytest.raises((UserWarning, DeprecationWarning, ValueError, TypeError, AttributeError)):
        build_pipeline([(1.0, [(name, parameters)])])


def test_a_parameter_is_refused_even_where_warnings_are_silenced():
    code = (
        "from napari_sortingloss.slices.augment import build_pipeline\n"
        "try: build_pipeline([(1.0, [('GaussNoise', {'var_limit': (20, 50)})])])\n"
        "except UserWarning: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "refused"


@pytest.mark.parametrize("level", LEVELS)
def test_the_noise_has_a_variance_of_20_to_50_grey_levels_squared(level):
    flat = np.full((112, 112), 128, np.uint8)
    variances = [float(apply(only(level, "GaussNoise"), flat, seed).var()) for seed in range(100)]
    assert 20 * 0.97 < min(variances) < 21.5  # 12,544 pixels know a variance to 1.3 %
    assert 48 < max(variances) < 50 * 1.03


def test_the_noise_is_normal_down_to_single_grey_levels():
    flat = np.full((256, 256), 128, np.uint8)
    noise = (
        np.concatenate([apply(only("normal", "GaussNoise"), flat, seed).ravel() for seed in range(30)])
        - 128.0
    )
    share = [(noise == level).mean() for level in (-1, 0, 1)]
    np.testing.assert_allclose(share, share[1], rtol=0.05)
    assert abs(noise.mean()) < 0.02


@pytest.mark.parametrize("shape", [(70, 51), (24, 24), (11, 30)])
def test_the_quick_glass_blur_is_that_of_albumentations(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    quick, original = QuickGlassBlur(max_delta=5), albumentations.GlassBlur(max_delta=5)
    quick.set_random_seed(0)
    moves = quick.get_params_dependent_on_data({"shape": shape}, {})["dxy"]
    expected = original.apply(image, dxy=np.moveaxis(moves, -1, 0).astype(int))
    np.testing.assert_array_equal(quick.apply(image, dxy=moves), expected)


@pytest.mark.parametrize("level", LEVELS)
def test_glass_blur_moves_pixels_by_up_to_five(level):
    moves = only(level, "GlassBlur").transforms[0].transforms[0]
    drawn = moves.get_params_dependent_on_data({"shape": (64, 48)}, {})["dxy"]
    assert (drawn.min(), drawn.max()) == (-5, 4)


@pytest.mark.parametrize(("level", "low", "high"), [("normal", 90, 110), ("tough", 30, 170)])
def test_gamma_stays_within_its_limits_and_uses_them(level, low, high):
    flat = np.full((8, 8), 100, np.uint8)
    values = [int(apply(only(level, "RandomGamma"), flat, seed)[0, 0]) for seed in range(200)]
    darkest, brightest = (255 * (100 / 255) ** (gamma / 100) for gamma in (high, low))
    assert darkest - 1.5 <= min(values) < 100 < max(values) <= brightest + 1.5
    assert max(values) - min(values) > 0.8 * (brightest - darkest)


@pytest.mark.parametrize(("level", "limit"), [("normal", 0.2), ("tough", 0.4)])
def test_brightness_and_contrast_stay_within_their_limits_and_use_them(level, limit):
    two = np.tile(np.array([[0, 100]], np.uint8), (4, 4))
    changed = [apply(only(level, "RandomBrightnessContrast"), two, seed).astype(int) for seed in range(200)]
    brightness = np.array([c[0, 0] for c in changed])
    contrast = np.array([(c[0, 1] - c[0, 0]) / 100 for c in changed if c[0, 0] > 0])
    assert brightness.max() <= 255 * limit + 1
    assert brightness.max() > 255 * limit * 0.85
    assert contrast.min() >= 1 - limit - 0.02
    assert contrast.max() <= 1 + limit + 0.02
    assert np.ptp(contrast) > 1.6 * limit


def test_solarizing_inverts_above_a_threshold_between_64_and_192():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    thresholds = []
    for seed in range(200):
        inverted = apply(only("tough", "Solarize"), ramp, seed)[0] != ramp[0]
        thresholds.append(int(inverted.argmax()))
    assert 64 <= min(thresholds) < 75
    assert 180 < max(thresholds) <= 193


@pytest.mark.parametrize(("level", "limit"), [("normal", 5), ("tough", 15)])
@pytest.mark.parametrize("name", ["Blur", "MotionBlur"])
def test_blurs_reach_as_far_as_their_limit_and_no_farther(level, limit, name):
    point = np.zeros((41, 41), np.uint8)
    point[20, 20] = 255
    reach = 0
    for seed in range(100):
        touched = np.argwhere(apply(only(level, name), point, seed) > 0)
        reach = max(reach, int(np.abs(touched - 20).max()))
    assert limit // 2 - 2 <= reach <= limit // 2


@pytest.mark.parametrize(("level", "sizes"), [("normal", {3, 5}), ("tough", {3, 5, 7, 9, 11, 13, 15})])
def test_the_median_uses_every_odd_size_up_to_its_limit(level, sizes):
    transform = only(level, "MedianBlur").transforms[0].transforms[0]
    transform.set_random_seed(0)
    assert {transform.get_params()["kernel"] for _ in range(300)} == sizes


def test_shift_scale_and_rotation_stay_within_the_old_defaults():
    ring = np.zeros((201, 201), np.uint8)
    y, x = np.mgrid[:201, :201]
    ring[(abs(y - 100) < 4) & (x > 100) & (x < 160)] = 255
    ring[np.hypot(y - 100, x - 100) < 9] = 255
    angles, shifts = [], []
    for seed in range(200):
        moved = apply(only("normal", "Affine"), ring, seed)
        yy, xx = np.nonzero(moved > 127)
        far = np.argsort(np.hypot(yy - yy.mean(), xx - xx.mean()))[-30:]
        tip = np.array([yy[far].mean() - yy.mean(), xx[far].mean() - xx.mean()])
        angles.append(math.degrees(math.atan2(tip[0], tip[1])))
        shifts.append(moved.sum() / ring.sum())
    assert 40 < max(angles) < 50
    assert -50 < min(angles) < -40
    assert 0.9**2 - 0.03 < min(shifts) < 0.85
    assert 1.15 < max(shifts) < 1.1**2 + 0.03


def test_what_moves_in_from_outside_is_black():
    white = np.full((64, 64), 255, np.uint8)
    corners = [
        apply(only("normal", "Affine"), white, seed)[[0, 0, -1, -1], [0, -1, 0, -1]].min()
        for seed in range(20)
    ]
    assert corners.count(0) > 15  # only a slight turn of a much enlarged slice has no corner outside


@pytest.mark.parametrize(("level", "number"), [(level, n) for level in LEVELS for n in range(5)])
def test_each_group_acts_with_its_own_probability(level, number, slice_image):
    probability, functions = recipe(level)[number]
    pipeline, image = build_pipeline([(probability, functions)]), slice_image[20:70, 30:80]
    acted = sum(not np.array_equal(apply(pipeline, image, seed), image) for seed in range(1000))
    assert acted / 1000 == pytest.approx(probability, abs=0.05)


@pytest.mark.parametrize("level", LEVELS)
def test_equal_generators_give_equal_slices_and_different_ones_differ(level, slice_image):
    augmenter, other = Augmenter(level), Augmenter(level)
    first = [augmenter(slice_image, step_rng(1, i)) for i in range(30)]
    second = [other(slice_image, step_rng(1, i)) for i in reversed(range(30))][::-1]
    np.testing.assert_array_equal(first, second)
    assert sum(not np.array_equal(first[0], later) for later in first[1:]) > 20


@pytest.mark.parametrize("level", LEVELS)
def test_many_threads_give_what_one_thread_gives(level, slice_image):
    augmenter = Augmenter(level)
    alone = [augmenter(slice_image, step_rng(2, i)) for i in range(200)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda i: augmenter(slice_image, step_rng(2, i)), range(200)))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("level", ["none", *LEVELS])
def test_slices_of_a_batch_are_changed_independently_of_each_other(level, slice_image):
    augmenter = Augmenter(level)
    other = np.full_like(slice_image, 50)
    batch = augmenter.batch(np.stack([slice_image, slice_image, other]), step_rng(0, 0))
    swapped = augmenter.batch(np.stack([other, slice_image, slice_image]), step_rng(0, 0))
    np.testing.assert_array_equal(batch[1], swapped[1])


@pytest.mark.parametrize("level", ["none", *LEVELS])
@pytest.mark.parametrize("size", [24, 112])
def test_the_result_is_a_new_slice_of_the_same_size_and_type(level, size):
    augmenter = Augmenter(level)
    image = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    before = image.copy()
    for seed in range(60):
        changed = augmenter(image, step_rng(seed, 0))
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        assert not np.shares_memory(changed, image)
    np.testing.assert_array_equal(image, before)


def test_without_augmentation_a_slice_stays_as_it_is(slice_image):
    np.testing.assert_array_equal(Augmenter("none")(slice_image, step_rng(0, 0)), slice_image)


def test_an_unknown_level_is_refused_in_one_sentence():
    with pytest.raises(BadSetting, match="choose none or light or normal or tough"):
        Augmenter("wild")


def test_the_gallery_shows_each_slice_beside_its_changed_copies(slice_image):
    picture = gallery([slice_image, slice_image[::-1]], "tough", seed=4, copies=3)
    assert picture.shape == (2 * (112 + GAP) + GAP, 4 * (112 + GAP) + 3 * GAP)
    np.testing.assert_array_equal(picture[GAP : GAP + 112, GAP : GAP + 112], slice_image)
    np.testing.assert_array_equal(
        picture, gallery([slice_image, slice_image[::-1]], "tough", seed=4, copies=3)
    )


def test_importing_the_room_loads_neither_torch_nor_opencv():
    code = (
        "import sys, napari_sortingloss.slices.reader, napari_sortingloss.slices.loader, "
        "napari_sortingloss.slices.drawing, napari_sortingloss.networks\n"
        "print({'torch', 'cv2', 'albumentations', 'monai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("level", LEVELS)
def test_upright_augmentation_turns_nothing_and_brings_no_black_edge_in(level):
    affine = next(p for _, functions in recipe(level, upright=True) for n, p in functions if n == "Affine")
    pipeline = build_pipeline([(1.0, [("Affine", affine)])])
    wedge = np.tile(np.linspace(50, 250, 64).astype(np.uint8), (64, 1))  # the same in all rows
    for seed in range(20):
        changed = apply(pipeline, wedge, seed)
        assert changed.min() >= 50
        assert np.ptp(changed.astype(int), axis=0).max() <= 1
    assert recipe("none", upright=True) == ()


def test_light_leaves_out_what_blurs_and_changes_intensity_more_often():
    groups = recipe("light")
    names = {name for _, functions in groups for name, _ in functions}
    assert not names & {"Blur", "MedianBlur", "MotionBlur", "GlassBlur", "CLAHE", "Equalize"}
    assert {"RandomBrightnessContrast", "RandomGamma", "GridDistortion", "GaussNoise"} <= names
    assert [p for p, _ in groups] == [0.5, 0.5, 0.5]
