"""What a run predicts for a volume: written in slabs along any axis, continued where it was, replaced whole."""

from __future__ import annotations

import errno
import json
import signal
import sys

import numpy as np
import pytest
import zarr

from napari_sortingloss.disk import label_shards
from napari_sortingloss.disk.pyramid import level_factors
from napari_sortingloss.errors import BadSetting, OutOfSpace, StudyError
from napari_sortingloss.formats import open_source
from napari_sortingloss.study import Study
from napari_sortingloss.study.classes import LabelClass
from napari_sortingloss.study.predictions.reading import (
    PredictionWriter,
    find_prediction,
    growing_prediction,
    growing_runs,
    list_predictions,
    predicted_runs,
    prediction_path,
    remove_growing,
    remove_prediction,
)
from napari_sortingloss.study.runs.names import write_name

SHAPE = (37, 70, 90)
SIZES = (0.4, 0.25, 0.3)
RUN = "segmentation-261121-093000"
CLASSES = (LabelClass(3, "skull", "#e69f00", "1"), LabelClass(7, "brain", "#56b4e9", "2"))


@pytest.fixture(autouse=True)
def thin_slabs(monkeypatch):
    """Slabs of 16 slices, so that there are several in a small volume."""
    monkeypatch.setattr(label_shards, "_SIDES", {16: 32})


@pytest.fixture
def fish(store, study) -> str:
    (study.path / "runs" / RUN).mkdir(parents=True)
    return store("fish").name


@pytest.fixture
def labels() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    found = np.zeros(SHAPE, np.uint8)
    found[(y - 30) ** 2 + (x - 50) ** 2 < (10 + z) ** 2] = 3
    found[(y - 30) ** 2 + (x - 40) ** 2 < 80 + z] = 7
    return found


@pytest.fixture
def entropy() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, SHAPE, dtype=np.uint8)


def begin(study: Study, volume: str = "fish", run: str = RUN, **changes) -> PredictionWriter:
    options = {"step": 300, "classes": CLASSES, "axes": "z", "settings": {"tile": 64}, "uncertainty": False}
    return PredictionWriter(study, volume, run, **{**options, **changes})


def fill(
    writer: PredictionWriter, labels: np.ndarray, entropy: np.ndarray | None = None, slabs: int = 99
) -> None:
    across = "zyx".index(writer.axis)
    for start, stop in writer.missing[:slabs]:
        cut = [slice(None)] * 3
        cut[across] = slice(start, stop)
        writer.write(start, stop, labels[tuple(cut)], None if entropy is None else entropy[tuple(cut)])


def left_over(study: Study) -> list[str]:
    return sorted(p.name for p in (study.path / "predictions").rglob(".*"))


@pytest.mark.parametrize("axes", ["z", "y", "xzy"])
def test_what_is_written_along_any_axis_is_read_back_in_any_direction(study, fish, labels, entropy, axes):
    with begin(study, axes=axes, uncertainty=True) as writer:
        assert writer.axis == axes[0]
        assert writer.block == 16
        fill(writer, labels, entropy)
        made = writer.commit()
    found = find_prediction(study, fish)
    assert found == made
    assert (found.volume, found.run, found.step, found.axes) == (fish, RUN, 300, axes)
    assert [(c.value, c.name, c.color) for c in found.classes] == [
        (3, "skull", "#e69f00"),
        (7, "brain", "#56b4e9"),
    ]
    assert found.complete
    assert found.settings == {"tile": 64}
    np.testing.assert_array_equal(found.read_slice("z", 20), labels[20])
    np.testing.assert_array_equal(found.read_slice("y", 33), labels[:, 33])
    np.testing.assert_array_equal(found.read_slice("x", 89), labels[:, :, 89])
    np.testing.assert_array_equal(found.read_box(((3, 30), (5, 61), (40, 90))), labels[3:30, 5:61, 40:])
    np.testing.assert_array_equal(found.uncertainty_slice("y", 2), entropy[:, 2])
    np.testing.assert_array_equal(found.uncertainty_box(((0, 1), (5, 61), (40, 90))), entropy[:1, 5:61, 40:])
    assert left_over(study) == []


@pytest.mark.parametrize("axes", ["z", "y", "x"])
def test_smaller_levels_take_every_second_voxel_and_cost_only_what_is_shown(study, fish, labels, axes):
    with begin(study, axes=axes) as writer:
        fill(writer, labels)
        found = writer.commit()
    levels = found.pyramid()
    assert [level.shape for level in levels] == [(37, 70, 90), (19, 35, 45)]
    for level, (fz, fy, fx), (scale, translation) in zip(
        levels, level_factors(SHAPE), found.level_scales, strict=True
    ):
        np.testing.assert_array_equal(np.asarray(level), labels[::fz, ::fy, ::fx])
        np.testing.assert_array_equal(np.asarray(level[5][2:9]), labels[::fz, ::fy, ::fx][5, 2:9])
        assert scale == (0.4 * fz, 0.25 * fy, 0.3 * fx)
        assert translation == (0.0, 0.0, 0.0)


def test_other_programs_find_labels_with_names_colours_and_place(study, fish, labels, entropy):
    with begin(study, uncertainty=True) as writer:
        fill(writer, labels, entropy)
        path = writer.commit().path
    group = zarr.open_group(path, mode="r")
    ome = group.attrs["ome"]
    assert ome["image-label"]["properties"][1] == {"label-value": 3, "name": "skull"}
    assert ome["image-label"]["colors"][1] == {"label-value": 3, "rgba": [230, 159, 0, 255]}
    image = path / ome["image-label"]["source"]["image"]
    assert image.resolve() == study.volume_path("fish").resolve()
    np.testing.assert_array_equal(group["0"][...], labels)
    np.testing.assert_array_equal(group["1"][...], labels[::2, ::2, ::2])
    np.testing.assert_array_equal(group["uncertainty/0"][...], entropy)
    with open_source(path) as source:
        assert source.geometry.voxel_size == pytest.approx(SIZES)
        assert source.geometry.unit == "mm"
        np.testing.assert_array_equal(source.read(0, 37), labels)
    with open_source(path / "uncertainty") as source:
        assert source.geometry.voxel_size == pytest.approx(SIZES)


def test_a_prediction_that_was_left_is_continued(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels, slabs=1)
    assert predicted_runs(study, fish) == []
    with begin(Study.open(study.path)) as writer:
        assert writer.done == [(0, 16)]
        assert writer.missing == [(16, 32), (32, 37)]
        fill(writer, labels)
        found = writer.commit()
    np.testing.assert_array_equal(np.asarray(found.pyramid()[0]), labels)
    np.testing.assert_array_equal(np.asarray(found.pyramid()[1]), labels[::2, ::2, ::2])


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 301},
        {"axes": "y"},
        {"axes": "zy"},
        {"settings": {"tile": 32}},
        {"classes": CLASSES[:1]},
        {"uncertainty": True},
    ],
)
def test_another_prediction_is_begun_anew(study, fish, labels, changes):
    with begin(study) as writer:
        fill(writer, labels, slabs=2)
    with begin(study, **changes) as writer:
        assert writer.done == []


def test_a_renamed_class_goes_by_its_new_name_and_the_part_is_continued(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels, slabs=2)
    renamed = (LabelClass(3, "bone", "#112233"), CLASSES[1])
    with begin(study, classes=renamed) as writer:
        assert writer.done == [(0, 32)]
        fill(writer, labels)
        assert writer.commit().classes[0].name == "bone"


def test_an_earlier_prediction_stays_until_the_new_one_is_whole(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels)
        writer.commit()
    with begin(study, step=900) as writer:
        fill(writer, labels + 1, slabs=1)
        assert find_prediction(study, fish).step == 300
        np.testing.assert_array_equal(find_prediction(study, fish).read_slice("z", 3), labels[3])
        fill(writer, labels + 1)
        writer.commit()
    assert find_prediction(study, fish).step == 900
    np.testing.assert_array_equal(find_prediction(study, fish).read_slice("z", 3), labels[3] + 1)
    assert left_over(study) == []


def test_a_growing_prediction_shows_what_is_there_and_goes_on_showing_when_it_is_finished(
    study, fish, labels
):
    assert growing_prediction(study, fish, RUN) is None
    with begin(study) as writer:
        growing = growing_prediction(study, fish, RUN)
        assert (growing.complete, growing.done) == (False, [])
        full, small = growing.pyramid()
        assert not np.asarray(full).any()
        writer.write(16, 32, labels[16:32])
        assert growing.done == [(16, 32)]
        assert not np.asarray(full[3]).any()
        np.testing.assert_array_equal(np.asarray(full[20]), labels[20])
        np.testing.assert_array_equal(np.asarray(small[8:16]), labels[16:32:2, ::2, ::2])
        fill(writer, labels)
        writer.commit()
    assert growing_prediction(study, fish, RUN) is None
    np.testing.assert_array_equal(np.asarray(full), labels)


def test_a_prediction_that_is_left_unfinished_is_not_found(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels, slabs=1)
        with pytest.raises(ValueError, match="when all its slabs are written"):
            writer.commit()
    with pytest.raises(StudyError, match="no run has predicted it yet; predict it first"):
        find_prediction(study, fish)
    assert list_predictions(study) == {}
    assert growing_prediction(study, fish, RUN).done == [(0, 16)]


def test_a_discarded_prediction_leaves_nothing(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels, slabs=1)
        writer.discard()
    assert list((study.path / "predictions" / fish).iterdir()) == []


def test_what_was_left_unfinished_can_be_removed_unless_it_is_being_made(study, fish, labels):
    assert growing_runs(study, fish) == []
    with begin(study) as writer:
        fill(writer, labels, slabs=1)
        assert growing_runs(study, fish) == [RUN]
        with pytest.raises(StudyError, match="it is being made; stop that first"):
            remove_growing(study, fish, RUN)
    remove_growing(study, fish, RUN)
    assert growing_runs(study, fish) == []
    remove_growing(study, fish, RUN)


def test_the_newest_prediction_is_the_one_unless_a_run_is_named(study, fish, labels, monkeypatch):
    from napari_sortingloss.study.predictions import writer as writing

    for n, run in enumerate(["a-run", "b-run", "b-walk"]):
        monkeypatch.setattr(writing, "now", lambda n=n: f"2026-11-21T09:3{9 - n}:00+00:00")
        with begin(study, run=run) as writer:
            fill(writer, labels)
            writer.commit()
    assert find_prediction(study, fish).run == "a-run"
    assert find_prediction(study, fish, "b-r").run == "b-run"
    (study.path / "runs" / "b-run").mkdir(parents=True)
    write_name(study.path / "runs" / "b-run", "the better one")
    assert find_prediction(study, fish, "the better one").run == "b-run"
    assert list(list_predictions(study)[fish]) == ["a-run", "b-run", "b-walk"]
    with pytest.raises(StudyError, match="by 'b': these runs fit: b-run, b-walk"):
        find_prediction(study, fish, "b")
    with pytest.raises(StudyError, match="by 'c': it was predicted by a-run, b-run, b-walk"):
        find_prediction(study, fish, "c")
    remove_prediction(study, fish, "a-run")
    assert find_prediction(study, fish).run == "b-run"
    with pytest.raises(StudyError, match="run 'a-run' has not predicted it"):
        remove_prediction(study, fish, "a-run")


def test_only_one_program_predicts_a_volume_with_a_run(study, fish):
    with begin(study):
        with pytest.raises(StudyError, match=f"is predicting it with run '{RUN}'; wait until it is done"):
            begin(study)
        begin(study, run="other").close()
    begin(study).close()


KILLED = f"""
    import sys
    import numpy as np
    from napari_sortingloss.disk import label_shards
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.classes import LabelClass
    from napari_sortingloss.study.predictions.reading import PredictionWriter
    label_shards._SIDES = {{16: 32}}
    writer = PredictionWriter(
        Study.open(sys.argv[1]), "fish", "{RUN}", step=300, axes="z", settings={{"tile": 64}}, uncertainty=False,
        classes=[LabelClass(3, "skull", "#e69f00"), LabelClass(7, "brain", "#56b4e9")],
    )
    writer.write(0, 16, np.full((16, 70, 90), 3, np.uint8))
    print("half", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_prediction_survives_the_next_opening_and_is_continued(study, fish, labels, program):
    process = program(KILLED, study.path)
    assert process.stdout.readline() == "half\n"
    with pytest.raises(StudyError, match="another program or job is predicting it"):
        begin(study)
    process.send_signal(signal.SIGKILL)
    process.wait()
    image = study.path / "predictions" / "fish" / f".{RUN}.part" / "image.zarr"
    (image / "0/c/1/0").mkdir(parents=True)
    (image / "0/c/1/0/.0.abc.tmp").write_bytes(b"half a slab")
    opened = Study.open(study.path)
    with begin(opened) as writer:
        assert writer.done == [(0, 16)]
        assert not list(image.rglob("*.tmp"))
        fill(writer, labels)
        found = writer.commit()
    assert (found.read_slice("z", 5) == 3).all()
    np.testing.assert_array_equal(found.read_slice("z", 16), labels[16])


def test_a_part_of_a_run_or_volume_that_is_gone_goes_when_the_study_is_opened(study, fish, store, labels):
    store("cat")
    for volume, run in (("fish", "gone"), ("fish", RUN), ("cat", RUN)):
        with begin(study, volume, run) as writer:
            fill(writer, labels, slabs=1)
    (study.path / "predictions" / "cat").rename(study.path / "predictions" / "dog")
    Study.open(study.path)
    assert left_over(study) == [f".{RUN}.part"]
    assert growing_prediction(study, "fish", RUN).done == [(0, 16)]
    assert not (study.path / "predictions" / "dog").exists()


def test_a_replacement_that_was_cut_short_is_finished(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels)
        path = writer.commit().path
    path.rename(path.with_name(f".{path.name}.old-0123456789ab"))
    Study.open(study.path)
    assert find_prediction(study, fish).run == RUN
    (path.with_name(f".{path.name}.old-0123456789ab")).mkdir()
    Study.open(study.path)
    assert left_over(study) == []


def test_a_disk_that_fills_up_is_said_and_what_was_done_stays(study, fish, labels, monkeypatch):
    import os

    with begin(study) as writer:
        fill(writer, labels, slabs=2)

        def full(handle):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OutOfSpace, match="Cannot predict 'fish': the disk is full"):
                fill(writer, labels)
        assert writer.done == [(0, 32)]
        assert not list(study.path.rglob("*.tmp"))
    with begin(study) as writer:
        assert writer.missing == [(32, 37)]
        fill(writer, labels)
        np.testing.assert_array_equal(writer.commit().read_slice("z", 36), labels[36])


@pytest.mark.parametrize("change", ["removed", "renamed"])
def test_a_volume_that_goes_meanwhile_is_said(study, fish, labels, change):
    with begin(study) as writer:
        fill(writer, labels, slabs=1)
        if change == "removed":
            study.remove_volume(fish)
        else:
            study.rename_volume(fish, "trout")
        with pytest.raises(StudyError, match="removed or renamed in the meantime; predict it again"):
            writer.write(16, 32, labels[16:32])
    assert not (study.path / "predictions" / fish).exists()


def test_a_volume_removed_before_the_commit_keeps_nothing(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels)
        study.remove_volume(fish)
        with pytest.raises((StudyError, ValueError)):
            writer.commit()
    assert not (study.path / "predictions" / fish).exists()


def test_parts_and_predictions_follow_a_renamed_volume(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels, slabs=1)
    with begin(study, run="other") as writer:
        fill(writer, labels)
        writer.commit()
    study.rename_volume(fish, "trout")
    assert find_prediction(study, "trout").volume == "trout"
    ome = zarr.open_group(prediction_path(study, "trout", "other"), mode="r").attrs["ome"]
    assert ome["image-label"]["source"]["image"] == "../../../volumes/trout.zarr"
    with begin(study, "trout") as writer:
        assert writer.done == [(0, 16)]


def test_a_changed_voxel_size_is_the_predictions_too(study, fish, labels, entropy):
    with begin(study, uncertainty=True) as writer:
        fill(writer, labels, entropy)
        path = writer.commit().path
    with begin(study, run="growing") as writer:
        study.update_volume(fish, voxel_size=(8.0, 5.0, 6.0), unit="um")
        growing = growing_prediction(study, fish, "growing").path
        fill(writer, labels)
        writer.commit()
    for image in (path, path / "uncertainty", prediction_path(study, fish, "growing")):
        with open_source(image) as source:
            assert (source.geometry.voxel_size, source.geometry.unit) == ((8.0, 5.0, 6.0), "um")
    assert not growing.exists()
    assert find_prediction(study, fish, "growing").level_scales[1][0] == (16.0, 10.0, 12.0)


def test_what_does_not_fit_is_refused(study, fish, labels, entropy):
    with begin(study) as writer:
        for start, stop, given in ((0, 15, labels[:15]), (3, 19, labels[3:19]), (0, 16, labels[:15])):
            with pytest.raises(ValueError, match="slab"):
                writer.write(start, stop, given)
        with pytest.raises(ValueError, match="uint8"):
            writer.write(0, 16, labels[:16].astype(int))
        with pytest.raises(ValueError, match="do not match"):
            writer.write(0, 16, labels[:16], entropy[:16])
        fill(writer, labels)
        found = writer.commit()
    with pytest.raises(ValueError, match="closed"):
        writer.write(0, 16, labels[:16])
    with pytest.raises(BadSetting, match="no slice 37 along z"):
        found.read_slice("z", 37)
    with pytest.raises(BadSetting, match="along x it goes from 0 to 91"):
        found.read_box(((0, 37), (0, 70), (0, 91)))
    with pytest.raises(StudyError, match="predicted without the uncertainty"):
        found.uncertainty_pyramid()
    with pytest.raises(StudyError, match="Cannot find volume 'cat'"):
        begin(study, "cat")


@pytest.mark.parametrize("damage", ["shard", "metadata", "attributes"])
def test_a_damaged_prediction_is_said(study, fish, labels, damage):
    with begin(study) as writer:
        fill(writer, labels)
        path = writer.commit().path
    if damage == "shard":
        file = path / "0/c/1/0/0"
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "metadata":
        (path / "0/zarr.json").write_text("{}")
    else:
        (path / "zarr.json").write_text(json.dumps({"attributes": {}}))
    with pytest.raises(StudyError, match="damaged or incomplete; predict the volume again"):
        find_prediction(study, fish).read_slice("y", 20)


def test_a_prediction_of_a_newer_program_is_left_alone(study, fish, labels):
    with begin(study) as writer:
        fill(writer, labels)
        file = writer.commit().path / "zarr.json"
    file.write_text(file.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(StudyError, match=r"a newer program wrote it .*; update napari-sortingloss"):
        find_prediction(study, fish)


def test_a_disk_that_is_full_at_the_end_leaves_the_earlier_prediction(study, fish, labels, monkeypatch):
    from pathlib import Path

    with begin(study) as writer:
        fill(writer, labels)
        writer.commit()
    with begin(study, step=900) as writer:
        fill(writer, labels)
        plain = Path.rename

        def rename(self, target):
            if self.name == "image.zarr":
                raise OSError(errno.ENOSPC, "No space left on device")
            return plain(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            with pytest.raises(OutOfSpace, match="the disk is full"):
                writer.commit()
        assert find_prediction(study, fish).step == 300
    with begin(study, step=900) as writer:
        assert writer.missing == []
        writer.commit()
    assert find_prediction(study, fish).step == 900


def test_memory_is_bounded_by_a_slab(monkeypatch):
    monkeypatch.undo()
    assert label_shards.slab_depth((2000, 1000, 1000), 0) == 64
    assert label_shards.slab_depth((2000, 2000, 2000), 2) == 32
    assert label_shards.slab_depth((2000, 9000, 9000), 0) == 16
    assert label_shards.slab_depth((37, 70, 90), 0) == 37
    for shape in ((2000, 1000, 1000), (9000, 700, 20)):
        for axis in range(3):
            for layout in label_shards.ShardLayout.levels(shape, axis):
                assert np.prod(layout.cube) <= 2**20
