"""The localisation job with real, tiny runs: what it tells, what it leaves on disk, and what stops it."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_sortingloss.boxes import NO_BOX, share_of
from napari_sortingloss.errors import BadInput, BadSetting, OutOfMemory, OutOfSpace, StudyError, UserError
from napari_sortingloss.events import Notice, Progress
from napari_sortingloss.localize import LocalizeSettings
from napari_sortingloss.localize.certainty import sampled
from napari_sortingloss.localize.job import localize
from napari_sortingloss.localize.sensitivity import Sensitivity
from napari_sortingloss.pretext.sorting.settings import SortingSettings
from napari_sortingloss.study import CropSettings
from napari_sortingloss.study.crops.job import crop
from napari_sortingloss.study.localizations.reading import (
    localization_path,
    read_localization,
    read_map,
    update_localization,
)

QUICK = {"threads": 1, "device": "cpu", "passes": 2, "every": 4}


def on_disk(study):
    """Everything in the folder of the localisations, in parts too, but not what zarr writes inside a map."""
    folder = study.path / "localizations"
    found = (p.relative_to(folder) for p in folder.rglob("*"))
    return sorted(p.as_posix() for p in found if not any(part.endswith(".zarr") for part in p.parts[:-1]))


def nothing_lies_on_disk(study):
    return on_disk(study) == []


def test_the_result_says_what_the_command_line_promises(study, runs, ask):
    value, _ = ask()
    assert value["run"] == runs.sorting
    assert value["recipe"] == "measured"
    assert [one["name"] for one in value["volumes"]] == ["fish_a", "fish_b"]
    for one in value["volumes"]:
        shape = study.volume(one["name"]).shape
        assert all(0 <= low < high <= n for (low, high), n in zip(one["box"], shape, strict=True))
        assert one["removed_fraction"] == pytest.approx(1 - share_of(one["box"], shape))
        assert one["kept_fraction"] == pytest.approx(share_of(one["box"], shape))
        assert one["seconds"] > 0
        assert (one["statistic"], one["status"]) == ("sensitivity", "found")
        assert 0 < one["fraction"] < 1
    assert json.loads(json.dumps(value)) == value


def test_what_is_told_lies_on_disk(study, runs, ask):
    value, _ = ask()
    for one in value["volumes"]:
        found = read_localization(study, one["name"], runs.sorting)
        assert [list(span) for span in found.box] == one["box"]
        assert found.box == found.found
        assert list(found.warnings) == one["warnings"]
        assert found.shape == study.volume(one["name"]).shape
        assert found.threshold == one["threshold"]
        assert found.automatic
        assert found.hull is not None
        assert found.settings["statistic"] == "sensitivity"
        assert read_map(study, one["name"], runs.sorting, "uncertainty")[0].dtype == np.float32
    assert on_disk(study) == sorted(
        f"{name}{end}"
        for name in ("fish_a", "fish_b")
        for end in (
            "",
            f"/{runs.sorting}",
            *(f"/{runs.sorting}/{one}" for one in files_of(study, name, runs.sorting)),
        )
    )


def files_of(study, volume, run):
    refined = read_localization(study, volume, run).evidence_grid is not None
    return ("uncertainty.zarr", "region.json", *(["evidence.zarr"] if refined else []))


def test_profiles_are_means_along_each_axis_with_the_box_as_interval(study, runs, ask):
    ask("fish_b")
    found = read_localization(study, "fish_b", runs.sorting)
    values, grid = read_map(study, "fish_b", runs.sorting, "uncertainty")
    for axis, name in enumerate("zyx"):
        profile = found.profiles[name]
        assert (profile.start, profile.step) == (grid["offset"][axis], grid["scale"][axis])
        assert (profile.low, profile.high) == found.box[axis]
        others = tuple(a for a in range(3) if a != axis)
        np.testing.assert_allclose(profile.values, values.mean(axis=others), rtol=1e-4)


def test_the_weights_are_loaded_then_slices_are_counted_and_doubts_are_told(study, ask):
    value, events = ask("fish_a")
    assert events[0].what == "loading the network"
    counted = [e for e in events if isinstance(e, Progress) and e.total]
    assert counted[-1].done == counted[-1].total
    assert all(e.what.startswith("fish_a") for e in counted)
    told = [e.message for e in events if isinstance(e, Notice)]
    assert told == [f"fish_a: {warning}" for warning in value["volumes"][0]["warnings"]]


def test_progress_counts_the_slices_of_all_volumes(study, ask):
    _, events = ask("fish_a", "fish_b")
    counted = [e for e in events if isinstance(e, Progress) and e.total]
    slices = sum(len(sampled(study.volume(name).n_slices, 4)) for name in ("fish_a", "fish_b"))
    assert {(e.total, e.unit) for e in counted} == {(slices, "slices")}
    assert [e.done for e in counted] == sorted(e.done for e in counted)
    assert counted[-1].done == slices


def test_the_threads_of_torch_are_given_back(ask):
    before = torch.get_num_threads()
    ask("fish_a")
    assert torch.get_num_threads() == before


def test_a_rotation_run_gives_three_intervals(study, runs, ask):
    value, _ = ask("fish_b", run=runs.rotation, refine=False)
    assert value["volumes"][0]["statistic"] == "certainty"
    found = read_localization(study, "fish_b", runs.rotation)
    for name, size in zip("zyx", study.volume("fish_b").shape, strict=True):
        profile = found.profiles[name]
        assert (profile.start, profile.step, profile.title) == (0.0, 1.0, "certainty")
        assert len(profile.values) == size
        assert 0 <= profile.low < profile.high <= size


def test_a_rotation_run_that_sees_a_stretch_gives_its_box(study, runs, ask, monkeypatch):
    from napari_sortingloss.pretext.rotation.certainty import RotationCertainty

    low, high = (8, 9, 10), (23, 20, 28)

    def along(self, volume, axis, positions):
        at = "zyx".index(axis)
        indices = np.asarray(positions)
        if axis == volume.axis and volume.direction == "-":
            indices = volume.n_slices - 1 - indices
        yield (0.2 + 0.7 * ((indices >= low[at]) & (indices < high[at]))).astype(np.float32)

    monkeypatch.setattr(RotationCertainty, "along", along)
    for recipe in ("measured", "published"):
        value, _ = ask("fish_b", run=runs.rotation, recipe=recipe, refine=False, every=1, again=True)
        box = np.array(value["volumes"][0]["box"])
        assert np.abs(box - np.array([low, high]).T).max() <= 1, recipe
        found = read_localization(study, "fish_b", runs.rotation)
        assert found.automatic
        assert found.profiles["y"].low == pytest.approx(9, abs=1)


def test_both_runs_keep_their_own_results(study, runs, ask):
    ask("fish_a")
    ask("fish_a", run=runs.rotation, refine=False)
    assert read_localization(study, "fish_a", runs.sorting).statistic == "sensitivity"
    assert read_localization(study, "fish_a", runs.rotation).statistic == "certainty"


@pytest.mark.parametrize("statistic", ["variance", "relative variance"])
def test_the_variances_can_be_asked_for(study, runs, ask, statistic):
    value, _ = ask("fish_a", statistic=statistic, grid=8, fraction=0.2, refine=False)
    assert value["volumes"][0]["statistic"] == statistic
    found = read_localization(study, "fish_a", runs.sorting)
    assert found.uncertainty_grid["shape"] == [
        8,
        3,
        5,
    ]  # one of four rows shows nothing; a fifth column stands for the last pixels
    assert found.evidence_grid is None


def test_the_published_recipe_is_what_was_published(study, runs, ask, monkeypatch):
    from napari_sortingloss.localize import maps

    asked = []

    def variance(encoder, passes, stride, *, relative):
        asked.append((passes, stride, relative))
        return lambda slices: torch.rand(len(slices), 1, 1)

    monkeypatch.setattr(maps, "DropoutVariance", variance)
    value, _ = ask("fish_a", recipe="published", passes=None, every=None)
    assert asked == [(20, 32, False)]
    assert value["recipe"] == "published"
    found = read_localization(study, "fish_a", runs.sorting)
    assert found.uncertainty_grid["shape"][0] == study.volume("fish_a").n_slices
    assert found.evidence_grid is None
    assert not found.automatic
    assert found.fraction == pytest.approx(0.03, abs=0.02)
    assert {name: found.settings[name] for name in ("statistic", "passes", "grid", "fraction", "every")} == {
        "statistic": "variance",
        "passes": 20,
        "grid": 32,
        "fraction": 0.03,
        "every": 1,
    }


def test_what_is_set_overrides_the_recipe():
    chosen = LocalizeSettings(run="r", recipe="published", passes=5, fraction=0.1, every=3).resolved()
    assert (chosen.passes, chosen.fraction, chosen.every) == (5, 0.1, 3)
    assert (chosen.statistic, chosen.grid, chosen.refine) == ("variance", 32, False)
    assert LocalizeSettings(run="r", refine=False).resolved().refine is False


def test_with_a_fraction_the_threshold_is_not_found_by_itself(study, runs, ask):
    ask("fish_a", fraction=0.1, refine=False)
    found = read_localization(study, "fish_a", runs.sorting)
    assert not found.automatic
    values, _ = read_map(study, "fish_a", runs.sorting, "uncertainty")
    assert (values > found.threshold).mean() == pytest.approx(0.1, abs=0.5 / values.size)


def test_a_margin_grows_the_box_by_percents_of_each_side(study, runs, ask):
    tight = ask("fish_a", refine=False)[0]["volumes"][0]["box"]
    wide = ask("fish_a", refine=False, margin=10.0)[0]["volumes"][0]["box"]
    expected = [
        [max(0, int(np.floor(low - n / 10))), min(n, int(np.ceil(high + n / 10)))]
        for (low, high), n in zip(tight, study.volume("fish_a").shape, strict=True)
    ]
    assert wide == expected
    found = read_localization(study, "fish_a", runs.sorting)
    assert not found.adjusted
    assert (found.profiles["y"].low, found.profiles["y"].high) == tuple(wide[1])


def test_a_flat_volume_has_no_box_and_says_why(study, runs, ask, store):
    store(study, "flat", np.full((20, 24, 28), 90, np.uint8))
    for run in (runs.sorting, runs.rotation):
        value, events = ask("flat", run=run)
        (one,) = value["volumes"]
        assert one["box"] == [[0, 0]] * 3
        assert (one["removed_fraction"], one["kept_fraction"], one["fraction"]) == (0.0, 0.0, 0.0)
        assert one["warnings"][-1].endswith("nothing was found.")
        assert any(isinstance(e, Notice) and e.level == "warning" for e in events)
        found = read_localization(study, "flat", run)
        assert (found.box, found.hull, found.evidence_grid) == (NO_BOX, None, None)


def test_a_crop_is_localised_in_its_own_frame(study, runs, ask):
    ask("fish_a")
    box = ((6, 26), (3, 24), (5, 31))
    update_localization(study, "fish_a", runs.sorting, box=box)
    list(crop(study, CropSettings(volumes=("fish_a",))))
    value, _ = ask("fish_a_crop")
    found = read_localization(study, "fish_a_crop", runs.sorting)
    assert found.shape == (20, 21, 26)
    assert value["volumes"][0]["name"] == "fish_a_crop"
    assert all(high <= n for (_, high), n in zip(found.box, found.shape, strict=True))
    values, grid = read_map(study, "fish_a_crop", runs.sorting, "uncertainty")
    last = [o + s * (n - 0.5) for o, s, n in zip(grid["offset"], grid["scale"], values.shape, strict=True)]
    np.testing.assert_allclose(last, np.array(found.shape) - 0.5, atol=2.5)


def test_a_volume_of_unknown_unit_can_be_localised(study, ask, store, make_fish):
    store(study, "unknown", make_fish(), unit="", voxel_size=(1.0, 1.0, 1.0))
    assert ask("unknown")[0]["volumes"][0]["box"] != [[0, 0]] * 3


def test_cancelling_keeps_what_is_done_and_leaves_no_half_result(study, runs):
    job = localize(study, LocalizeSettings(run=runs.sorting, **QUICK))
    next(e for e in job if isinstance(e, Progress) and e.what == "fish_b" and e.done)
    job.close()
    assert read_localization(study, "fish_a", runs.sorting) is not None
    assert read_localization(study, "fish_b", runs.sorting) is None
    assert {path.split("/")[0] for path in on_disk(study)} == {"fish_a"}


def test_cancelling_anywhere_keeps_the_earlier_result(study, runs, ask):
    ask("fish_a")
    before, lying = read_localization(study, "fish_a", runs.sorting), on_disk(study)
    settings = LocalizeSettings(run=runs.sorting, volumes=("fish_a",), **{**QUICK, "passes": 1})
    for n in range(1, 20):
        job = localize(study, settings)
        event = None
        for _ in range(n):
            event = next(job)
        if not isinstance(event, Progress):
            break
        job.close()
        assert read_localization(study, "fish_a", runs.sorting) == before, n
        assert on_disk(study) == lying, n
    assert n > 4


def test_a_second_start_on_the_same_volume_is_refused_and_the_first_goes_on(study, runs, ask):
    first = localize(study, LocalizeSettings(run=runs.sorting, volumes=("fish_a",), **QUICK))
    next(e for e in first if isinstance(e, Progress) and e.done)
    with pytest.raises(StudyError, match="Cannot localise 'fish_a': another program or job is localising it"):
        ask("fish_a")
    assert ask("fish_b")[0]["volumes"][0]["name"] == "fish_b"
    assert list(first)[-1].value["volumes"][0]["name"] == "fish_a"
    assert read_localization(study, "fish_a", runs.sorting) is not None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"status": "accepted"}, "accepted"),
        ({"status": "skipped"}, "skipped"),
        ({"box": ((1, 9), (2, 10), (3, 11))}, "moved"),
    ],
)
def test_what_a_person_did_stays_until_it_is_asked_for_again(study, runs, ask, changes, word):
    ask("fish_a")
    before = update_localization(study, "fish_a", runs.sorting, **changes)
    value, events = ask("fish_a")
    assert read_localization(study, "fish_a", runs.sorting) == before
    assert value["volumes"][0]["box"] == [list(span) for span in before.box]
    assert value["volumes"][0]["status"] == before.status
    assert [e.message for e in events if isinstance(e, Notice)] == [
        f"fish_a: a person has {word} its box; it stays (see 'again')."
    ]
    ask("fish_a", again=True)
    after = read_localization(study, "fish_a", runs.sorting)
    assert (after.status, after.adjusted) == ("found", False)


def test_a_damaged_earlier_result_is_replaced(study, runs, ask):
    ask("fish_a")
    (localization_path(study, "fish_a", runs.sorting) / "region.json").write_text("{ not json")
    ask("fish_a")
    assert read_localization(study, "fish_a", runs.sorting).status == "found"


def refused(ask, error, sentence, *volumes, **settings):
    """One sentence of three parts, and no traceback's worth of lines."""
    with pytest.raises(error, match=sentence) as caught:
        ask(*volumes, **settings)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


def test_an_unknown_run_is_refused(study, ask):
    refused(ask, StudyError, "run 'sorting-7'", run="sorting-7")


def test_an_unknown_volume_is_refused_before_the_network_is_loaded(study, ask, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was loaded"))
    refused(ask, StudyError, "whale", "whale")
    assert nothing_lies_on_disk(study)


def test_a_run_without_weights_is_refused(study, ask):
    with study.new_run("pretrain", "sorting", SortingSettings().to_json()) as writer:
        run = writer.run.id
    refused(ask, BadInput, f"Cannot use the weights of the run '{run}': it has none yet", run=run)
    assert nothing_lies_on_disk(study)


def test_a_run_of_another_task_is_refused(study, ask):
    with study.new_run("pretrain", "simclr", {}) as writer:
        run = writer.run.id
    refused(
        ask,
        BadSetting,
        "it trained the task 'simclr'; choose a run of the task 'sorting' or 'rotation'",
        run=run,
    )
    assert nothing_lies_on_disk(study)


def test_the_variance_of_a_run_without_dropout_is_refused(study, runs, ask):
    refused(ask, BadInput, "trained without dropout", "fish_a", run=runs.plain, statistic="variance")
    assert nothing_lies_on_disk(study)


def test_a_run_without_dropout_can_be_asked_for_its_sensitivity(runs, ask):
    assert ask("fish_a", run=runs.plain)[0]["volumes"][0]["statistic"] == "sensitivity"


def test_one_pass_has_no_variance(study, ask):
    refused(ask, BadSetting, "1 pass is too few", "fish_a", statistic="variance", passes=1)
    assert nothing_lies_on_disk(study)


@pytest.mark.parametrize(("name", "value"), [("statistic", "variance"), ("passes", 3), ("grid", 8)])
def test_what_only_a_sorting_run_has_is_refused_for_a_rotation_run(study, runs, ask, name, value):
    refused(ask, BadSetting, f"and {name} = {value!r}: a run of the task", run=runs.rotation, **{name: value})
    assert nothing_lies_on_disk(study)


def test_an_empty_study_is_refused(study, ask):
    for name in list(study.volumes):
        study.remove_volume(name)
    refused(ask, BadInput, "Cannot localise in 'study': it has no volumes; add volumes first")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_three_voxels_is_refused_before_any_is_localised(study, ask, store, axis):
    shape = [20, 24, 28]
    shape[axis] = 3
    store(study, "thin", np.zeros(shape, np.uint8))
    refused(ask, BadInput, f"Cannot localise in 'thin': it has only 3 voxels along {'zyx'[axis]}")
    assert nothing_lies_on_disk(study)


def test_the_smallest_volume_that_is_allowed_is_localised(study, ask, store):
    values = np.full((4, 5, 6), 20, np.uint8)
    values[1:3, 1:4, 2:5] = 200
    store(study, "tiny", values)
    assert ask("tiny")[0]["volumes"][0]["name"] == "tiny"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()]
)
def test_too_little_memory_is_said_in_one_sentence(study, runs, ask, monkeypatch, error):
    ask("fish_a")
    before = read_localization(study, "fish_a", runs.sorting)

    def full(self, slices):
        raise error

    monkeypatch.setattr(Sensitivity, "__call__", full)
    refused(ask, OutOfMemory, "Cannot localise in 'fish_a': it needs more memory than", "fish_a")
    assert read_localization(study, "fish_a", runs.sorting) == before


def test_too_little_memory_for_the_voxels_is_said_as_well(study, ask, monkeypatch):
    from napari_sortingloss.localize import refine

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(refine, "_level", full)
    refused(ask, OutOfMemory, "Cannot localise in 'fish_a': it needs more memory than", "fish_a")
    assert nothing_lies_on_disk(study)


def test_a_full_disk_is_said_and_keeps_the_earlier_result(study, runs, ask, monkeypatch):
    ask("fish_a")
    before, lying = read_localization(study, "fish_a", runs.sorting), on_disk(study)

    def full(self, slab):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_sortingloss.formats.writers.sinks.ZarrSink.write", full)
    refused(ask, OutOfSpace, "the disk is full", "fish_a")
    assert read_localization(study, "fish_a", runs.sorting) == before
    assert on_disk(study) == lying


def test_a_volume_that_is_removed_in_the_middle_leaves_nothing(study, runs):
    job = localize(study, LocalizeSettings(run=runs.sorting, volumes=("fish_a",), **QUICK))
    next(e for e in job if isinstance(e, Progress) and e.total)
    study.remove_volume("fish_a")
    with pytest.raises(StudyError, match=r"Cannot (read|localise)"):
        list(job)
    assert nothing_lies_on_disk(study)


@pytest.mark.parametrize("module", ["", ".region", ".review", ".settings", ".job"])
def test_a_window_can_import_it_without_loading_torch(module):
    code = (
        f"import sys, napari_sortingloss.localize{module};"
        "sys.exit(any(name in sys.modules for name in ('torch', 'albumentations', 'cv2', 'monai')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
