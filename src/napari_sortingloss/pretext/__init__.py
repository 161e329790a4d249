"""The self-supervised tasks by name; a task is loaded only when it is asked for, so this imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from napari_sortingloss.errors import BadSetting
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.training.task import PretextTask

__all__ = [
    "TASKS",
    "TaskEntry",
    "can_order",
    "choose_task_that",
    "load_object",
    "locates_with",
    "settings_for",
    "task_class",
]

Part = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class TaskEntry:
    """One line of the registry: where a task is, and what can be done with a network that it has trained.

    Nothing outside this registry asks for a task by its name.

    Attributes
    ----------
    title : str
        The name in a window.
    help : str
        One sentence: what the network learns.
    task, settings : str
        ``module:Class`` of the task and of its settings; the module of the settings imports no torch.
    orders_slices : bool
        Whether its network gives each slice a score by which slices can be put in order (its ``head``, on the averaged
        features of its ``encoder``).
    locates_with : {"", "scores", "certainty"}
        By what its network says where the specimen is: how its scores depend on each place, or how sure it is of its
        answer for each slice across three axes. Empty if it does not say.
    dims : tuple of int
        Whether it learns from slices (2), blocks (3), or either.
    transfers : tuple of {"encoder", "decoder"}
        What of its network fine-tuning can begin with.
    """

    title: str
    help: str
    task: str
    settings: str
    orders_slices: bool = False
    locates_with: Literal["", "scores", "certainty"] = ""
    dims: tuple[Literal[2, 3], ...] = (2,)
    transfers: tuple[Part, ...] = ("encoder",)


TASKS: dict[str, TaskEntry] = {
    "sorting": TaskEntry(
        title="SortingLoss",
        help="The network learns to put shuffled slices of a volume back into order.",
        task="napari_sortingloss.pretext.sorting.task:SortingTask",
        settings="napari_sortingloss.pretext.sorting.settings:SortingSettings",
        orders_slices=True,
        locates_with="scores",
    ),
    "rotation": TaskEntry(
        title="RotationLoss",
        help="The network learns by which angle one slice was turned against another near it.",
        task="napari_sortingloss.pretext.rotation.task:RotationTask",
        settings="napari_sortingloss.pretext.rotation.settings:RotationSettings",
        locates_with="certainty",
    ),
}
"""The tasks; the first one is proposed. Another package adds its own: ``TASKS["mine"] = TaskEntry(...)``."""


def can_order(task: str) -> bool:
    """Return whether networks of a task put slices in order; False for a task that is not known here."""
    return task in TASKS and TASKS[task].orders_slices


def locates_with(task: str) -> str:
    """Return by what networks of a task say where the specimen is; empty if they do not."""
    return TASKS[task].locates_with if task in TASKS else ""


def choose_task_that(fits: Callable[[TaskEntry], Any]) -> str:
    """Say which runs to choose instead of one that cannot do what is asked, for a `BadSetting`."""
    return "choose a run of the task " + " or ".join(f"'{name}'" for name, one in TASKS.items() if fits(one))


def task_class(name: str) -> type[PretextTask[Any]]:
    """Load the class of a task; this imports torch.

    Raises
    ------
    BadSetting
        If there is no such task.
    """
    found: type[PretextTask[Any]] = load_object(_entry(name).task)
    return found


def settings_for(name: str) -> type[TrainSettings]:
    """Load the settings of a task: those common to all training and its own, in one frozen dataclass.

    Raises
    ------
    BadSetting
        If there is no such task.
    """
    found: type[TrainSettings] = load_object(_entry(name).settings)
    return found


def _entry(name: str) -> TaskEntry:
    if name not in TASKS:
        raise BadSetting(
            f"Cannot train the task '{name}'", "there is no such task", "choose " + " or ".join(TASKS)
        )
    return TASKS[name]


def load_object(path: str) -> Any:
    """Import what ``module:attribute`` names."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
