"""The part of the table of commands that goes from painted slices to a segmented volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sortingloss.cli.options import NAME, RESUME, STUDY, options_of, positional

if TYPE_CHECKING:
    from napari_sortingloss.cli.table import Entry

SETTLED = ("field_of_view", "classes", "learnt", "kept", "predicted")
"""Settings of fine-tuning that a run settles by itself."""


def segment_entries() -> list[Entry]:
    """Return the commands in the order in which a study goes through them."""
    from napari_sortingloss.cli import segment_commands as commands
    from napari_sortingloss.cli.classes_command import ClassesSettings
    from napari_sortingloss.cli.table import Entry
    from napari_sortingloss.segment.annotate import AnnotateSettings
    from napari_sortingloss.segment.evaluate import EvaluateSettings
    from napari_sortingloss.segment.learning_curve import SETTLED_HERE, LearningCurveSettings
    from napari_sortingloss.segment.predict import PredictSettings
    from napari_sortingloss.segment.settings import FinetuneSettings
    from napari_sortingloss.segment.suggest import SuggestSettings
    from napari_sortingloss.study.import_labels_settings import ImportLabelsSettings

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
