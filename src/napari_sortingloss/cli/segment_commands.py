"""The commands from painted slices to a segmented volume: open the study, run the job, say the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sortingloss.cli import summaries_segment as summaries
from napari_sortingloss.cli.classes_command import ClassesSettings, change_classes
from napari_sortingloss.cli.console import DONE, drive, follow, report
from napari_sortingloss.cli.options import as_tuples
from napari_sortingloss.study import Study


def classes(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """List and change what is told apart."""
    settings = ClassesSettings(**as_tuples(values))
    report(change_classes(Study.open(study), settings), as_json=json, summary=summaries.classes)
    return DONE


def import_labels(study: Path, volume: str, path: Path, /, *, json: bool = False, **values: Any) -> int:
    """Read painted labels from a file."""
    from napari_sortingloss.study.exchange.import_labels import import_labels as job
    from napari_sortingloss.study.exchange.import_labels_settings import ImportLabelsSettings

    settings = ImportLabelsSettings(**as_tuples(values), volume=volume, path=path)
    drive(job(Study.open(study), settings), as_json=json, summary=summaries.import_labels)
    return DONE


def annotate(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """Let a simulated annotator paint slices."""
    from napari_sortingloss.segment.annotator.simulated import AnnotateSettings
    from napari_sortingloss.segment.annotator.simulated import annotate as job

    settings = AnnotateSettings(**as_tuples(values))
    drive(job(Study.open(study), settings), as_json=json, summary=summaries.annotate)
    return DONE


def suggest(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """Say which slices to annotate next, and why."""
    from napari_sortingloss.segment.suggest.job import SuggestSettings
    from napari_sortingloss.segment.suggest.job import suggest as job

    settings = SuggestSettings(**as_tuples(values))
    drive(job(Study.open(study), settings), as_json=json, summary=summaries.suggest)
    return DONE


def finetune(
    study: Path, /, *, resume: str | None = None, name: str = "", json: bool = False, **values: Any
) -> int:
    """Train a segmentation network, or go on with one."""
    from napari_sortingloss.segment.finetune.job import finetune as job
    from napari_sortingloss.segment.settings import FinetuneSettings

    given = as_tuples(values)
    if resume is None:
        events = job(Study.open(study), FinetuneSettings(**given), name=name)
    else:
        events = job(Study.open(study), resume=resume, changes=given)
    drive(events, as_json=json, summary=summaries.finetune)
    return DONE


def predict(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """Label whole volumes."""
    from napari_sortingloss.segment.predict.job import PredictSettings
    from napari_sortingloss.segment.predict.job import predict as job

    settings = PredictSettings(**as_tuples(values))
    drive(job(Study.open(study), settings), as_json=json, summary=summaries.predict)
    return DONE


def evaluate(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """Score predictions against references."""
    from napari_sortingloss.segment.evaluate.job import EvaluateSettings
    from napari_sortingloss.segment.evaluate.job import evaluate as job

    settings = EvaluateSettings(**as_tuples(values))
    drive(job(Study.open(study), settings), as_json=json, summary=summaries.evaluate)
    return DONE


def learning_curve(study: Path, /, *, json: bool = False, **values: Any) -> int:
    """Measure how the scores grow with the number of annotated slices, and draw it."""
    from napari_sortingloss.cli.learning_curve_plot import write_plot
    from napari_sortingloss.segment.learning_curve.job import LearningCurveSettings
    from napari_sortingloss.segment.learning_curve.job import learning_curve as job

    settings = LearningCurveSettings.of(**as_tuples(values))
    result = dict(follow(job(Study.open(study), settings)))
    result["plot"] = str(write_plot(Path(result["folder"]), result))
    report(result, as_json=json, summary=summaries.learning_curve)
    return DONE
