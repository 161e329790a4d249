"""localize, crop and export of what was found, from the command line."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sortingloss.events import Event, Notice, Result
from napari_sortingloss.localize import LocalizeSettings
from napari_sortingloss.study import Study
from napari_sortingloss.study.localizations.reading import (
    Localization,
    LocalizationWriter,
    localization_path,
    update_localization,
)

RUN = "sorting-261121-093000"
BOX = ((2, 20), (3, 17), (5, 25))
NOTHING = ((0, 0), (0, 0), (0, 0))
GRID = {"shape": [12, 3, 5], "scale": [2.0, 6.0, 6.0], "offset": [0.5, 2.5, 2.5]}


def find(study: Path, volume: str = "scan", box: Any = BOX, **more: Any) -> None:
    """Store what a localisation would have found."""
    opened = Study.open(study)
    found = Localization(
        volume=volume, run=RUN, created="2026-11-21T09:30:00+00:00", shape=(24, 18, 30), box=box, found=box
    )
    with LocalizationWriter(opened, volume, RUN) as writer:
        writer.uncertainty(np.arange(180, dtype=np.float32).reshape(12, 3, 5), GRID)
        writer.commit(found.replace(**more))


@pytest.fixture
def localized(study: Path) -> Path:
    find(study)
    return study


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> list[LocalizeSettings]:
    """A job that finds the same without a network, and the settings that it was given."""
    given: list[LocalizeSettings] = []

    def localize(study: Study, settings: LocalizeSettings) -> Iterator[Event]:
        given.append(settings)
        yield Notice(message="scan: the grid is coarse.", level="warning")
        kept = 18 * 14 * 20 / (24 * 18 * 30)
        common = {
            "seconds": 1.4,
            "threshold": 0.3,
            "fraction": 0.1,
            "statistic": "variance",
            "status": "found",
        }
        yield Result(
            value={
                "run": RUN,
                "volumes": [
                    {"name": "scan", "box": [list(s) for s in BOX], "removed_fraction": 1 - kept, "kept_fraction": kept,
                     "warnings": ["the grid is coarse"], **common},
                    {"name": "empty", "box": [[0, 0]] * 3, "removed_fraction": 0.0, "kept_fraction": 0.0,
                     "warnings": ["nothing was found"], **common},
                ],
            }
        )  # fmt: skip

    module = types.ModuleType("napari_sortingloss.localize.job")
    module.localize = localize  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "napari_sortingloss.localize.job", module)
    return given


def test_localize_hands_its_options_to_the_job(
    study: Path, job: list[LocalizeSettings], run: Callable
) -> None:
    done = run(
        "localize", study, "--run", "sorting", "--volumes", "scan", "x*", "--recipe", "published", "--grid", 16,
        "--fraction", 0.05, "--margin", 1.5, "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert job == [
        LocalizeSettings(
            run="sorting", volumes=("scan", "x*"), recipe="published", grid=16, fraction=0.05, margin=1.5
        )
    ]
    (volume, _) = done.json["volumes"]
    assert {"name", "box", "removed_fraction", "seconds"} <= set(volume)
    assert volume["box"] == [[2, 20], [3, 17], [5, 25]]


def test_localize_says_what_to_look_at_and_what_to_do_next(
    study: Path, job: list[LocalizeSettings], run: Callable
) -> None:
    done = run("localize", study, "--run", "sorting")
    lines = done.out.splitlines()
    assert lines[0].split() == ["volume", "box", "(z,", "y,", "x)", "kept", "removed", "took"]
    assert "2:20, 3:17, 5:25" in lines[1]
    assert "38.9%" in lines[1]
    assert "61.1%" in lines[1]
    assert lines[1].endswith("see the warning")
    assert lines[2].endswith("nothing found")
    assert "2 of 2 should be looked at" in lines[3]
    assert lines[4] == "Next: napari-sortingloss crop STUDY scan"
    assert "the grid is coarse" in done.err


def test_localize_needs_a_run(study: Path, run: Callable) -> None:
    done = run("localize", study)
    assert done.status == 2
    assert "--run" in done.err


def test_crop_cuts_the_voxels_and_says_where(localized: Path, run: Callable) -> None:
    done = run("crop", localized, "scan", "--margin", 1, "--json")
    assert done.status == 0, done.err
    (made,) = done.json["volumes"]
    assert made["name"] == "scan_crop"
    assert made["parent"] == "scan"
    assert made["shape"] == [20, 16, 22]
    assert made["offset"] == [1, 2, 4]
    assert made["box"] == [[1, 21], [2, 18], [4, 26]]
    study = Study.open(localized)
    np.testing.assert_array_equal(
        study.volume("scan_crop").read_slab(0, 20), study.volume("scan").read_slab(1, 21)[:, 2:18, 4:26]
    )


def test_crop_speaks_to_a_person_and_takes_patterns(localized: Path, scan: Path, run: Callable) -> None:
    run("add", localized, scan, "--name", "other")
    done = run("crop", localized, "*", "--run", RUN[:9])
    assert done.status == 0, done.err
    head, row = done.out.splitlines()
    assert head.split("  ")[0] == "volume"
    assert row.startswith("scan_crop  scan")
    assert "18 x 14 x 20" in row
    assert "other is left out: it has not been localised yet." in done.err


def test_a_volume_that_cannot_be_cropped_among_others_is_bad_input(
    localized: Path, scan: Path, run: Callable
) -> None:
    run("add", localized, scan, "--name", "other")
    done = run("crop", localized, "scan", "other", "--json")
    assert done.status == 2
    assert [v["name"] for v in done.json["volumes"]] == ["scan_crop"]
    assert [f["volume"] for f in done.json["failed"]] == ["other"]


def test_list_shows_boxes_and_where_crops_were_cut(localized: Path, run: Callable) -> None:
    update_localization(
        Study.open(localized), "scan", RUN, status="accepted", box=((2, 20), (3, 17), (5, 24))
    )
    run("crop", localized, "scan")
    scan, crop = run("list", localized, "--json").json["volumes"]
    assert (scan["parent"], scan["offset"]) == (None, [0, 0, 0])
    assert scan["localization"] == {
        "run": RUN,
        "status": "accepted",
        "box": [[2, 20], [3, 17], [5, 24]],
        "removed_fraction": pytest.approx(1 - 18 * 14 * 19 / (24 * 18 * 30)),
        "adjusted": True,
    }
    assert (crop["parent"], crop["offset"], crop["localization"]) == ("scan", [2, 3, 5], None)
    said = run("list", localized).out
    assert "accepted, adjusted (removes 63%)" in said
    assert "scan (lies at 2, 3, 5)" in said
    Study.open(localized).remove_volume("scan")
    assert "a removed volume (lies at 2, 3, 5)" in run("list", localized).out


def test_list_leaves_out_columns_that_say_nothing(study: Path, run: Callable) -> None:
    assert "cut from" not in run("list", study).out
    find(study, box=NOTHING)
    said = run("list", study).out
    assert "nothing found" in said
    assert "cut from" not in said


def test_list_goes_on_where_a_localisation_is_damaged(localized: Path, run: Callable) -> None:
    (localization_path(Study.open(localized), "scan", RUN) / "region.json").write_text("{")
    done = run("list", localized, "--json")
    assert done.status == 0
    assert "damaged" in done.json["volumes"][0]["localization"]["problem"]
    assert "damaged" in run("list", localized).out


def test_export_writes_the_crop_and_the_uncertainty(localized: Path, tmp_path: Path, run: Callable) -> None:
    target = tmp_path / "part.ome.tif"
    done = run("export", localized, "scan", "--what", "crop", "--to", target, "--json")
    assert done.status == 0, done.err
    assert done.json["box"] == [[2, 20], [3, 17], [5, 25]]
    whole = Study.open(localized).volume("scan").read_slab(0, 24)
    np.testing.assert_array_equal(tifffile.imread(target), whole[2:20, 3:17, 5:25])
    done = run("export", localized, "scan", "--what", "uncertainty", "--to", tmp_path / "u.tif")
    assert done.status == 0, done.err
    assert tifffile.imread(tmp_path / "u.tif").dtype == np.float32
    done = run("export", localized, "scan", "--what", "crop", "--to", tmp_path / "a.nii", "--margin", 2)
    assert done.out.strip().endswith("a.nii, the voxels 0:22, 1:18, 3:27 of scan")


def _none(study: Path) -> None:
    return None


def _damaged(study: Path) -> None:
    find(study)
    (localization_path(Study.open(study), "scan", RUN) / "region.json").write_text("{ not json")


def _newer(study: Path) -> None:
    find(study)
    file = localization_path(Study.open(study), "scan", RUN) / "region.json"
    file.write_text(file.read_text().replace('"schema_version": 1', '"schema_version": 9'))


def _empty(study: Path) -> None:
    find(study, box=NOTHING)


def _skipped(study: Path) -> None:
    find(study, status="skipped")


CROP, EXPORT = (
    ["crop", "{study}", "scan"],
    ["export", "{study}", "scan", "--to", "{study}/../a.tif", "--what"],
)

MISTAKES = [
    ("crop of nothing", _none, ["crop", "{study}"], "no volume was named"),
    ("crop of an unknown volume", _none, ["crop", "{study}", "fish"], "Cannot find volume 'fish'"),
    ("crop before localising", _none, CROP, "has not been localised yet"),
    ("crop by another run", find, [*CROP, "--run", "rotation"], f"it was localised by {RUN}"),
    ("crop of a damaged region", _damaged, CROP, "damaged"),
    ("crop of a newer region", _newer, CROP, "update napari-sortingloss"),
    ("crop where nothing was found", _empty, CROP, "found no specimen"),
    ("crop of a skipped box", _skipped, CROP, "accept the box first"),
    ("crop with a margin below zero", find, [*CROP, "--margin", "-1"], "margin"),
    ("crop with a margin of no sense", find, [*CROP, "--margin", "much"], "much"),
    ("export before localising", _none, [*EXPORT, "crop"], "has not been localised yet"),
    ("export of a damaged region", _damaged, [*EXPORT, "uncertainty"], "damaged"),
    ("export of no such thing", find, [*EXPORT, "bones"], "bones"),
    ("a surface in a file for voxels", find, [*EXPORT, "hull"], ".ply"),
    ("margin of the uncertainty", find, [*EXPORT, "uncertainty", "--margin", "3"], "option 'margin'"),
    ("localize in a recipe of no sense", _none, ["localize", "{study}", "--run", "s", "--recipe", "x"], "recipe"),
    ("localize with too large a fraction", _none, ["localize", "{study}", "--run", "s", "--fraction", "3"], "fraction"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"), [c[1:] for c in MISTAKES], ids=[c[0] for c in MISTAKES]
)
def test_a_mistake_is_refused_in_one_sentence(
    spoil: Callable[[Path], None],
    arguments: list[str],
    said: str,
    study: Path,
    job: list[LocalizeSettings],
    run: Callable,
) -> None:
    spoil(study)
    before = (study / "study.json").read_bytes()
    done = run(*[a.replace("{study}", str(study)) for a in arguments])
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.strip().splitlines()
    assert said in line
    assert "Traceback" not in line
    assert (study / "study.json").read_bytes() == before
    assert job == []
