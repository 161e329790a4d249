"""The study: a folder with volumes, runs and results in open formats, and the only way to them."""

from napari_sortingloss.disk.lazy import LazyArray
from napari_sortingloss.errors import StudyError
from napari_sortingloss.study.annotations.files import BELONGING as ANNOTATIONS
from napari_sortingloss.study.belongings import BELONGINGS
from napari_sortingloss.study.crops.settings import CropSettings
from napari_sortingloss.study.exchange.add_settings import AddSettings
from napari_sortingloss.study.exchange.export import ExportSettings
from napari_sortingloss.study.folder import Study
from napari_sortingloss.study.localizations.reading import BELONGING as LOCALIZATIONS
from napari_sortingloss.study.predictions.writer import BELONGING as PREDICTIONS
from napari_sortingloss.study.runs.event_log import EventLog
from napari_sortingloss.study.runs.run import Run, RunState
from napari_sortingloss.study.runs.writer import RunWriter
from napari_sortingloss.study.schema import AXES, SCHEMA_VERSION, Axis, Direction, VolumeRecord
from napari_sortingloss.study.volume import Volume
from napari_sortingloss.study.volumes.references import BELONGING as REFERENCES
from napari_sortingloss.study.volumes.writer import VolumeWriter

BELONGINGS += (LOCALIZATIONS, ANNOTATIONS, PREDICTIONS, REFERENCES)
# A kind of thing that a volume can have is registered here, so that the folder knows none of them.

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
