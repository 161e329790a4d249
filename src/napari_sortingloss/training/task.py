"""The interface of a task: all that the training loop asks of whatever it trains.

A task is one file. It says how a batch is drawn, which network is trained, what the loss is and which figures are
worth showing; the loop, the checkpoints, the devices, several processes and the curves are shared and never mention
a particular task. The same interface carries every kind of task:

SimCLR (two views of slices of all volumes, projector head)
    ``make_batch`` draws slices of *several* of the volumes it is given, augments each of them twice with the given
    generator and returns ``Batch({"first": (n, S, S), "second": (n, S, S)}, count=2 * n)``. ``build`` returns a module
    with ``encoder`` and ``projector``. ``loss`` sends both views through them and returns NT-Xent; the accuracy of
    finding the twin is a metric with chance 1 / (2 n - 1). Nothing else is needed.

A teacher-student method (MoCo v3, SimSiam, ASA)
    ``build`` returns a module that holds ``encoder`` (the student), ``teacher`` (a deep copy whose parameters have
    ``requires_grad=False``), projectors and predictor. ``loss`` uses both, the teacher under ``torch.no_grad``.
    ``after_step`` moves the teacher's parameters *and its buffers* (the statistics of batch-norm) towards the
    student's. Since the teacher is part of the network, checkpoints hold it, and since it needs no gradient,
    ``optimizer`` leaves it out. A momentum or a rate that changes over the run is a function of the step:
    ``after_step`` is told the step, and `PretextTask.set_rates` sets the rates before each one. Rounds that alternate
    (odd and even steps of ASA) ask ``step % 2`` in ``make_batch``.

A 3D task (jigsaw, relative patch location, masked recovery)
    ``make_batch`` reads blocks with ``volume.read_slab`` instead of slices and returns them as ``(n, d, h, w)``;
    ``build`` asks ``build_encoder(..., dims=3)``; `PretextTask.input_spec` is overridden to say ``dims=3``. The loop
    looks at no shape.

Fine-tuning for segmentation
    A task like any other whose ``make_batch`` also returns the label slices and a mask of what is known, and which
    overrides `PretextTask.validate` to sum intersections and unions over a volume before dividing.

Random numbers
    A batch is a pure function of ``(seed, step, rank)`` - and of the settings -, whatever thread makes it: draw from
    the generator handed in and from nothing else, and read no state of the task that changes during the run. Batches
    are made several steps ahead of the step that is trained, so a task that learns to mistrust a volume (say, one
    stored upside down) must not change which volumes are drawn; let ``loss`` weigh such a batch with 0 instead
    (``loss * 0.0``, never a missing gradient, which would stall the other processes). What the task remembers
    between steps for such a purpose goes into `PretextTask.state_dict`, and decisions are taken in
    `PretextTask.review`, which the loop calls at fixed steps: then a resumed run decides as the uninterrupted one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from napari_sortingloss.events import Notice, Split
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.training.settings import TrainSettings

if TYPE_CHECKING:
    from napari_sortingloss.networks.weights import InputSpec
    from napari_sortingloss.study import Study, Volume
    from napari_sortingloss.study.runs.live_preview import PreviewPicture, PreviewRequest

S = TypeVar("S", bound=TrainSettings)

__all__ = [
    "Batch",
    "Curve",
    "DeviceBatch",
    "Evaluation",
    "MatrixData",
    "PretextTask",
    "SnapshotData",
    "StepOutput",
]


@dataclass(frozen=True)
class Batch:
    """What a loader thread makes for one step.

    Attributes
    ----------
    arrays : mapping of str to ndarray
        Numbers for the network; the loop brings each to the device with its dtype unchanged (uint8 slices travel as
        uint8 and are scaled on the device).
    count : int
        How many slices (or blocks) it holds: the speed is reported in them.
    info : mapping
        What stays on the host, e.g. the name of the volume and the positions of its slices.
    """

    arrays: Mapping[str, np.ndarray]
    count: int
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeviceBatch:
    """A `Batch` on the device.

    Attributes
    ----------
    tensors : mapping of str to Tensor
        The arrays under the same names, on the device.
    info : mapping
        As in `Batch`.
    step : int
        The step it was made for; the first step of a run is 0. For validation the steps done so far.
    """

    tensors: Mapping[str, Tensor]
    info: Mapping[str, Any]
    step: int


@dataclass(frozen=True)
class SnapshotData:
    """A row of pictures that shows what the network makes of a batch.

    Attributes
    ----------
    tiles : ndarray
        uint8, (k, h, w) grey or (k, h, w, 3) RGB, in the order to show.
    captions : tuple of str
        One short caption a group of tiles, or none.
    correct : tuple of bool
        Whether the network is right about each group, or none.
    title : str
        What the row shows.
    group : int
        How many neighbouring tiles belong together; 2 for pairs.
    about : str
        What captions and signs mean, in a sentence.
    """

    tiles: np.ndarray
    captions: tuple[str, ...] = ()
    correct: tuple[bool, ...] = ()
    title: str = ""
    group: int = 1
    about: str = ""


@dataclass(frozen=True)
class MatrixData:
    """A table of counts: what was true (rows) against what the network said (columns).

    Attributes
    ----------
    counts : ndarray of int, shape (k, k)
    labels : tuple of str
        The names of the k classes.
    what : str
        What is told apart, e.g. ``"angle"``.
    """

    counts: np.ndarray
    labels: tuple[str, ...]
    what: str = ""


@dataclass(frozen=True)
class StepOutput:
    """What a task says about one batch.

    Attributes
    ----------
    loss : Tensor
        The scalar to descend on; float32.
    metrics : mapping of str to Tensor or float
        Figures to average and show, ``loss`` not among them (the loop adds it). Scalars *left on the device*:
        no ``.item()``, the loop fetches them when it reports. A figure unknown for this batch is left out.
    snapshot : callable or None
        Makes the picture of this batch when the loop wants one (every few seconds).
    """

    loss: Tensor
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)
    snapshot: Callable[[], SnapshotData] | None = None


@dataclass(frozen=True)
class Evaluation:
    """What a task is given to measure on one volume.

    Attributes
    ----------
    device : torch.device
        Where the network is.
    rng : numpy.random.Generator
        The same for the same volume at every validation.
    step : int
        Steps done so far.
    """

    device: torch.device
    rng: np.random.Generator
    step: int

    def put(self, batch: Batch) -> DeviceBatch:
        """Bring a batch to the device."""
        tensors = {name: torch.from_numpy(a).to(self.device) for name, a in batch.arrays.items()}
        return DeviceBatch(tensors, batch.info, self.step)


class PretextTask(ABC, Generic[S]):
    """A task: what is drawn, what is trained, what is shown.

    Parameters
    ----------
    settings : TrainSettings
        The settings common to all training and the task's own: an instance of `settings_class`.

    Attributes
    ----------
    name, title, help : str
        The name on the command line and in run ids, the name in a window, and one sentence.
    settings_class : type
        A frozen dataclass that inherits from `TrainSettings`; lives in a module that imports no torch.
    unused_parameters : bool
        Whether a step may leave trainable parameters without gradient (several processes need to know).
    whole_model : bool
        Whether the whole network is saved for use elsewhere, as ``model.safetensors``, instead of its encoder.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    help: ClassVar[str]
    settings_class: ClassVar[type[TrainSettings]]
    unused_parameters: bool = False
    whole_model: ClassVar[bool] = False

    def __init__(self, settings: S) -> None:
        self.settings = settings

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The figures worth drawing; they come from the settings, which a window knows without loading the task."""
        return self.settings.curves()

    @abstractmethod
    def check(self, volumes: Sequence[Volume]) -> None:
        """Look at the volumes (training and validation) before anything is built.

        Raises
        ------
        UserError
            If the task cannot work on them, e.g. because one has too few slices.
        """

    def prepare(
        self, study: Study, train: Sequence[Volume], validation: Sequence[Volume], *, resume: bool
    ) -> None:
        """Read what training needs besides volumes, e.g. annotations or the weights to begin with.

        Called once in every process, before `build`; with `resume` a checkpoint will replace the weights.

        Raises
        ------
        UserError
            If something is missing.
        """

    @abstractmethod
    def make_batch(self, volumes: Sequence[Volume], step: int, rng: np.random.Generator) -> Batch:
        """Draw and augment the batch of a training step; called in loader threads, see *Random numbers* above."""

    @abstractmethod
    def validation_batches(self, volume: Volume, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches on which a volume never trained on is measured: not augmented, the same every time."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Build the network, on the CPU; its attribute ``encoder`` is what is saved as ``encoder.safetensors``."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: DeviceBatch) -> StepOutput:
        """Run the network on a batch.

        Called in training mode for training and in evaluation mode without gradients for validation. It may call any
        part of the network: with several processes it runs inside the distributed forward.
        """

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer; Adam on everything that needs a gradient unless a task says otherwise.

        The network is on its device already.
        """
        parameters = [p for p in network.parameters() if p.requires_grad]
        return torch.optim.Adam(parameters, lr=self.settings.learning_rate, fused=True)

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Set the learning rates of the parameter groups before a step, as a function of the step alone."""

    def after_step(self, network: nn.Module, step: int) -> None:
        """Do what follows a step, e.g. move a teacher; called without gradients."""

    def review(self, step: int) -> Sequence[Notice]:
        """Look back at the last steps, decide, and say what a person should know.

        Called after every `napari_sortingloss.training.loop.loop.REVIEW_EVERY` steps, always at the same steps, in
        every process. The place for ``.item()``.
        """
        return ()

    def smaller(self) -> str | None:
        """Lower the need for memory after the device ran out of it.

        Returns
        -------
        str or None
            What was changed, as the end of a sentence (``"trains on 8 slices at a time instead of 16"``), or ``None``
            when there is nothing left to lower. The change belongs into `state_dict`.
        """
        return None

    def validate(
        self, network: nn.Module, volume: Volume, evaluation: Evaluation
    ) -> Generator[None, None, Mapping[str, float]]:
        """Measure on one volume that is never trained on: a generator that returns the figures.

        The network is in evaluation mode, without gradients. Yield after each piece of work, so that the loop stays
        able to answer. By default the mean of ``loss`` and metrics over `validation_batches`.
        """
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for batch in self.validation_batches(volume, evaluation.rng):
            output = self.loss(network, evaluation.put(batch))
            for key, value in {"loss": output.loss, **output.metrics}.items():
                sums[key] = sums.get(key, 0.0) + float(value)
                counts[key] = counts.get(key, 0) + 1
            yield
        return {key: total / counts[key] for key, total in sums.items()}

    def pooled(self, parts: Sequence[Mapping[str, float]]) -> Mapping[str, float] | None:
        """Return the figures of all validation volumes together, for figures that are no mean over volumes.

        Parameters
        ----------
        parts : sequence of mapping
            What `validate` returned for each volume, from all processes.

        Returns
        -------
        mapping of str to float, or None
            ``None`` (the default) for the mean of each figure.
        """
        return None

    def preview(
        self, network: nn.Module, request: PreviewRequest | None, evaluation: Evaluation
    ) -> PreviewPicture | None:
        """Show what the network makes of a slice; called every few seconds, in evaluation mode without gradients.

        Parameters
        ----------
        network : torch.nn.Module
        request : PreviewRequest or None
            The slice that somebody looks at; None to choose one.
        evaluation : Evaluation

        Returns
        -------
        PreviewPicture or None
            ``None`` where there is nothing to show.
        """
        return None

    def take_matrix(self, split: Split) -> MatrixData | None:
        """Return what this process has counted on the volumes of a split since the last time, and start anew.

        For tasks that classify; asked after every `validate_every` steps and after the last, in every process, whose
        counts are then added up. The counts of training belong into `state_dict`.

        Returns
        -------
        MatrixData or None
            ``None`` for a task without classes, or if nothing was counted.
        """
        return None

    def achieved(self) -> Mapping[str, Any]:
        """Return what belongs into the run's result besides its figures, JSON-ready."""
        return {}

    def input_spec(self, volumes: Sequence[Volume]) -> InputSpec:
        """Say what input the encoder expects; stored with its weights."""
        from napari_sortingloss.training.export import input_spec

        return input_spec(self.settings, volumes)

    def state_dict(self) -> dict[str, Any]:
        """Return what the task remembers between steps, JSON-ready; goes into every checkpoint.

        A checkpoint can fall between two reviews: what waits for the next one belongs to it.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
