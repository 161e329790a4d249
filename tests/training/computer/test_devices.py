"""What a run will need, told before it starts and without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from toy_training import ToySettings

from napari_sortingloss.study import VolumeRecord, VolumeWriter
from napari_sortingloss.training.computer import devices, speeds
from napari_sortingloss.training.computer.devices import Device, available_devices
from napari_sortingloss.training.computer.estimate import estimate
from napari_sortingloss.training.computer.pace import Pace
from napari_sortingloss.training.settings import TrainSettings

CPU = Device("cpu", "2 cores", 8 * 2**30)


@pytest.fixture(autouse=True)
def fresh():
    available_devices.cache_clear()
    yield
    available_devices.cache_clear()


def test_settings_and_estimates_load_no_torch():
    code = (
        "import sys, napari_sortingloss.training.computer.estimate as d, napari_sortingloss.training.settings as s;"
        "d.estimate(s.TrainSettings()); print([m for m in ('torch', 'monai', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_processor_is_always_there():
    assert any(device.kind == "cpu" for device in available_devices())
    assert all(device.count >= 1 for device in available_devices())


def test_more_and_larger_slices_and_deeper_encoders_need_more_memory():
    base = estimate(ToySettings(size=112, slices=16))
    for change in ({"size": 224}, {"slices": 32}, {"encoder": "resnet50"}):
        more = estimate(ToySettings(size=112, slices=16).replace(**change))
        assert more.memory_bytes > base.memory_bytes


def test_volumes_with_fewer_slices_than_asked_for_need_less(study):
    settings = ToySettings(slices=512)
    assert estimate(settings, study.select()).memory_bytes < estimate(settings).memory_bytes


def test_the_disk_must_hold_two_checkpoints_and_the_encoder():
    weights = 11.17e6 * 4
    assert estimate(TrainSettings()).disk_bytes == pytest.approx((2 * 3 + 1) * weights, rel=0.01)


def test_too_little_memory_is_said_before_the_start(monkeypatch):
    monkeypatch.setattr(devices, "available_devices", lambda: (Device("cpu", "2 cores", 2**29),))
    assert "lower the size or the number of slices" in estimate(ToySettings(size=1024, slices=64)).problem


def test_a_card_that_torch_was_not_built_for_is_listed_with_the_cure(monkeypatch):
    answer = subprocess.CompletedProcess([], 0, stdout="NVIDIA RTX A5000, 24564\nNVIDIA RTX A5000, 24564\n")
    monkeypatch.setattr(devices.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", lambda *a, **k: answer)
    monkeypatch.setattr(devices.metadata, "version", lambda name: "2.8.0+cpu")
    first, second = available_devices()
    assert first.kind == "cpu"
    assert (second.kind, second.title, second.count) == ("cuda", "NVIDIA RTX A5000", 2)
    assert "install torch for CUDA" in second.problem


def test_a_card_comes_first_where_torch_can_use_it(monkeypatch):
    answer = subprocess.CompletedProcess([], 0, stdout="NVIDIA RTX A5000, 24564\n")
    monkeypatch.setattr(devices.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", lambda *a, **k: answer)
    monkeypatch.setattr(devices.metadata, "version", lambda name: "2.8.0")
    assert available_devices()[0].memory_bytes == 24564 * 2**20
    assert estimate(TrainSettings()).device == "NVIDIA RTX A5000"
    assert estimate(TrainSettings(device="cpu")).device.endswith(("core", "cores"))


def test_a_driver_that_does_not_answer_is_no_card(monkeypatch):
    def hang(*args, **kwargs):
        raise subprocess.TimeoutExpired("nvidia-smi", 10)

    monkeypatch.setattr(devices.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", hang)
    assert {device.kind for device in available_devices()} <= {"cpu", "mps"}


PACE = Pace(step=0.5, measure=2.0, save=1.0, ready=4.0, libraries=6.0)


def test_no_time_is_said_of_a_run_that_was_never_timed_here(study):
    found = estimate(ToySettings(), study.select())
    assert (found.pace, found.seconds) == (None, None)


def test_a_pace_is_used_for_runs_of_just_these_steps_whatever_their_number(study):
    settings, volumes = ToySettings(steps=100, learning_rate=1e-3), study.select()
    speeds.remember_pace(settings, devices.pick_device(settings), volumes, PACE)
    found = estimate(settings.replace(steps=200, learning_rate=1e-2), volumes, measured_on=3)
    assert found.pace == PACE
    # Getting ready, the steps, twice measured on three volumes, twice saved.
    assert found.seconds == pytest.approx(4 + 200 * 0.5 + 2 * 3 * 2 + 2 * 1)
    for other in ({"size": 64}, {"slices": 5}, {"encoder": "resnet34"}, {"threads": 7}, {"augment": "tough"}):
        assert estimate(settings.replace(**other), volumes).pace is None


def test_larger_slices_are_timed_anew(study, make_volume, voxel_size):
    settings, volumes = ToySettings(), study.select()
    speeds.remember_pace(settings, CPU, volumes, PACE)
    about = {"voxel_size": voxel_size, "unit": "mm"}
    values = make_volume((24, 60, 90))
    with VolumeWriter(study, VolumeRecord(name="large", shape=values.shape, **about)) as writer:
        writer.write(0, values)
        writer.commit()
    assert speeds.known_pace(settings, CPU, volumes) == PACE
    assert speeds.known_pace(settings, CPU, study.select()) is None


def test_a_run_without_an_end_has_a_pace_but_no_time(study):
    settings = ToySettings(steps=0)
    speeds.remember_pace(settings, devices.pick_device(settings), study.select(), PACE)
    found = estimate(settings, study.select())
    assert (found.pace, found.seconds) == (PACE, None)


@pytest.mark.parametrize("damage", ["{", '{"a": 1}', "[]"])
def test_a_damaged_cache_is_no_reason_to_fail(damage):
    path = speeds.cache_file()
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    assert speeds.known_pace(TrainSettings(), CPU, ()) is None
    speeds.remember_pace(TrainSettings(), CPU, (), PACE)
    assert speeds.known_pace(TrainSettings(), CPU, ()) == PACE


def test_what_an_earlier_version_kept_is_no_pace():
    path = speeds.cache_file()
    speeds.remember_pace(TrainSettings(), CPU, (), PACE)
    (key,) = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: {"speed": 25.0, "cores": 2, "work": 8.0}}))
    assert speeds.known_pace(TrainSettings(), CPU, ()) is None


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail():
    path = speeds.cache_file()
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("a file where the folder should be")
    speeds.remember_pace(TrainSettings(), CPU, (), PACE)


def test_the_paces_used_last_are_kept(monkeypatch):
    monkeypatch.setattr(speeds, "KEEP", 2)
    for size in (16, 32, 48):
        speeds.remember_pace(TrainSettings(size=size), CPU, (), PACE)
    assert speeds.known_pace(TrainSettings(size=16), CPU, ()) is None
    assert speeds.known_pace(TrainSettings(size=48), CPU, ()) == PACE


@pytest.mark.parametrize(("precision", "expected"), [("32", False), ("bf16", True)])
def test_the_precision_asked_for_is_taken(precision, expected):
    assert devices.uses_bfloat16(TrainSettings(precision=precision), "cpu") is expected
