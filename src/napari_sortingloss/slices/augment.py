"""Changes slices at random before the network sees them: the two sets of the SortingLoss paper, with right parameters.

Needs albumentations, which loads torch: import it where a job runs, never where a window opens.
"""

from __future__ import annotations

import copy
import math
import random
import threading
import warnings
from collections.abc import Sequence
from typing import Any, get_args

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.slices import IGNORE, AugmentLevel
from napari_sortingloss.slices.transforms import QuickGlassBlur, RoundedGaussNoise

Group = tuple[float, Sequence[tuple[str, dict[str, Any]]]]
"""The probability of a group, and its functions of which one is drawn: albumentations' name and parameters."""

NOISE_VARIANCE = (20.0, 50.0)
"""Variance of the noise in grey levels squared."""


def recipe(level: AugmentLevel, *, upright: bool = False) -> tuple[Group, ...]:
    """Return the groups of functions of a level.

    Parameters
    ----------
    level : {"none", "light", "normal", "tough"}
        ``light`` is ours: `normal` without what blurs, and with its change of intensity in half of the slices.
    upright : bool
        Whether slices keep their angle, for tasks that ask for it: nothing turns them, and what moves in from
        outside mirrors the slice instead of being black, so that no straight edge tells the angle.

    Returns
    -------
    tuple of (float, sequence of (str, dict))
        Of each group one function is drawn, with the group's probability.

    Raises
    ------
    BadSetting
        If there is no such level.

    Notes
    -----
    Source: tables 4 and 5 of the SortingLoss paper, in the names of albumentations 2: a variance becomes a range of
    standard deviations relative to white, a threshold a fraction of white, and ShiftScaleRotate an Affine with the
    same defaults (shift 6.25 %, scale 10 %, rotation 45 degrees). What moves in from outside is black.
    """
    if level not in get_args(AugmentLevel):
        raise BadSetting(
            f"Cannot augment by '{level}'",
            "there is no such level",
            "choose " + " or ".join(get_args(AugmentLevel)),
        )
    if level == "none":
        return ()
    if level == "light":
        return _light(upright)
    tough = level == "tough"
    blur = {"blur_limit": (3, 15 if tough else 5)}
    light = 0.4 if tough else 0.2
    intensity: list[tuple[str, dict[str, Any]]] = [
        (
            "RandomBrightnessContrast",
            {"brightness_limit": (-light, light), "contrast_limit": (-light, light)},
        ),
        ("RandomGamma", {"gamma_limit": (30, 170) if tough else (90, 110)}),
    ]
    if tough:
        intensity.append(("Solarize", {"threshold_range": (64 / 255, 192 / 255)}))
    shift, scale, angle = 0.0625, 0.1, 45.0
    affine = {
        "translate_percent": {"x": (-shift, shift), "y": (-shift, shift)},
        "scale": (1 - scale, 1 + scale),
        "rotate": (-angle, angle),
        "balanced_scale": False,
        "keep_ratio": True,
        "fill": 0,
        "fill_mask": IGNORE,
    }
    if upright:
        affine |= {"rotate": 0.0, "border_mode": cv2.BORDER_REFLECT_101}
    low, high = NOISE_VARIANCE
    return (
        (0.5, [("Blur", blur), ("MedianBlur", blur), ("MotionBlur", blur)]),
        (0.2, [("CLAHE", {}), ("Equalize", {})]),
        (0.2, intensity),
        (
            0.5,
            [
                ("GridDistortion", {"distort_limit": (-0.2, 0.2), "fill_mask": IGNORE}),
                ("Affine", affine),
                ("GlassBlur", {"max_delta": 5}),
            ],
        ),
        (0.5, [("GaussNoise", {"std_range": (math.sqrt(low) / 255, math.sqrt(high) / 255)})]),
    )


def _light(upright: bool) -> tuple[Group, ...]:
    """Return the groups of `light`: those of `normal` that leave small structures as sharp as they are."""
    _, _, (_, intensity), (_, geometry), noise = recipe("normal", upright=upright)
    return (0.5, intensity), (0.5, [one for one in geometry if one[0] != "GlassBlur"]), noise


_OURS = {"GaussNoise": RoundedGaussNoise, "GlassBlur": QuickGlassBlur}


def _function(name: str, parameters: dict[str, Any]) -> Any:
    return (_OURS.get(name) or getattr(A, name))(p=1.0, **parameters)


def build_pipeline(groups: Sequence[Group]) -> A.Compose:
    """Build albumentations' pipeline of some groups.

    Raises
    ------
    ValueError, UserWarning, DeprecationWarning
        If a function does not know a parameter, instead of ignoring it with a warning as albumentations does.
    """
    with warnings.catch_warnings():
        # Only warnings that point at this module or at albumentations: the filters are shared by all threads.
        for place in (r"napari_sortingloss\.slices\.augment", r"albumentations"):
            warnings.filterwarnings("error", module=place)
        return A.Compose([A.OneOf([_function(*f) for f in functions], p=p) for p, functions in groups])


class Augmenter:
    """Changes one slice at a time, the same way for an equal random generator.

    Parameters
    ----------
    level : {"none", "light", "normal", "tough"}
        How strongly; see `recipe`.
    upright : bool
        Whether slices keep their angle; see `recipe`.

    Raises
    ------
    BadSetting
        If there is no such level.

    Notes
    -----
    One augmenter serves any number of threads: each gets its own copy of the pipeline, which holds random state.
    """

    def __init__(self, level: AugmentLevel, *, upright: bool = False) -> None:
        self.level = level
        groups = recipe(level, upright=upright)
        self._pipeline = build_pipeline(groups) if groups else None
        self._of_thread = threading.local()

    def __call__(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a changed copy of a slice.

        Parameters
        ----------
        image : ndarray of uint8, shape (h, w)
            The slice; it is not changed.
        rng : numpy.random.Generator
            Where the randomness comes from; one number is drawn from it, whatever happens to the slice.

        Returns
        -------
        ndarray of uint8, shape (h, w)
        """
        pipeline = self._seeded(rng)
        if pipeline is None:
            return image.copy()
        changed: NDArray[np.uint8] = pipeline(image=image.copy())["image"]
        return changed

    def paired(
        self, image: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a changed copy of a slice and of what is painted on it: what moves the one moves the other.

        Parameters
        ----------
        image, labels : ndarray of uint8, shape (h, w)
            The slice and the number of what each of its pixels shows; neither is changed.
        rng : numpy.random.Generator
            As when called; the image comes out the same.

        Returns
        -------
        image, labels : ndarray of uint8, shape (h, w)
            Labels are moved without mixing them, and are ``IGNORE`` where something moved in from outside. Grey
            values, and what only trembles (GlassBlur), change the image alone.
        """
        pipeline = self._seeded(rng)
        if pipeline is None:
            return image.copy(), labels.copy()
        changed = pipeline(image=image.copy(), mask=labels.copy())
        return changed["image"], changed["mask"]

    def _seeded(self, rng: np.random.Generator) -> Any:
        """Return this thread's pipeline, ready for one slice, or None where nothing is changed."""
        seed = int(rng.integers(2**63))
        if self._pipeline is None:
            return None
        if not hasattr(self._of_thread, "pipeline"):
            self._of_thread.pipeline = copy.deepcopy(self._pipeline)
        pipeline = self._of_thread.pipeline
        # One pair of generators for the whole pipeline; seeding each of its functions apart costs ten times more.
        pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return pipeline

    def batch(self, images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return changed copies of several slices, shape (n, h, w), each changed independently."""
        return np.stack([self(image, rng) for image in images])
