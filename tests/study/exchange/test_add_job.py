"""The import job from the outside: what it reads, what the study holds afterwards, what it says meanwhile."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from napari_sortingloss.errors import BadInput, BadSetting, StudyError, UserError
from napari_sortingloss.events import Notice, Progress, Result
from napari_sortingloss.formats import array_source
from napari_sortingloss.study import Study
from napari_sortingloss.study.exchange import measure_window as measuring
from napari_sortingloss.study.exchange.add import AddSettings, add

SHAPE = (13, 22, 17)
VOXEL_SIZE = (0.4, 0.25, 0.3)


@pytest.fixture
def study(study_dir) -> Study:
    return Study.create(study_dir)


def run(study: Study, *paths: Path, sources=(), **settings):
    events = list(add(study, AddSettings(paths=paths, **settings), sources))
    assert isinstance(events[-1], Result)
    return events


def result(study: Study, *paths: Path, **settings) -> dict:
    return dict(run(study, *paths, **settings)[-1].value)


def layer(data: np.ndarray, name: str = "fish", voxel_size=VOXEL_SIZE, unit="mm"):
    return array_source(data, name, voxel_size, unit)


def save(path: Path, data: np.ndarray) -> Path:
    np.save(path, data)
    return path


def voxels(study: Study, name: str) -> np.ndarray:
    volume = study.volume(name)
    return volume.read_slab(0, volume.shape[0])


def windowed(data: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.floor((data.astype(float) - low) * 255 / (high - low) + 0.5), 0, 255)


def test_the_result_says_what_each_volume_is(study, make_volume):
    volumes = result(study, sources=[layer(make_volume(SHAPE, "uint16"))], axis="y", direction="-")["volumes"]
    (volume,) = volumes
    assert volume.pop("seconds") > 0
    low, high = volume.pop("window")
    assert (low, high) == pytest.approx(np.percentile(make_volume(SHAPE, "uint16"), (1, 99.95)))
    assert volume == {
        "name": "fish",
        "shape": list(SHAPE),
        "voxel_size": list(VOXEL_SIZE),
        "unit": "mm",
        "axis": "y",
        "direction": "-",
    }
    record = study.volumes["fish"]
    assert (record.axis, record.direction, record.window) == ("y", "-", (low, high))


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", ">u2", "<i2", ">i2", "uint32", ">i4", "float32", ">f4", ">f8"]
)
def test_voxels_of_every_type_and_byte_order_are_windowed_between_the_percentiles(
    study, tmp_path, make_volume, dtype
):
    data = make_volume(SHAPE, np.dtype(dtype).newbyteorder("=").name)
    window = result(study, save(tmp_path / "fish.npy", data.astype(dtype)))["volumes"][0]["window"]
    assert window == pytest.approx(np.percentile(data, (1, 99.95)), rel=1e-6)
    assert np.abs(voxels(study, "fish") - windowed(data, *window)).max() <= 1
    assert study.volumes["fish"].source["dtype"] == data.dtype.name


def test_given_values_are_the_window(study, tmp_path):
    data = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 3000 - 1500).astype(np.int16)
    volume = result(study, save(tmp_path / "ct.npy", data), window="-900:500")["volumes"][0]
    assert volume["window"] == [-900, 500]
    np.testing.assert_allclose(voxels(study, "ct"), windowed(data, -900, 500), atol=1)


def test_downsampling_averages_first_and_measures_the_window_then(study, tmp_path, make_volume):
    data = make_volume(SHAPE, "uint16")
    volume = result(study, save(tmp_path / "fish.npy", data), downsample=2, voxel_size=VOXEL_SIZE)["volumes"][
        0
    ]
    small = np.full((7, 11, 9), np.nan)
    for at in itertools.product(*(range(n) for n in small.shape)):
        small[at] = data[tuple(slice(2 * i, 2 * i + 2) for i in at)].mean()
    assert volume["shape"] == [7, 11, 9]
    assert volume["voxel_size"] == pytest.approx([0.8, 0.5, 0.6])
    assert volume["unit"] == "mm"
    assert volume["window"] == pytest.approx(np.percentile(small, (1, 99.95)), rel=1e-5)
    assert np.abs(voxels(study, "fish") - windowed(small, *volume["window"])).max() <= 1
    assert study.volumes["fish"].downsample == 2


def test_a_volume_of_several_slabs_is_the_same_as_of_one(study, monkeypatch, tmp_path, make_volume):
    path = save(tmp_path / "fish.npy", make_volume(SHAPE, "uint16"))
    result(study, path, downsample=3, name="whole")
    monkeypatch.setattr(measuring, "slab_height", lambda shape, itemsize, multiple=1, budget=0: multiple)
    result(study, path, downsample=3, name="slabs")
    assert (voxels(study, "whole") == voxels(study, "slabs")).all()


def test_a_compressed_file_is_decoded_once_and_gives_the_same(study, tmp_path, make_volume, monkeypatch):
    import nibabel

    from napari_sortingloss.formats import blocks

    data = make_volume(SHAPE, "int16")
    affine = np.diag([-VOXEL_SIZE[2], -VOXEL_SIZE[1], VOXEL_SIZE[0], 1.0])
    nibabel.Nifti1Image(data.transpose(2, 1, 0), affine).to_filename(tmp_path / "fish.nii.gz")
    decoded = []
    plain_read = blocks.StreamBlock.read

    def read(self, axis, low, high):
        decoded.append((low, high))
        return plain_read(self, axis, low, high)

    monkeypatch.setattr(blocks.StreamBlock, "read", read)
    monkeypatch.setattr(measuring, "slab_height", lambda shape, itemsize, multiple=1, budget=0: 4)
    volume = result(study, tmp_path / "fish.nii.gz")["volumes"][0]
    assert decoded == [(0, 4), (4, 8), (8, 12), (12, 13)]
    assert volume["voxel_size"] == pytest.approx(VOXEL_SIZE)
    assert volume["window"] == pytest.approx(np.percentile(data, (1, 99.95)))
    assert np.abs(voxels(study, "fish") - windowed(data, *volume["window"])).max() <= 1


def test_a_large_volume_is_sampled_and_the_window_is_close(study, tmp_path, make_volume, monkeypatch):
    monkeypatch.setattr(measuring, "EXACT_BYTES", 0)
    monkeypatch.setattr(measuring, "SAMPLE_SLICES", 20)
    monkeypatch.setattr(measuring, "SAMPLE_VOXELS", 5000)
    data = make_volume((80, 40, 30), "uint16")
    low, high = result(study, save(tmp_path / "fish.npy", data))["volumes"][0]["window"]
    # what share of all voxels lies below the ends that the sample gave
    assert np.mean(data < low) == pytest.approx(0.01, abs=0.004)
    assert np.mean(data > high) == pytest.approx(0.0005, abs=0.0005)


def test_a_sample_that_sees_only_background_makes_every_voxel_be_measured(study, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "EXACT_BYTES", 0)
    monkeypatch.setattr(measuring, "SAMPLE_SLICES", 3)
    monkeypatch.setattr(measuring, "SAMPLE_VOXELS", 3)
    data = np.zeros((20, 9, 11), np.float32)
    data[5:8] = np.linspace(1, 2, 3 * 99).reshape(3, 9, 11)
    low, high = result(study, save(tmp_path / "fish.npy", data))["volumes"][0]["window"]
    assert (low, high) == pytest.approx(np.percentile(data, (1, 99.95)))


def test_percentiles_that_coincide_give_way_to_the_whole_range_and_say_so(study):
    data = np.zeros((30, 40, 50), np.uint16)
    data[3, 4, 5] = 900
    events = run(study, sources=[layer(data)])
    assert events[-1].value["volumes"][0]["window"] == [0, 900]
    (notice,) = [e for e in events if isinstance(e, Notice)]
    assert "nearly all voxels have the value 0" in notice.message
    assert voxels(study, "fish").max() == 255


def test_nan_becomes_black_is_no_part_of_the_percentiles_and_is_counted(study, make_volume):
    data = make_volume(SHAPE, "float32")
    data[0, 0, :5] = np.nan
    data[1, 1, 1] = np.inf
    events = run(study, sources=[layer(data)])
    assert events[-1].value["volumes"][0]["window"] == pytest.approx(
        np.percentile(data[np.isfinite(data)], (1, 99.95)), rel=1e-6
    )
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "fish: 5 voxels are not a number (NaN) and became 0.",
        "fish: 1 voxel is infinite and became the ends of the window.",
    ]
    got = voxels(study, "fish")
    assert (got[0, 0, :5] == 0).all()
    assert got[1, 1, 1] == 255


@pytest.mark.parametrize("window", ["p1:p99.95", "0:100"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_constant_volume_is_refused(study, window, dtype):
    with pytest.raises(BadInput, match="every voxel has the value 7, so there is nothing to learn"):
        run(study, sources=[layer(np.full(SHAPE, 7, dtype))], window=window)
    assert not study.volumes
    assert not any((study.path / "volumes").iterdir())


@pytest.mark.parametrize("window", ["p1:p99.95", "0:100"])
def test_a_volume_of_nan_only_is_refused(study, window):
    with pytest.raises(BadInput, match="no voxel is a finite number"):
        run(study, sources=[layer(np.full(SHAPE, np.nan, np.float32))], window=window)


def notices(events) -> list[Notice]:
    return [event for event in events if isinstance(event, Notice)]


def test_a_source_may_have_a_window_of_its_own(study, tmp_path, make_volume):
    common = save(tmp_path / "common.npy", make_volume(SHAPE, "uint16"))
    own = save(tmp_path / "own.npy", make_volume(SHAPE, "uint16", 1))
    settings = AddSettings(paths=(common, own), window="0:60000")
    windows = {str(own): "100:40000", "drawn": "p5:p95"}
    drawn = layer(make_volume(SHAPE, "uint16", 2), "drawn")
    events = list(add(study, settings, [drawn], windows))
    found = {volume["name"]: volume["window"] for volume in events[-1].value["volumes"]}
    assert found["common"] == [0, 60000]
    assert found["own"] == [100, 40000]
    assert found["drawn"] == pytest.approx(np.percentile(make_volume(SHAPE, "uint16", 2), (5, 95)))


def test_the_volumes_that_a_window_does_not_suit_are_named_in_one_sentence(study, make_volume):
    wide = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 1400 - 900).astype(np.int16)
    sources = [layer(wide, "chest"), layer(make_volume(SHAPE), "iguana"), layer(make_volume(SHAPE), "gecko")]
    (notice,) = notices(run(study, sources=sources, window="-900:500"))
    assert notice.level == "warning"
    low, high = np.percentile(make_volume(SHAPE), (1, 99.95))
    share = f"{(high - low) / 1400:.0%}"
    assert notice.message == (
        "2 of 3 volumes fill less than a third of the window -900:500, or lie mostly above it: "
        f"iguana ({share}), gecko ({share}). Remove what is too pale and add it with a window of its own."
    )


def test_percentiles_suit_every_volume(study, make_volume):
    sources = [layer(make_volume(SHAPE), "iguana"), layer(make_volume(SHAPE, "int16"), "chest")]
    assert not notices(run(study, sources=sources))


def test_a_volume_in_which_another_axis_stands_out_is_named_and_stays_along_z(study):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 60, 24)), indexing="ij")
    long = ((z / 0.7) ** 2 + (y / 0.9) ** 2 + (x / 0.6) ** 2 < 1) * np.uint8(200)
    events = run(
        study,
        sources=[
            layer(long, "long", (0.4, 0.4, 0.4)),
            layer(long.transpose(1, 0, 2), "right", (0.4, 0.4, 0.4)),
        ],
    )
    (notice,) = notices(events)
    assert notice.level == "info"
    assert notice.message.startswith(
        "Added along z, but 1 of 2 look ordered along y (e.g. long: the specimen is"
    )
    assert [volume["axis"] for volume in events[-1].value["volumes"]] == ["z", "z"]


@pytest.mark.parametrize(("window", "colour"), [("-500:-400", "white"), ("70000:80000", "black")])
def test_a_window_beside_all_voxels_is_refused(study, make_volume, window, colour):
    with pytest.raises(BadSetting, match=f"so all would become {colour}; choose a window within that range"):
        run(study, sources=[layer(make_volume(SHAPE, "uint16"))], window=window)
    assert not study.volumes


def test_a_voxel_size_that_nobody_knows_is_one_voxel(study, tmp_path, make_volume):
    volume = result(study, save(tmp_path / "fish.npy", make_volume(SHAPE)))["volumes"][0]
    assert (volume["voxel_size"], volume["unit"]) == ([1, 1, 1], "")


def test_a_given_voxel_size_counts_more_than_that_of_the_file(study, make_volume):
    source = layer(make_volume(SHAPE), voxel_size=(1.0, 2.0, 3.0), unit="mm")
    volume = result(study, sources=[source], voxel_size=(40.0, 25.0, 30.0), unit="um")["volumes"][0]
    assert (volume["voxel_size"], volume["unit"]) == ([40, 25, 30], "um")


def test_a_unit_without_any_voxel_size_is_refused(study, tmp_path, make_volume):
    with pytest.raises(BadSetting, match="the file says no voxel size; give the voxel size too"):
        run(study, save(tmp_path / "fish.npy", make_volume(SHAPE)), unit="um")


@pytest.mark.parametrize("size", [(0.0, 1.0, 1.0), (1.0, -2.0, 1.0), (1.0, 1.0), (1.0, 1.0, float("nan"))])
def test_a_voxel_size_is_three_numbers_above_0(size):
    with pytest.raises(BadSetting, match="it is not three numbers above 0"):
        AddSettings(voxel_size=size)


def test_settings_with_a_bad_window_cannot_be_made():
    with pytest.raises(BadSetting, match="its lower end is not below"):
        AddSettings(window="9:3")


def test_an_order_needs_two_slices(study, make_volume):
    with pytest.raises(BadInput, match="it has 1 slice along y, and an order needs at least 2"):
        run(study, sources=[layer(make_volume((9, 4, 7)))], axis="y", downsample=4)


def test_names_are_made_unique_and_fit_for_folders(study, tmp_path, make_volume):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "fish.npy", make_volume(SHAPE))
    names = [v["name"] for v in result(study, tmp_path / "a", tmp_path / "b")["volumes"]]
    names += [v["name"] for v in result(study, sources=[layer(make_volume(SHAPE), "a/b: c?")])["volumes"]]
    assert names == ["fish", "fish-2", "a_b_ c_"]


def test_the_same_file_is_not_added_twice_unless_it_gets_another_name(study, tmp_path, make_volume):
    path = save(tmp_path / "fish.npy", make_volume(SHAPE))
    run(study, path)
    with pytest.raises(StudyError, match="it is in the study already, as 'fish'"):
        run(study, path)
    run(study, path, name="again")
    assert list(study.volumes) == ["fish", "again"]
    with pytest.raises(StudyError, match="the study has a volume 'again'"):
        run(study, path, name="again")


def test_two_datasets_of_one_file_are_two_volumes(study, tmp_path, make_volume):
    import h5py

    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["before"], file["after"] = make_volume(SHAPE), make_volume(SHAPE, seed=1)
    run(study, tmp_path / "scan.h5", dataset="/before")
    run(study, tmp_path / "scan.h5", dataset="/after")
    assert len(study.volumes) == 2
    with pytest.raises(StudyError, match="it is in the study already"):
        run(study, tmp_path / "scan.h5", dataset="/after")


def test_slices_that_are_named_one_by_one_are_one_volume(study, tmp_path, make_volume):
    import tifffile

    data = make_volume(SHAPE)
    for z in range(SHAPE[0]):
        tifffile.imwrite(tmp_path / f"slice_{z}.tif", data[z])
    run(study, *tmp_path.glob("slice_*.tif"), window="0:255")
    (name,) = study.volumes
    assert (voxels(study, name) == data).all()


def test_what_matters_for_any_file_comes_first_among_the_settings():
    names = [field.name for field in AddSettings.fields()]
    assert names[:5] == ["paths", "axis", "direction", "window", "downsample"]
    assert names[-1] == "scratch"
    assert AddSettings.from_json(AddSettings(window="p2:p98").to_json()).window == "p2:p98"


def test_one_name_is_for_one_volume(study, make_volume):
    sources = [layer(make_volume(SHAPE), name) for name in ("a", "b")]
    with pytest.raises(BadSetting, match="Cannot name all volumes 'fish': there are 2 of them"):
        run(study, sources=sources, name="fish")


def test_one_bad_file_among_several_is_reported_and_the_others_are_added(study, tmp_path, make_volume):
    good = [save(tmp_path / f"{n}.npy", make_volume(SHAPE)) for n in "ab"]
    flat = save(tmp_path / "flat.npy", np.zeros(SHAPE, np.uint8))
    broken = tmp_path / "broken.npy"
    broken.write_bytes(good[0].read_bytes()[:500])
    missing = tmp_path / "missing.npy"
    events = run(study, good[0], flat, broken, missing, good[1])
    value = events[-1].value
    assert [v["name"] for v in value["volumes"]] == ["a", "b"] == list(study.volumes)
    assert {Path(f["path"]).name for f in value["failed"]} == {"flat.npy", "broken.npy", "missing.npy"}
    warnings = [e.message for e in events if isinstance(e, Notice) and e.level == "warning"]
    assert sorted(warnings) == sorted(f["error"] for f in value["failed"])


def test_when_no_volume_can_be_added_the_first_error_is_raised(study, tmp_path):
    flat = [save(tmp_path / f"{n}.npy", np.full(SHAPE, i, np.uint8)) for i, n in enumerate("ab")]
    with pytest.raises(BadInput, match=r"Cannot add 'a\.npy': every voxel has the value 0"):
        run(study, *flat)


def test_nothing_to_add_is_said(study):
    with pytest.raises(BadInput, match="name at least one file, folder or layer"):
        run(study)


def test_progress_counts_the_slices_of_all_volumes_and_never_falls(study, tmp_path, make_volume, monkeypatch):
    monkeypatch.setattr("napari_sortingloss.study.exchange.add._EVERY", 0.0)
    for name in ("a", "b"):
        data = make_volume(SHAPE, "uint16")
        (tmp_path / "v").mkdir(exist_ok=True)
        save(tmp_path / "v" / f"{name}.npy", data)
    events = [e for e in run(study, tmp_path / "v") if isinstance(e, Progress)]
    assert {e.total for e in events} == {0, 2 * SHAPE[0]}
    done = [e.done for e in events]
    assert done == sorted(done)
    assert done[-1] == 2 * SHAPE[0]
    said = list(dict.fromkeys(e.what for e in events))
    assert said == [
        "looking at the files",
        "a (1 of 2): measuring intensities",
        "a (1 of 2): writing",
        "b (2 of 2): measuring intensities",
        "b (2 of 2): writing",
        "done",
    ]


def test_a_damaged_compressed_file_is_refused_and_leaves_nothing(study, tmp_path, make_volume):
    import nibabel

    image = nibabel.Nifti1Image(make_volume(SHAPE).transpose(2, 1, 0), np.eye(4))
    raw = image.to_bytes()
    (tmp_path / "fish.nii.gz").write_bytes(gzip.compress(raw)[:-2000])
    with pytest.raises(UserError, match=r"fish\.nii\.gz"):
        run(study, tmp_path / "fish.nii.gz")
    assert not study.volumes
    assert not any((study.path / "volumes").iterdir())
