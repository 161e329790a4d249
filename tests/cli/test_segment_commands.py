"""From painted slices to scores on the command line: what each command prints, keeps and refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sortingloss.study import Study
from napari_sortingloss.study.annotations.reading import Annotations
from napari_sortingloss.study.classes import read_classes

TINY = ("--size", 32, "--batch", 2, "--steps", 2, "--device", "cpu", "--threads", 1, "--workers", 1)
VOXELS = ("--voxel-size", 0.4, 0.25, 0.3, "--unit", "mm", "--window", "0:255", "--json")


def labels_of(shape: tuple[int, int, int] = (24, 18, 30)) -> np.ndarray:
    """Two organs, neither of which is in every slice."""
    labels = np.zeros(shape, np.uint8)
    labels[2:20, 4:12, 5:15] = 1
    labels[8:22, 10:16, 12:26] = 2
    return labels


@pytest.fixture
def labelled(study_dir: Path, tmp_path: Path, make_volume: Callable[..., np.ndarray], run: Callable) -> Path:
    """A study of two volumes with reference labels and two classes."""
    np.save(tmp_path / "ref.npy", labels_of())
    run("new", study_dir)
    for seed, name in enumerate(("one", "two")):
        voxels = make_volume(seed=seed) // 2 + 60 * labels_of()
        np.save(tmp_path / f"{name}.npy", voxels.astype(np.uint8))
        done = run("add", study_dir, tmp_path / f"{name}.npy", "--reference", tmp_path / "ref.npy", *VOXELS)
        assert done.status == 0, done.err
    assert run("classes", study_dir, "--add", "shell", "core").status == 0
    return study_dir


@pytest.fixture
def annotated(labelled: Path, run: Callable) -> Path:
    done = run("annotate", labelled, "--from-reference", "--slices", 3, "--volumes", "one", "--json")
    assert done.status == 0, done.err
    return labelled


def test_the_whole_path_works_from_the_command_line(annotated: Path, tmp_path: Path, run: Callable) -> None:
    tuned = run("finetune", annotated, *TINY, "--json")
    assert tuned.status == 0, tuned.err
    result = tuned.json
    assert {"run", "metrics", "seconds", "steps", "validation"} <= set(result)

    longer = run("finetune", annotated, "--resume", result["run"], "--steps", 3, "--json")
    assert longer.status == 0, longer.err
    assert (longer.json["run"], longer.json["steps"]) == (result["run"], 3)

    predicted = run("predict", annotated, "--run", result["run"], "--device", "cpu", "--threads", 1, "--json")
    assert predicted.status == 0, predicted.err
    assert [v["name"] for v in predicted.json["volumes"]] == ["one", "two"]
    assert all({"seconds", "voxels_per_second"} <= set(v) for v in predicted.json["volumes"])

    scored = run("evaluate", annotated, "--run", result["run"], "--volumes", "two", "--json")
    assert scored.status == 0, scored.err
    scores = scored.json
    assert 0 <= scores["mean_iou"] <= scores["mean_dice"] <= 1
    assert set(scores["classes"]) == {"shell", "core"}
    (volume,) = scores["volumes"]
    assert (volume["name"], set(volume["iou"]), set(volume["dice"])) == (
        "two",
        {"shell", "core"},
        {"shell", "core"},
    )
    said = run("evaluate", annotated, "--run", result["run"], "--volumes", "two")
    assert f"mean IoU {scores['mean_iou']:.2f}" in said.out
    assert "shell" in said.out

    asked = run("suggest", annotated, "--run", result["run"], "--count", 2, "--device", "cpu", "--json")
    assert asked.status == 0, asked.err
    assert len(asked.json["slices"]) == 2
    assert all({"volume", "index", "reason", "score"} <= set(one) for one in asked.json["slices"])

    listed = run("list", annotated, "--json").json
    assert {v["name"]: [p["run"] for p in v["predictions"]] for v in listed["volumes"]} == {
        "one": [result["run"]],
        "two": [result["run"]],
    }
    said = run("list", annotated).out
    assert "3 complete" in said
    assert "mean IoU" in said

    target = tmp_path / "labels.tif"
    done = run("export", annotated, "two", "--what", "labels", "--to", target, "--json")
    assert done.status == 0, done.err
    written = tifffile.imread(target)
    assert written.shape == (24, 18, 30)
    assert set(np.unique(written)) <= {0, 1, 2}


def test_annotate_copies_the_reference_and_says_which_slices(labelled: Path, run: Callable) -> None:
    done = run("annotate", labelled, "--from-reference", "--slices", 2, "--json")
    assert done.status == 0, done.err
    assert [one["volume"] for one in done.json["slices"]] == ["one", "one", "two", "two"]
    found = Annotations(Study.open(labelled), "one")
    for one in done.json["slices"][:2]:
        assert found.status("z", one["index"]) == "complete"
        np.testing.assert_array_equal(found.read_slice("z", one["index"]), labels_of()[one["index"]])
    again = run("annotate", labelled, "--from-reference", "--slices", 2)
    assert "0 slices painted and marked complete; 4 were annotated before." in again.out


def test_labels_from_elsewhere_become_annotations_and_what_stays_is_said(
    annotated: Path, tmp_path: Path, run: Callable
) -> None:
    before = Annotations(Study.open(annotated), "one").labels().copy()
    other = np.where(labels_of() > 0, 2, 0).astype(np.uint8)
    np.save(tmp_path / "other.npy", other)
    done = run("import-labels", annotated, "one", tmp_path / "other.npy", "--json")
    assert done.status == 0, done.err
    assert done.json["overwritten"] == 0
    assert done.json["kept"] == int((before == 1).sum())
    after = Annotations(Study.open(annotated), "one").labels()
    np.testing.assert_array_equal(after[before > 0], before[before > 0])
    said = run("import-labels", annotated, "one", tmp_path / "other.npy", "--merge", "replace")
    assert "held another one" in said.out
    np.testing.assert_array_equal(Annotations(Study.open(annotated), "one").labels() == 2, other == 2)


def test_classes_are_changed_by_name(study: Path, run: Callable) -> None:
    assert "has no classes" in run("classes", study).out
    made = run(
        "classes", study, "--add", "skull", "brain", "--colour", "Brain=#cc79a7", "--key", "skull=s", "--json"
    )
    assert [(c["value"], c["name"], c["key"]) for c in made.json["classes"]] == [
        (1, "skull", "s"),
        (2, "brain", "2"),
    ]
    assert made.json["classes"][1]["color"] == "#cc79a7"
    done = run("classes", study, "--rename", "skull=cranium", "--remove", "brain", "--json")
    assert [c["name"] for c in done.json["classes"]] == ["cranium"]
    assert [c["name"] for c in done.json["removed"]] == ["brain"]
    assert "Taken out of use: brain (2)." in run("classes", study).out


def test_of_changes_to_the_classes_all_are_made_or_none(study: Path, run: Callable) -> None:
    run("classes", study, "--add", "skull")
    before = read_classes(Study.open(study))
    done = run("classes", study, "--add", "brain", "--colour", "skull=red")
    assert done.status == 2
    assert "'red' is no colour" in done.err
    assert read_classes(Study.open(study)) == before


def test_a_learning_curve_is_measured_drawn_and_gone_on_with(labelled: Path, run: Callable) -> None:
    asked = (
        "learning-curve",
        labelled,
        *TINY,
        "--seeds",
        1,
        "--slices",
        1,
        "--volumes",
        "one",
        "--test",
        "two",
    )
    done = run(*asked, "--json")
    assert done.status == 0, done.err
    (arm,) = done.json["arms"]
    assert (arm["init"], arm["points"][0]["annotated"]) == ("scratch", 1)
    picture = Path(done.json["plot"])
    assert picture.read_text().startswith("<svg")
    said = run(*asked)
    assert "1 seed, judged on two." in said.out
    assert len((picture.parent / "cells.jsonl").read_text().splitlines()) <= 2, "it was measured again"


def _pretrained(study: Path, run: Callable) -> str:
    tiny = ("--size", 32, "--slices", 4, "--steps", 1, "--device", "cpu", "--threads", 1)
    return str(run("pretrain", study, *tiny, "--json").json["run"])


def _shifted(study: Path, run: Callable) -> None:
    np.save(study.parent / "small.npy", np.ones((3, 4, 5), np.uint8))


def _nothing(study: Path, run: Callable) -> None:
    return None


MISTAKES: list[tuple[str, Callable[[Path, Callable], Any], list[str], str]] = [
    ("a class that is not there", _nothing, ["classes", "{study}", "--remove", "liver"], "the study has shell, core"),
    ("a class without a colour", _nothing, ["classes", "{study}", "--colour", "shell"], "NAME=#rrggbb"),
    ("a class twice", _nothing, ["classes", "{study}", "--add", "Shell"], "already"),
    ("annotating from nowhere", _nothing, ["annotate", "{study}", "--slices", "2"], "from-reference"),
    ("annotating nothing", _nothing, ["annotate", "{study}", "--from-reference"], "how many slices"),
    ("annotating an unknown volume", _nothing,
     ["annotate", "{study}", "--from-reference", "--slices", "1", "--volumes", "fish"], "fish"),
    ("fine-tuning on nothing", _nothing, ["finetune", "{study}"], "annotat"),
    ("fine-tuning from an unknown run", _nothing, ["finetune", "{study}", "--init", "sorting-0"], "sorting-0"),
    ("no fine-tuning to resume", _nothing, ["finetune", "{study}", "--resume", "segmentation-0"], "segmentation-0"),
    ("predicting by an unknown run", _nothing, ["predict", "{study}", "--run", "segmentation-0"], "segmentation-0"),
    ("predicting by a run that cannot", _pretrained, ["predict", "{study}", "--run", "sorting"], "sorting"),
    ("predicting along no axis", _nothing, ["predict", "{study}", "--run", "s", "--axes", "t"], "axes"),
    ("scores of an unknown run", _nothing, ["evaluate", "{study}", "--run", "segmentation-0"], "segmentation-0"),
    ("suggestions of an unknown run", _nothing, ["suggest", "{study}", "--run", "sorting-0"], "sorting-0"),
    ("labels of another shape", _shifted, ["import-labels", "{study}", "one", "{study}/../small.npy"], "small.npy"),
    ("labels from nowhere", _nothing, ["import-labels", "{study}", "one", "{study}/../no.npy"], "no.npy"),
    ("labels that nobody predicted", _nothing,
     ["export", "{study}", "one", "--what", "labels", "--to", "{study}/../a.tif"], "predict"),
    ("a curve of an unknown run", _nothing, ["learning-curve", "{study}", "--inits", "sorting-0"], "sorting-0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"), [c[1:] for c in MISTAKES], ids=[c[0] for c in MISTAKES]
)
def test_a_mistake_gets_one_sentence(
    spoil: Callable[[Path, Callable], Any], arguments: list[str], said: str, labelled: Path, run: Callable
) -> None:
    spoil(labelled, run)
    before = (labelled / "study.json").read_bytes()
    done = run(*[a.replace("{study}", str(labelled)) for a in arguments])
    assert (done.status, done.out) == (2, ""), done.err
    (line,) = done.err.strip().splitlines()
    assert said.lower() in line.lower()
    assert "Traceback" not in line
    assert (labelled / "study.json").read_bytes() == before


def test_an_interrupted_fine_tuning_keeps_its_state(
    annotated: Path, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_sortingloss.cli import console

    def interrupted(self: object, event: object) -> None:
        from napari_sortingloss.events import Metrics

        if isinstance(event, Metrics):
            raise KeyboardInterrupt

    monkeypatch.setattr(console._Lines, "show", interrupted)
    done = run("finetune", annotated, *TINY[:4], "--steps", 50, *TINY[6:])
    assert done.status == 130
    assert "kept" in done.err
    (tuned,) = Study.open(annotated).runs()
    assert tuned.state() == "stopped"
    monkeypatch.undo()
    resumed = run("finetune", annotated, "--resume", tuned.id, "--steps", 3, "--json")
    assert resumed.status == 0, resumed.err


@pytest.mark.parametrize("command", ["classes", "annotate", "suggest", "finetune", "predict", "evaluate"])
def test_every_command_has_help_and_a_json_option(command: str, run: Callable) -> None:
    done = run(command, "--help")
    assert done.status == 0
    assert "--json" in done.out
