"""The table of commands: what each is called, does and may be told; every option comes from the settings of its job."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from napari_sortingloss.cli.options import NAME, RESUME, STUDY, Entry, option, options_of, positional

SETTLED = ("field_of_view", "classes", "learnt", "kept", "predicted")
"""Settings of fine-tuning that a run settles by itself."""


def entries(task: str) -> list[Entry]:
    """Return all commands in the order in which a study goes through them.

    Parameters
    ----------
    task : str
        The pretext task whose options ``pretrain`` has.
    """
    from napari_sortingloss.cli import commands
    from napari_sortingloss.cli.demo_settings import DemoSettings
    from napari_sortingloss.localize import LocalizeSettings
    from napari_sortingloss.pretext import TASKS, settings_for
    from napari_sortingloss.pretext.jobs.order import OrderSettings
    from napari_sortingloss.study.crops.settings import CropSettings
    from napari_sortingloss.study.exchange.add_settings import AddSettings
    from napari_sortingloss.study.exchange.export import ExportSettings

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
        *_segment_entries(),
        Entry(
            "export",
            commands.export,
            "Write a volume, the part in its box, its uncertainty, labels or surfaces to a file; the suffix chooses the format "
            "(.tif, .ome.tif, .nii, .nii.gz, .nrrd, .seg.nrrd, .ome.zarr; surfaces .ply, .stl, .obj).",
            [STUDY, positional("volume", str, "The volume's name."), *options_of(ExportSettings)],
        ),
    ]  # fmt: skip


def _segment_entries() -> list[Entry]:
    """Return the commands in the order in which a study goes through them."""
    from napari_sortingloss.cli import segment_commands as commands
    from napari_sortingloss.cli.classes_command import ClassesSettings
    from napari_sortingloss.segment.annotator.simulated import AnnotateSettings
    from napari_sortingloss.segment.evaluate.job import EvaluateSettings
    from napari_sortingloss.segment.learning_curve.job import SETTLED_HERE, LearningCurveSettings
    from napari_sortingloss.segment.predict.job import PredictSettings
    from napari_sortingloss.segment.settings import FinetuneSettings
    from napari_sortingloss.segment.suggest.job import SuggestSettings
    from napari_sortingloss.study.exchange.import_labels_settings import ImportLabelsSettings

    return [
        Entry(
            "classes",
            commands.classes,
            "List what is told apart in a study, or change it: add, rename, colour, remove.",
            [STUDY, *options_of(ClassesSettings)],
        ),
        Entry(
            "import-labels",
            commands.import_labels,
            "Read labels that were painted elsewhere into the annotations of a volume; files as for volumes.",
            [
                STUDY,
                positional("volume", str, "The volume's name."),
                positional("path", Path, "The file with labels of the whole volume."),
                *options_of(ImportLabelsSettings, without=("path",)),
            ],
        ),
        Entry(
            "annotate",
            commands.annotate,
            "Let a simulated annotator paint a few slices: copy the reference there and mark them complete. People paint in "
            "napari.",
            [STUDY, *options_of(AnnotateSettings)],
        ),
        Entry(
            "suggest",
            commands.suggest,
            "Say which slices to annotate next, and why.",
            [STUDY, *options_of(SuggestSettings)],
        ),
        Entry(
            "finetune",
            commands.finetune,
            "Train a segmentation network on the annotated slices. A stopped or killed run goes on with --resume, also with "
            "slices that were annotated since.",
            [
                STUDY,
                *options_of(FinetuneSettings, without=SETTLED),
                RESUME,
                NAME,
            ],
        ),
        Entry(
            "predict",
            commands.predict,
            "Label whole volumes. What was interrupted goes on where it was.",
            [STUDY, *options_of(PredictSettings, without=("first",))],
        ),
        Entry(
            "evaluate",
            commands.evaluate,
            "Score predictions against reference labels: IoU, Dice and the distance of surfaces.",
            [STUDY, *options_of(EvaluateSettings)],
        ),
        Entry(
            "learning-curve",
            commands.learning_curve,
            "Measure on your own volumes whether pre-training helps: IoU against the number of annotated slices, from scratch "
            "and from pre-training runs, over several seeds.",
            [
                STUDY,
                *options_of(LearningCurveSettings),
                *options_of(FinetuneSettings, without=(*SETTLED, *SETTLED_HERE, *LearningCurveSettings.own)),
            ],
        ),
    ]  # fmt: skip
