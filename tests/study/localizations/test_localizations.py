"""What a localisation leaves in a study: read back as it was, replaced whole, changed by one at a time."""

from __future__ import annotations

import errno
import json
import math
import signal
import sys

import numpy as np
import pytest

from napari_sortingloss.boxes import NO_BOX
from napari_sortingloss.disk import atomic
from napari_sortingloss.errors import BadSetting, OutOfSpace, StudyError
from napari_sortingloss.formats import open_source
from napari_sortingloss.study import Study
from napari_sortingloss.study.localizations.reading import (
    Hull,
    Localization,
    LocalizationWriter,
    NoBox,
    Profile,
    find_localization,
    list_localizations,
    localization_path,
    read_localization,
    read_map,
    update_localization,
)

RUN = "sorting-261121-093000"
BOX = ((3, 30), (5, 60), (10, 88))
GRID = {"shape": [5, 3, 4], "scale": [8.0, 25.0, 24.0], "offset": [3.5, 12.0, 11.5]}


@pytest.fixture
def fish(store) -> str:
    return store("fish").name


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).random((5, 3, 4)).astype(np.float32)


def draft(**changes) -> Localization:
    return Localization(
        volume="fish", run=RUN, created="2026-11-21T09:30:00+00:00", shape=(37, 70, 90), box=BOX, found=BOX
    ).replace(**changes)


def left_over(study: Study) -> list[str]:
    return sorted(p.name for p in (study.path / "localizations").rglob(".*"))


def test_everything_comes_back_as_it_was_written(study, fish, values):
    hull = Hull(np.array([[0.5, 1, 2], [3, 4, 5], [6, 7.25, 8]]), np.array([[0, 1, 2]]))
    profile = Profile(3.5, 8.0, (0.1, math.pi), 4, 30, 0.5, "mean of each slice")
    with LocalizationWriter(study, fish, RUN) as writer:
        writer.uncertainty(values, GRID)
        written = writer.commit(
            draft(
                threshold=0.25, fraction=0.03, automatic=False, statistic="variance", settings={"passes": 20},
                seconds=1.5, warnings=("coarse",), hull=hull, profiles={"z": profile}, status="accepted",
            )
        )  # fmt: skip
    assert read_localization(study, fish, RUN) == written
    assert written.uncertainty_grid == GRID
    assert written.evidence_grid is None
    assert left_over(study) == []


def test_a_threshold_that_is_no_number_survives_json(study, fish, found_at):
    found_at(fish, BOX, threshold=float("nan"))
    document = json.loads((localization_path(study, fish, RUN) / "region.json").read_text())
    assert document["threshold"] is None
    assert math.isnan(read_localization(study, fish, RUN).threshold)


def test_the_fractions_say_what_a_crop_would_leave():
    found = draft(box=((0, 37), (0, 35), (0, 45)))
    assert found.kept_fraction == 0.25
    assert found.removed_fraction == 0.75
    assert found.adjusted
    assert not draft().adjusted
    assert draft(box=NO_BOX, found=NO_BOX).removed_fraction == 0.0


def test_a_box_from_json_is_checked_and_made_of_tuples():
    assert draft(box=[[3, 30], [5, 60], [10, 88]]) == draft()
    with pytest.raises(BadSetting, match="along x it goes from 10 to 91, the volume from 0 to 90"):
        draft(box=((3, 30), (5, 60), (10, 91)))


def test_a_map_may_come_in_slabs(study, fish, values):
    with LocalizationWriter(study, fish, RUN) as writer:
        sink = writer.uncertainty((5, 3, 4), GRID)
        slab = np.empty((2, 3, 4))
        for z in (0, 2):
            slab[:] = values[z : z + 2]
            sink.write(z, slab)
        sink.write(4, values[4:])
        writer.commit(draft())
    stored, grid = read_map(study, fish, RUN, "uncertainty")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, values)
    assert grid == GRID


def test_many_slabs_go_to_disk_before_the_last_one_comes(study, fish):
    grid = {"shape": [200, 7, 9], "scale": [1.0, 10.0, 10.0], "offset": [0.0, 4.5, 4.5]}
    data = np.random.default_rng(1).random((200, 7, 9)).astype(np.float32)
    with LocalizationWriter(study, fish, RUN) as writer:
        sink = writer.uncertainty((200, 7, 9), grid)
        for z in range(0, 200, 3):
            sink.write(z, data[z : z + 3])
            if z == 150:
                assert list(sink.path.rglob("c/*"))
        writer.commit(draft())
    np.testing.assert_array_equal(read_map(study, fish, RUN, "uncertainty")[0], data)


def test_a_slab_out_of_order_or_missing_is_a_fault_of_the_program(study, fish, values):
    with LocalizationWriter(study, fish, RUN) as writer:
        sink = writer.uncertainty((5, 3, 4), GRID)
        sink.write(0, values[:2])
        with pytest.raises(ValueError, match="does not follow slice 2"):
            sink.write(3, values[3:])
        with pytest.raises(ValueError, match="only 2 of 5 slices"):
            writer.commit(draft())
    assert read_localization(study, fish) is None


def test_the_evidence_is_the_uncertainty_where_there_is_no_map_of_its_own(study, fish, values, found_at):
    found_at(fish, BOX)
    plain, _ = read_map(study, fish, RUN, "evidence")
    found_at(fish, BOX, evidence=True)
    own, grid = read_map(study, fish, RUN, "evidence")
    np.testing.assert_array_equal(own, -plain)
    assert grid == read_localization(study, fish, RUN).evidence_grid


def test_other_programs_find_the_map_where_it_belongs(study, fish, values):
    with LocalizationWriter(study, fish, RUN) as writer:
        writer.uncertainty(values, GRID)
        writer.commit(draft())
    path = localization_path(study, fish, RUN) / "uncertainty.zarr"
    with open_source(path) as source:
        assert source.geometry.voxel_size == pytest.approx((3.2, 6.25, 7.2))
        assert source.geometry.unit == "mm"
        np.testing.assert_array_equal(source.read(0, 5), values)
    assert _translation(path) == pytest.approx([1.4, 3.0, 3.45])


def test_a_changed_voxel_size_moves_the_maps(study, fish, values):
    with LocalizationWriter(study, fish, RUN) as writer:
        writer.uncertainty(values, GRID)
        writer.evidence(values, GRID)
        writer.commit(draft())
    study.update_volume(fish, voxel_size=(2.0, 1.0, 4.0), unit="um")
    for which in ("uncertainty", "evidence"):
        path = localization_path(study, fish, RUN) / f"{which}.zarr"
        assert open_source(path).geometry.voxel_size == (16.0, 25.0, 96.0)
        assert open_source(path).geometry.unit == "um"
        assert _translation(path) == [7.0, 12.0, 46.0]


def _translation(path):
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    (transform,) = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][1:]
    return transform["translation"]


def test_the_newest_accepted_one_counts_and_else_the_newest(study, fish, found_at):
    assert read_localization(study, fish) is None
    for day in (1, 3, 2):
        found_at(fish, BOX, run=f"sorting-2611{day:02}-120000", created=f"2026-11-{day:02}T12:00:00+00:00")
    assert [one.run[10:14] for one in list_localizations(study, fish)] == ["1103", "1102", "1101"]
    assert read_localization(study, fish).run == "sorting-261103-120000"
    update_localization(study, fish, "sorting-261101-120000", status="accepted")
    assert read_localization(study, fish).run == "sorting-261101-120000"
    update_localization(study, fish, "sorting-261102-120000", status="accepted")
    assert read_localization(study, fish).run == "sorting-261102-120000"


def test_one_may_be_asked_for_by_the_beginning_of_its_run(study, fish, found_at):
    with pytest.raises(
        NoBox, match="Cannot find where the specimen of 'fish' is: it has not been localised yet"
    ):
        find_localization(study, fish)
    for run in ("sorting-261121-093000", "sorting-261121-094500", "rotation-261121-100000"):
        found_at(fish, BOX, run=run)
    assert find_localization(study, fish, "rot").run == "rotation-261121-100000"
    assert find_localization(study, fish, "sorting-261121-093").run == RUN
    with pytest.raises(StudyError, match="these runs fit: sorting-261121-093000, sorting-261121-094500"):
        find_localization(study, fish, "sorting")
    with pytest.raises(NoBox, match="it was localised by rotation-261121-100000, sorting"):
        find_localization(study, fish, "simclr")


def test_a_person_moves_the_box_and_accepts_it(study, fish, found_at):
    found_at(fish, BOX)
    moved = ((4, 20), (5, 60), (10, 80))
    after = update_localization(
        study, fish, RUN, box=[list(s) for s in moved], status="accepted", fraction=0.1
    )
    assert after.box == moved
    assert after.found == BOX
    assert after.adjusted
    assert read_localization(Study.open(study.path), fish, RUN) == after


def test_what_cannot_be_a_box_or_a_status_is_refused_and_nothing_changes(study, fish, found_at):
    before = found_at(fish, BOX)
    with pytest.raises(BadSetting, match="Cannot change where the specimen of 'fish' is: along z"):
        update_localization(study, fish, RUN, box=((3, 38), (5, 60), (10, 88)))
    with pytest.raises(BadSetting, match="'good' is no status"):
        update_localization(study, fish, RUN, status="good")
    with pytest.raises(TypeError, match="seconds cannot be changed"):
        update_localization(study, fish, RUN, seconds=3.0)
    with pytest.raises(StudyError, match="localised by sorting"):
        update_localization(study, fish, "rotation-1", status="accepted")
    assert read_localization(study, fish, RUN) == before


def test_a_full_disk_keeps_the_old_box(study, fish, found_at, monkeypatch):
    before = found_at(fish, BOX)

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "write_bytes", full)
    with pytest.raises(OutOfSpace, match="Cannot change where the specimen of 'fish' is: the disk is full"):
        update_localization(study, fish, RUN, status="accepted")
    assert read_localization(study, fish, RUN) == before


def test_a_damaged_or_newer_region_is_said_in_one_sentence(study, fish, found_at):
    found_at(fish, BOX)
    file = localization_path(study, fish, RUN) / "region.json"
    good = json.loads(file.read_text())
    for bad in (
        "{ not json",
        "[]",
        "{}",
        json.dumps({**good, "box": [[0, 999]] * 3}),
        json.dumps({**good, "hull": 3}),
    ):
        file.write_text(bad)
        with pytest.raises(StudyError, match=r"its 'region\.json' is damaged; localise the volume again"):
            read_localization(study, fish)
    file.write_text(json.dumps({**good, "schema_version": 99}))
    with pytest.raises(StudyError, match=r"a newer program wrote it .* update napari-sortingloss"):
        list_localizations(study, fish)
    found_at(fish, BOX)
    assert read_localization(study, fish).box == BOX


def test_a_damaged_map_is_said_in_one_sentence(study, fish, found_at):
    found_at(fish, BOX)
    path = localization_path(study, fish, RUN) / "uncertainty.zarr" / "0"
    for chunk in path.rglob("c/*/*/*"):
        chunk.write_bytes(b"rubbish")
    with pytest.raises(StudyError, match="the stored map is missing or damaged"):
        read_map(study, fish, RUN, "uncertainty")
    (path / "zarr.json").unlink()
    with pytest.raises(StudyError, match="the stored map is missing or damaged"):
        read_map(study, fish, RUN, "uncertainty")


def test_localising_again_replaces_the_whole_result(study, fish, found_at):
    found_at(fish, BOX, evidence=True)
    smaller = ((4, 9), (5, 6), (10, 12))
    found_at(fish, smaller)
    assert read_localization(study, fish).box == smaller
    assert not (localization_path(study, fish, RUN) / "evidence.zarr").exists()
    assert left_over(study) == []


def test_leaving_in_the_middle_keeps_the_earlier_result(study, fish, found_at, values):
    before = found_at(fish, BOX)
    with LocalizationWriter(study, fish, RUN) as writer:
        writer.uncertainty(values, GRID)
        assert left_over(study)
    assert read_localization(study, fish) == before
    assert left_over(study) == []


def test_a_full_disk_in_the_middle_keeps_the_earlier_result(study, fish, found_at, values, monkeypatch):
    before = found_at(fish, BOX)

    def full(self, slab):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_sortingloss.formats.writers.sinks.ZarrSink.write", full)
    with pytest.raises(OutOfSpace, match="the disk is full"), LocalizationWriter(study, fish, RUN) as writer:
        writer.uncertainty(values, GRID)
    assert read_localization(study, fish) == before
    assert left_over(study) == []


def test_a_second_start_on_the_same_volume_and_run_is_refused_at_once(study, fish, values):
    with LocalizationWriter(study, fish, RUN) as first:
        first.uncertainty(values, GRID)
        with pytest.raises(
            StudyError, match="Cannot localise 'fish': another program or job is localising it"
        ):
            LocalizationWriter(Study(study.path), fish, RUN)
        with LocalizationWriter(study, fish, "rotation-261121-100000") as other:
            other.uncertainty(values, GRID)
            other.commit(draft())
        Study.open(study.path)  # somebody else looks at the study meanwhile
        first.commit(draft())
    assert len(list_localizations(study, fish)) == 2
    assert left_over(study) == []


def test_an_unknown_volume_is_refused(study, fish):
    with pytest.raises(StudyError, match="Cannot find volume 'cat'"):
        LocalizationWriter(study, "cat", RUN)


@pytest.mark.parametrize(
    "change", [lambda s: s.remove_volume("fish"), lambda s: s.rename_volume("fish", "cod")]
)
def test_a_volume_that_goes_in_the_middle_leaves_nothing(study, fish, values, change):
    with LocalizationWriter(study, fish, RUN) as writer:
        writer.uncertainty(values, GRID)
        change(study)
        with pytest.raises(StudyError, match="removed or renamed in the meantime"):
            writer.commit(draft())
    assert left_over(study) == []
    assert not list((study.path / "localizations").iterdir())


def test_renaming_and_removing_a_volume_take_its_localisations_along(study, fish, found_at):
    found_at(fish, BOX)
    study.rename_volume(fish, "cod")
    assert read_localization(study, fish) is None
    assert read_localization(study, "cod").volume == "cod"
    study.remove_volume("cod")
    assert not (study.path / "localizations" / "cod").exists()


WRITING = """
import sys
import numpy as np
from napari_sortingloss.study import Study
from napari_sortingloss.study.localizations.reading import LocalizationWriter
writer = LocalizationWriter(Study.open(sys.argv[1]), "fish", sys.argv[2])
writer.uncertainty(np.zeros((5, 3, 4)), {"shape": [5, 3, 4], "scale": [1, 1, 1], "offset": [0, 0, 0]})
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_kill_9_keeps_the_earlier_result_and_the_next_opening_tidies_up(study, fish, found_at, program):
    before = found_at(fish, BOX)
    process = program(WRITING, study.path, RUN)
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(StudyError, match="another program or job is localising it"):
        LocalizationWriter(study, fish, RUN)
    assert left_over(Study.open(study.path))
    process.send_signal(signal.SIGKILL)
    process.wait()
    opened = Study.open(study.path)
    assert read_localization(opened, fish) == before
    assert left_over(study) == []
    found_at(fish, ((0, 1), (0, 1), (0, 1)))


def test_a_replacement_cut_short_between_its_steps_is_undone_on_opening(study, fish, found_at):
    before = found_at(fish, BOX)
    path = localization_path(study, fish, RUN)
    path.rename(path.with_name(f".{RUN}.old-0123456789ab"))
    assert read_localization(study, fish) is None
    Study.open(study.path)
    assert read_localization(study, fish) == before
    found_at(fish, BOX, run="rotation-1")
    (path.with_name(".rotation-1.old-0123456789ab")).mkdir()
    Study.open(study.path)
    assert left_over(study) == []
