"""How long a run will take and has left: from what its parts took, with timings recorded from real runs on two cores."""

from __future__ import annotations

import pytest
from toy_training import ToySettings, ToyTask

from napari_sortingloss.training.computer import pace as module
from napari_sortingloss.training.computer import speeds
from napari_sortingloss.training.computer.devices import pick_device
from napari_sortingloss.training.computer.pace import Laps, Pace, Part, seconds_for
from napari_sortingloss.training.trial import time_steps

PARTS: dict[str, Part] = {"s": "step", "o": "other", "m": "measure", "w": "save"}

# What the parts of two real runs took, in milliseconds: steps, previews and pictures (o), measuring, saving (w).
SORTING = """
s421 o5 s299 s299 s285 s288 s287 s297 s298 s304 s305 s295 s320 o2 s295 s305 s299 s300 s300 s292 s294
s294 s298 s299 s307 o2 s314 s312 s311 s279 s298 s288 s294 s304 s323 s304 o2 s292 s289 s288 s288 s277
s285 s286 s284 s282 s281 s268 o5 s284 s285 s288 s281 s291 s280 s280 s287 s313 s325 s294 o2 s310 s348
s318 s296 s315 s297 s290 s299 s296 s294 o2 s287 s286 s304 s288 s289 s289 s284 s274 s275 s277 s278 o2
s306 s315 s314 s311 s300 s315 s332 s322 s321 s311 o2 s322 s378 s332 s320 s333 s340 s320 s353 s389 o3
s393 s457 s402 s364 s325 m777 w285
"""
UNET = """
s1302 o104 s1092 s1090 s1129 o73 s1105 s1109 s1048 o85 s1071 s1125 s1133 o74 s1169 s1272 s1134 o86
s1134 s1109 s1140 o75 s1166 s1138 s1021 o86 s1017 s1056 s1173 o86 s1162 s1146 s1150 o91 s1214 s1204
s1210 o87 s1217 s1223 s1170 o108 s1116 s1126 s1140 o70 s1155 s1192 s1121 o86 s1182 s1171 s1132 o77
m230 w446
"""

SLOW_START = "s9000 s2500 " + SORTING.strip().partition(" ")[2]
"""The same on a computer where the first steps are very slow."""


def recorded(text: str) -> list[tuple[Part, float]]:
    return [(PARTS[lap[0]], int(lap[1:]) / 1000) for lap in text.split()]


def left_while_it_goes_on(
    text: str, settings: ToySettings, measured_on: int, expected: Pace | None = None
) -> list[tuple[float, float]]:
    """Return after each step what is said to be left, and what was left in truth."""
    laps, done, said = Laps(settings, measured_on, expected), 0, []
    all_laps = recorded(text)
    for number, (part, seconds) in enumerate(all_laps):
        laps.take(part, seconds)
        if part == "step":
            done += 1
            left = laps.seconds_left(done)
            if left is not None:
                said.append((left, sum(s for _, s in all_laps[number + 1 :])))
    return said


@pytest.mark.parametrize(
    ("text", "steps", "measured_on"), [(SORTING, 100, 2), (UNET, 40, 3), (SLOW_START, 101, 2)]
)
@pytest.mark.parametrize("known", [False, True])
def test_what_is_left_is_never_far_off_even_in_the_first_seconds(text, steps, measured_on, known):
    settings = ToySettings(steps=steps)
    step = 1.1 if text == UNET else 0.3
    expected = Pace(step=step, measure=0.3, save=0.4, ready=2.0) if known else None
    said = left_while_it_goes_on(text, settings, measured_on, expected)
    assert len(said) > steps - 4
    for left, truly in said[: steps * 2 // 3]:
        assert 0.8 < left / truly < 1.25


def test_the_slow_first_steps_say_nothing_of_the_others():
    laps = Laps(ToySettings(steps=100))
    laps.take("step", 9.0)
    laps.take("step", 2.0)
    assert laps.seconds_left(2) is None
    laps.take("step", 0.5)
    assert laps.seconds_left(3) == pytest.approx(97 * 0.5, rel=0.01)


def test_what_was_timed_before_is_said_before_the_first_step():
    laps = Laps(ToySettings(steps=100), 2, Pace(step=0.5, measure=3.0, save=1.0, ready=4.0))
    assert laps.seconds_left(0) == pytest.approx(4 + 50 + 2 * 3 + 1)


def test_a_computer_that_became_slower_is_noticed_within_seconds():
    laps = Laps(ToySettings(steps=1000), 0, Pace(step=0.1))
    for _ in range(100):
        laps.take("step", 0.1)
    for _ in range(30):
        laps.take("step", 1.0)
    assert laps.seconds_left(130) == pytest.approx(870, rel=0.25)


def test_of_a_run_without_an_end_nothing_is_left():
    laps = Laps(ToySettings(steps=0), 0, Pace(step=0.5))
    laps.take("step", 0.5)
    assert laps.seconds_left(1) is None


def test_pauses_count_for_nothing():
    laps = Laps(ToySettings(steps=10))
    for part, seconds in (("step", 1.0), ("step", 1.0), ("step", 1.0), ("pause", 500.0), ("step", 1.0)):
        laps.take(part, seconds)
    assert laps.seconds_left(4) == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("steps", "measured", "saved"), [(100, 1, 1), (150, 2, 2), (50, 1, 1), (1000, 10, 10), (1, 1, 1)]
)
def test_measuring_and_saving_count_as_often_as_they_are_due_and_once_at_the_end(steps, measured, saved):
    settings = ToySettings(steps=steps, validate_every=100, checkpoint_every=100)
    with_all = seconds_for(Pace(step=0.001, measure=1.0, save=100.0), settings, 3)
    assert with_all == pytest.approx(steps * 0.001 + 3 * measured + 100 * saved)
    assert seconds_for(Pace(step=0.001, save=100.0), settings, 0, done=steps) == 0


def test_long_runs_are_saved_about_every_minute():
    settings = ToySettings(steps=60, checkpoint_every=1000)
    assert seconds_for(Pace(step=10.0, save=1.0), settings, 0) == pytest.approx(600 + 10)


def test_a_session_of_a_few_steps_says_nothing_about_the_next_one():
    laps = Laps(ToySettings(steps=4))
    for _ in range(4):
        laps.take("step", 1.0)
    assert laps.whole(1.0) is None


def test_what_a_real_run_took_is_remembered_with_the_slow_beginning_apart():
    laps = Laps(ToySettings(steps=100), 2, Pace(step=9.0, libraries=5.0))
    for part, seconds in recorded(SLOW_START):
        laps.take(part, seconds)
    found = laps.whole(1.5)
    assert found is not None
    assert found.step == pytest.approx(0.3, rel=0.1)
    assert found.measure == pytest.approx(0.777 / 2)
    assert found.ready == pytest.approx(1.5 + 9.0 + 2.5 - 2 * found.step, rel=0.01)
    assert found.libraries == 5.0


def test_a_pace_survives_json_and_anything_else_is_none():
    assert Pace.from_json(Pace(0.5, 1.0, 2.0, 3.0, 4.0).to_json()) == Pace(0.5, 1.0, 2.0, 3.0, 4.0)
    for other in (
        None,
        3,
        {},
        {"step": 1.0},
        {**Pace(1.0).to_json(), "step": -1.0},
        {**Pace(1.0).to_json(), "save": "x"},
    ):
        assert Pace.from_json(other) is None


# --------------------------------------------------------------------------------------------------- with real steps
def test_a_few_steps_are_trained_and_thrown_away(study):
    volumes = study.select()
    settings = ToySettings(size=16, precision="32", device="cpu", workers=1, validate=("C",))
    found = time_steps(ToyTask(settings), study, volumes[:2], volumes[2:])
    assert 0 < found.step < 5
    assert found.measure > 0
    assert study.runs() == []


def test_a_run_remembers_its_pace_for_the_next_estimate_and_for_its_own_time_left(trainer, study):
    _, job = trainer.job(steps=12)
    list(job)
    settings = trainer.settings.replace(steps=500)
    known = speeds.known_pace(settings, pick_device(settings), study.select())
    assert known is not None
    assert 0 < known.step < 1
    _, job = trainer.job(steps=500)
    first = next(event for event in job if event.kind == "progress")
    assert first.seconds_left == pytest.approx(known.ready + seconds_for(known, settings, 0), rel=0.01)
    job.close()


def test_what_is_seen_weighs_more_than_what_was_expected_after_a_few_steps():
    assert module.TRUST < 20
    laps = Laps(ToySettings(steps=1000), 0, Pace(step=10.0))
    for _ in range(40):
        laps.take("step", 0.1)
    assert laps.seconds_left(40) < 0.2 * 960 * 10.0
