"""The study: a folder with volumes, runs and results in open formats, and the only way to them."""

from napari_sortingloss.errors import StudyError
from napari_sortingloss.study import annotation_files, localizations, prediction_writer, references
from napari_sortingloss.study.add_settings import AddSettings
from napari_sortingloss.study.belongings import BELONGINGS
from napari_sortingloss.study.crop_settings import CropSettings
from napari_sortingloss.study.export import ExportSettings
from napari_sortingloss.study.folder import Study
from napari_sortingloss.study.lazy import LazyArray
from napari_sortingloss.study.run_log import EventLog
from napari_sortingloss.study.run_writer import RunWriter
from napari_sortingloss.study.runs import Run, RunState
from napari_sortingloss.study.schema import AXES, SCHEMA_VERSION, Axis, Direction, VolumeRecord
from napari_sortingloss.study.store import VolumeWriter
from napari_sortingloss.study.volume import Volume

BELONGINGS += [
    kind.BELONGING for kind in (localizations, annotation_files, prediction_writer, references)
]  # a kind of thing that a volume can have is registered here, so that the folder knows none of them

__all__ = [
    "AXES",
    "SCHEMA_VERSION",
    "AddSettings",
    "Axis",
    "CropSettings",
    "Direction",
    "EventLog",
    "ExportSettings",
    "LazyArray",
    "Run",
    "RunState",
    "RunWriter",
    "Study",
    "StudyError",
    "Volume",
    "VolumeRecord",
    "VolumeWriter",
]
