"""Saves a run: the last checkpoint, the best one, and the encoder for whoever uses it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sortingloss.events import Saved
from napari_sortingloss.study.runs.live_preview import remove_preview_after
from napari_sortingloss.training import failures
from napari_sortingloss.training.curves import Curve
from napari_sortingloss.training.export import export_encoder, export_model
from napari_sortingloss.training.loop import checkpoints
from napari_sortingloss.training.loop.batch_pictures import remove_pictures_after
from napari_sortingloss.training.loop.engine import Engine

if TYPE_CHECKING:
    from napari_sortingloss.networks.weights import InputSpec
    from napari_sortingloss.study import RunWriter


def begin_anew_or_again(writer: RunWriter | None, resume: bool, steps: int) -> checkpoints.Checkpoint | None:
    """Clear away what a killed program left of a run, and go back to its last checkpoint where it is resumed.

    Parameters
    ----------
    writer : RunWriter or None
        The run, held for writing; None in a process that does not write.
    resume : bool
    steps : int
        How many the run is to have in the end; 0 for a run without an end.

    Returns
    -------
    Checkpoint or None
        Where to go on from; the run's log and pictures behind it are gone.

    Raises
    ------
    BadSetting
        If all steps are done.
    BadInput
        If there is no sound checkpoint.
    """
    if writer is None:
        return None
    folder = writer.run.path
    checkpoints.remove_leftovers(folder)
    if not resume:
        return None
    found = checkpoints.load_checkpoint(folder)
    if steps and found.step >= steps:
        raise failures.all_steps_done(folder.name, found.step)
    writer.rewind(found.step)
    remove_pictures_after(folder, found.step)
    remove_preview_after(folder, found.step)
    return found


class Keeper:
    """Knows what of a run is on disk.

    Parameters
    ----------
    folder : Path or None
        The run's folder; None in a process that does not write.
    main : Curve
        The figure by which the best checkpoint is chosen.
    whole : bool
        Whether the whole network is exported rather than its encoder.

    Attributes
    ----------
    saved : int
        The step of the last checkpoint; 0 for none.
    best : float or None
        The best value of the main figure so far.
    """

    def __init__(self, folder: Path | None, main: Curve, whole: bool = False) -> None:
        self._folder, self._main = folder, main
        self._export = export_model if whole else export_encoder
        self.saved = 0
        self.best: float | None = None

    def is_better(self, values: Mapping[str, float]) -> bool:
        """Return whether these figures are the best so far, and remember them if so; of equal ones the later are."""
        value = values.get(self._main.metric)
        if value is None or not (value == self.best or self._main.better(value, self.best)):
            return False
        self.best = value
        return True

    def save(
        self, engine: Engine, checkpoint: checkpoints.Checkpoint, spec: InputSpec, *, best: bool
    ) -> list[Saved]:
        """Write a checkpoint and, where it is the best or there was none yet, the encoder (or the network).

        Raises
        ------
        UserError
            If the weights are not finite, or the disk does not take them; what was saved before is kept.
        """
        self.saved = checkpoint.step
        if self._folder is None:
            return []
        if not engine.is_finite():
            raise failures.not_a_number(checkpoint.step)
        path = checkpoints.save_checkpoint(self._folder, checkpoint)
        saved = [Saved(step=checkpoint.step, file=path.name)]
        if best:
            path = checkpoints.keep_as_best(self._folder)
            saved.append(Saved(step=checkpoint.step, file=path.name, best=True))
        if best or not checkpoints.path_of(self._folder, "best").is_file():
            self._export(self._folder, engine.network, spec)
        return saved
