"""What each command prints and how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sortingloss.study import Study

TINY = ("--size", 32, "--slices", 4, "--steps", 4, "--device", "cpu", "--threads", 1)


def test_new_makes_a_study_that_opens(study_dir: Path, run: Callable) -> None:
    done = run("new", study_dir, "--json")
    assert done.status == 0
    assert done.json == {"study": str(study_dir)}
    assert Study.open(study_dir).volumes == {}


def test_add_reports_what_the_contract_asks_for(study_dir: Path, scan: Path, run: Callable) -> None:
    run("new", study_dir)
    done = run(
        "add", study_dir, scan, "--json", "--window", "100:50000", "--direction", "-",
        "--voxel-size", 0.4, 0.25, 0.3, "--unit", "mm",
    )  # fmt: skip
    (volume,) = done.json["volumes"]
    assert done.status == 0
    assert volume["name"] == "scan"
    assert volume["shape"] == [24, 18, 30]
    assert volume["voxel_size"] == [0.4, 0.25, 0.3]
    assert (volume["unit"], volume["axis"], volume["direction"]) == ("mm", "z", "-")
    assert volume["window"] == [100, 50000]
    assert volume["seconds"] >= 0


def test_a_negative_window_is_a_value_not_an_option(study_dir: Path, tmp_path: Path, run: Callable) -> None:
    volume = np.random.default_rng(0).integers(-1000, 600, (6, 7, 8)).astype(np.int16)
    np.save(tmp_path / "hu.npy", volume)
    run("new", study_dir)
    done = run("add", study_dir, tmp_path / "hu.npy", "--window", "-900:500", "--json")
    assert done.status == 0, done.err
    assert done.json["volumes"][0]["window"] == [-900, 500]


def test_one_bad_file_does_not_cost_the_good_ones(
    study_dir: Path, scan: Path, tmp_path: Path, run: Callable
) -> None:
    (tmp_path / "broken.tif").write_bytes(b"")
    run("new", study_dir)
    done = run("add", study_dir, scan, tmp_path / "broken.tif", "--json")
    assert done.status == 2
    assert [v["name"] for v in done.json["volumes"]] == ["scan"]
    assert "broken.tif" in done.err


def test_list_names_volumes_and_runs(study: Path, run: Callable) -> None:
    done = run("list", study, "--json")
    assert [v["name"] for v in done.json["volumes"]] == ["scan"]
    assert done.json["runs"] == []


def test_list_speaks_to_a_person_without_json(study: Path, run: Callable) -> None:
    done = run("list", study)
    assert "24 x 18 x 30" in done.out
    assert "0.4 x 0.25 x 0.3 mm" in done.out


def test_export_writes_the_voxels_that_are_in_the_study(study: Path, tmp_path: Path, run: Callable) -> None:
    target = tmp_path / "out.ome.tif"
    done = run("export", study, "scan", "--to", target, "--json")
    assert done.json["path"] == str(target)
    np.testing.assert_array_equal(tifffile.imread(target), Study.open(study).volume("scan").read_slab(0, 24))


def test_pretrain_order_and_resume_work_from_the_command_line(study: Path, scan: Path, run: Callable) -> None:
    run("add", study, scan, "--name", "unseen")
    trained = run("pretrain", study, *TINY, "--validate", "unseen", "--name", "all fish", "--json")
    assert trained.status == 0, trained.err
    result = trained.json
    assert {"run", "steps", "seconds", "slices_per_second", "metrics", "validation"} <= set(result)
    assert result["validation"]["random_displacement"] == pytest.approx((4**2 - 1) / 12)

    ordered = run("order", study, "--run", "all fish", "--json")
    assert ordered.status == 0, ordered.err
    assert {v["name"] for v in ordered.json["volumes"]} == {"scan", "unseen"}
    keys = {"name", "mean_displacement", "random_displacement", "spearman", "flipped"}
    assert all(keys <= set(v) for v in ordered.json["volumes"])

    assert (
        run("order", study, "--run", result["run"])
        .out.rstrip()
        .splitlines()[-1]
        .startswith("Stored upside down:")
    )

    longer = run("pretrain", study, "--resume", "all fish", "--steps", 6, "--json")
    assert longer.status == 0, longer.err
    assert longer.json["steps"] == 6
    listed = run("list", study, "--json").json["runs"]
    assert [(r["run"], r["name"], r["state"], r["step"]) for r in listed] == [
        (result["run"], "all fish", "finished", 6)
    ]
    assert "all fish" in run("list", study).out
    again = run("pretrain", study, *TINY, "--name", "ALL fish")
    assert again.status == 2
    assert f"'{result['run']}' has that name" in again.err


def test_json_leaves_nothing_else_on_standard_output(study: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "napari_sortingloss", "list", str(study), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("{")
    assert done.stdout.rstrip().endswith("}")


@pytest.mark.parametrize("module", ["torch", "napari", "qtpy", "albumentations", "monai", "SimpleITK"])
def test_help_loads_nothing_heavy(module: str) -> None:
    code = (
        "import sys\nfrom napari_sortingloss.cli import main\n"
        "try:\n    main(['pretrain', '--help'])\nexcept SystemExit:\n    pass\n"
        f"assert {module!r} not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, napari_sortingloss; assert not {'torch', 'qtpy', 'napari', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
