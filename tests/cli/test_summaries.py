"""What a person reads when a command is done."""

from __future__ import annotations

from napari_sortingloss.cli import summaries

TRAINED = {
    "run": "sorting-1",
    "task": "sorting",
    "steps": 20,
    "seconds": 30.0,
    "slices_per_second": 12.0,
    "metrics": {"loss": 0.2, "mean_displacement": 2.0},
}


def said_of(**validation: float) -> str:
    lines = summaries.pretrain({**TRAINED, "validation": validation}).splitlines()
    return next(line for line in lines if line.startswith("validation: "))


def test_the_summary_of_a_run_says_where_a_validation_volume_was_left_out():
    figures = {"mean_displacement": 2.5, "random_displacement": 5.0}
    whole = said_of(**figures, left_out=0.0)
    assert whole == "validation: mean displacement 2.5 (random 5)"
    assert said_of(**figures, left_out=0.5, volumes=2.0) == (
        f"{whole}, on 1 of 2 volumes; the rest looks stored upside down"
    )


def test_the_summary_of_a_run_says_where_every_validation_volume_was_left_out():
    assert said_of(left_out=1.0) == "validation: nothing; every volume looks stored upside down"
