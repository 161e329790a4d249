"""The table of commands: what each is called, does and may be told; every option comes from the settings of its job."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_sortingloss.cli.options import NAME, RESUME, STUDY, option, options_of, positional


@dataclass(frozen=True)
class Entry:
    """One command.

    Attributes
    ----------
    name : str
    body : callable
        See `napari_sortingloss.cli.options.command`.
    about : str
        The first paragraph of its help.
    parameters : list of inspect.Parameter
        Without ``--json``, which every command has.
    """

    name: str
    body: Callable[..., Any]
    about: str
    parameters: list[inspect.Parameter]


def entries(task: str) -> list[Entry]:
    """Return all commands in the order in which a study goes through them.

    Parameters
    ----------
    task : str
        The pretext task whose options ``pretrain`` has.
    """
    from napari_sortingloss.cli import commands
    from napari_sortingloss.cli.demo_settings import DemoSettings
    from napari_sortingloss.cli.table_segment import segment_entries
    from napari_sortingloss.localize import LocalizeSettings
    from napari_sortingloss.pretext import TASKS, settings_for
    from napari_sortingloss.pretext.order import OrderSettings
    from napari_sortingloss.study.add_settings import AddSettings
    from napari_sortingloss.study.crop_settings import CropSettings
    from napari_sortingloss.study.export import ExportSettings

    return [
        Entry(
            "demo",
            commands.demo,
            "The whole job on a sample study of six phantom fish: pre-train, order the slices, find and crop the fish, "
            "annotate a few slices, fine-tune, predict whole fish, score them, write a report.",
            [
                positional("study", Path | None, "Where to put the sample study; ./demo-study if not given.", default=None),
                *options_of(DemoSettings),
                option("gui", bool, True, "Open napari on the result, where there is a display."),
            ],
        ),
        Entry("new", commands.new, "Make an empty study.", [STUDY]),
        Entry(
            "add",
            commands.add,
            "Read files or folders of any supported format into 8-bit volumes of the study.",
            [STUDY, positional("paths", Path, "Files or folders.", many=True), *options_of(AddSettings)],
        ),
        Entry(
            "list",
            commands.show,
            "Say what is in a study: volumes, their annotated slices and predictions, and runs.",
            [STUDY],
        ),
        Entry(
            "pretrain",
            commands.pretrain,
            "Pre-train an encoder on the unlabelled slices. A stopped or killed run goes on with --resume.",
            [
                STUDY,
                option("task", Literal[tuple(TASKS)], task, "The self-supervised task; it decides which options there are."),
                *options_of(settings_for(task)),
                RESUME,
                NAME,
            ],
        ),
        Entry(
            "order",
            commands.order,
            "Predict the position of every slice of each volume; tells volumes that were stored upside down.",
            [STUDY, *options_of(OrderSettings)],
        ),
        Entry(
            "localize",
            commands.localize,
            "Find the specimen in each volume, without labels: uncertainty, region, hull and box.",
            [STUDY, *options_of(LocalizeSettings)],
        ),
        Entry(
            "crop",
            commands.crop,
            "Cut volumes to the boxes of their specimens: new volumes that remember where they were cut from.",
            [
                STUDY,
                positional("volumes", str, "The volumes to cut, by name or pattern.", many=True),
                *options_of(CropSettings, without=("volumes",)),
            ],
        ),
        *segment_entries(),
        Entry(
            "export",
            commands.export,
            "Write a volume, the part in its box, its uncertainty, labels or surfaces to a file; the suffix chooses the format "
            "(.tif, .ome.tif, .nii, .nii.gz, .nrrd, .seg.nrrd, .ome.zarr; surfaces .ply, .stl, .obj).",
            [STUDY, positional("volume", str, "The volume's name."), *options_of(ExportSettings)],
        ),
    ]  # fmt: skip
