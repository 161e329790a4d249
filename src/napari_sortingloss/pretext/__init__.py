"""The self-supervised tasks by name; a task is loaded only when it is asked for, so this imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.pretext.order import OrderSettings
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.training.task import PretextTask

__all__ = ["TASKS", "OrderSettings", "TaskEntry", "settings_for", "task_class"]


@dataclass(frozen=True)
class TaskEntry:
    """One line of the registry.

    Attributes
    ----------
    title : str
        The name in a window.
    help : str
        One sentence: what the network learns.
    task, settings : str
        ``module:Class`` of the task and of its settings; the module of the settings imports no torch.
    """

    title: str
    help: str
    task: str
    settings: str


TASKS: Mapping[str, TaskEntry] = MappingProxyType(
    {
        "sorting": TaskEntry(
            title="SortingLoss",
            help="The network learns to put shuffled slices of a volume back into order.",
            task="napari_sortingloss.pretext.sorting:SortingTask",
            settings="napari_sortingloss.pretext.sorting_settings:SortingSettings",
        ),
        "rotation": TaskEntry(
            title="RotationLoss",
            help="The network learns by which angle one slice was turned against another near it.",
            task="napari_sortingloss.pretext.rotation:RotationTask",
            settings="napari_sortingloss.pretext.rotation_settings:RotationSettings",
        ),
    }
)


def task_class(name: str) -> type[PretextTask[Any]]:
    """Load the class of a task; this imports torch.

    Raises
    ------
    BadSetting
        If there is no such task.
    """
    found: type[PretextTask[Any]] = _load(_entry(name).task)
    return found


def settings_for(name: str) -> type[TrainSettings]:
    """Load the settings of a task: those common to all training and its own, in one frozen dataclass.

    Raises
    ------
    BadSetting
        If there is no such task.
    """
    found: type[TrainSettings] = _load(_entry(name).settings)
    return found


def _entry(name: str) -> TaskEntry:
    if name not in TASKS:
        raise BadSetting(
            f"Cannot train the task '{name}'", "there is no such task", "choose " + " or ".join(TASKS)
        )
    return TASKS[name]


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
