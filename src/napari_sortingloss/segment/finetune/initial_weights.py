"""What a fine-tuning run begins with: fresh weights, a pre-trained encoder, or all of an earlier fine-tuning run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import BadInput, BadSetting
from napari_sortingloss.events import Notice
from napari_sortingloss.networks import encoder_info, segmenter_info
from napari_sortingloss.pretext import TASKS, choose_task_that
from napari_sortingloss.segment.settings import SCRATCH, FinetuneSettings

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sortingloss.networks.segmenters.build import SegmentationNetwork
    from napari_sortingloss.study import Run, Study
    from napari_sortingloss.training.loop.checkpoints import Which

KIND = "finetune"
"""The kind of run, see `napari_sortingloss.study.Run`."""


def settle_beginning(
    study: Study, settings: FinetuneSettings
) -> tuple[FinetuneSettings, dict[str, Any], list[Notice]]:
    """See that a run can begin with what its settings say.

    Parameters
    ----------
    study : Study
    settings : FinetuneSettings

    Returns
    -------
    settings : FinetuneSettings
        With the full id of the run to begin with, and its encoder.
    earlier : dict
        The settings of that run, if it was one of fine-tuning.
    notices : list of Notice

    Raises
    ------
    StudyError
        If the study has no such run.
    BadInput
        If the run is damaged or has no weights yet.
    BadSetting
        If it trained another network.
    """
    if settings.init == SCRATCH:
        return settings, {}, []
    run = study.run(settings.init)
    what = f"Cannot begin with the run '{run.id}'"
    if run.problem:
        raise BadInput(what, run.problem, "choose another run")
    earlier = run.kind == KIND
    _see_that_it_carries_over(run, what)
    if not (run.path / _file(run)).is_file():
        raise BadInput(what, "it has no weights yet", "wait for its first checkpoint, or choose another run")
    notices = []
    encoder = str(run.settings.get("encoder", settings.encoder))
    if encoder != settings.encoder:
        if settings.encoder != FinetuneSettings().encoder:
            raise BadSetting(
                what,
                f"it trained {encoder_info(encoder).title}, not {encoder_info(settings.encoder).title}",
                f"set the encoder to {encoder}, or choose another run",
            )
        notices.append(Notice(message=f"The encoder is {encoder_info(encoder).title}, as in '{run.id}'."))
    settings = settings.replace(init=run.id, encoder=encoder)
    if not earlier:
        return settings, {}, notices
    for name in ("network", "decoder_norm"):
        theirs = run.settings.get(name)
        if theirs != getattr(settings, name):
            title = (
                segmenter_info(str(theirs)).title if name == "network" else f"its decoder with {theirs}-norm"
            )
            raise BadSetting(
                what,
                f"it trained {title}",
                f"set {name.replace('_', ' ')} to {theirs}, or choose another run",
            )
    return settings.replace(take="all"), run.settings, notices


def _see_that_it_carries_over(run: Run, what: str) -> None:
    task = TASKS.get(run.task)
    if task is None:
        return
    why = ""
    if 2 not in task.dims:
        why = "it learnt from blocks, and slices are to be segmented"
    elif "encoder" not in task.transfers:
        why = f"{task.title} leaves nothing of its network for segmentation"
    if why:
        fits = choose_task_that(lambda one: 2 in one.dims and "encoder" in one.transfers)
        raise BadSetting(what, why, fits)


def class_notice(settings: FinetuneSettings, earlier: dict[str, Any]) -> list[Notice]:
    """Say which classes are new to the weights of an earlier fine-tuning run, and which are no longer wanted."""
    if not earlier:
        return []
    before = {found.value: found.name for found in FinetuneSettings.from_json(earlier).label_classes()}
    now = {found.value: found.name for found in settings.label_classes()}
    new = [name for value, name in now.items() if value not in before]
    gone = [name for value, name in before.items() if value not in now]
    parts = [f"learnt from the beginning: {', '.join(new)}"] if new else []
    parts += [f"no longer told apart: {', '.join(gone)}"] if gone else []
    if not parts:
        return []
    text = "; ".join(parts)
    return [Notice(message=f"The classes are not those of '{settings.init}'. {text[0].upper()}{text[1:]}.")]


def begin(network: SegmentationNetwork, study: Study, settings: FinetuneSettings) -> None:
    """Give a fresh network the weights that its run begins with.

    Raises
    ------
    BadInput
        If the weights are damaged or do not fit.
    StudyError
        If the run is no longer there.
    """
    if settings.init == SCRATCH:
        return
    run = study.run(settings.init)
    if run.kind == KIND:
        _take_all(network, run, settings)
        return
    from napari_sortingloss.networks.encoders.resnet import load_parts

    load_parts(network.encoder, _encoder_weights(run, settings.init_weights), settings.taken())


def _encoder_weights(run: Run, which: Which) -> Mapping[str, Tensor]:
    """Return the weights of a pre-trained encoder."""
    from napari_sortingloss.networks.weights import load_weights
    from napari_sortingloss.training.loop.checkpoints import load_checkpoint, path_of

    if which == "last" and path_of(run.path, "last").is_file():
        prefix = "encoder."
        network = load_checkpoint(run.path).network
        return {k.removeprefix(prefix): v for k, v in network.items() if k.startswith(prefix)}
    return load_weights(run.path / _file(run))[0]


def _take_all(network: SegmentationNetwork, run: Run, settings: FinetuneSettings) -> None:
    """Take over a whole network; of its head the rows of the classes that are still told apart."""
    import torch

    from napari_sortingloss.training.loop.checkpoints import best_or_last, load_checkpoint

    checkpoint = (best_or_last if settings.init_weights == "best" else load_checkpoint)(run.path)
    state = dict(checkpoint.network)
    before = [0, *(c.value for c in FinetuneSettings.from_json(checkpoint.settings).label_classes())]
    rows = [0, *(c.value for c in settings.label_classes())]
    own = network.state_dict()
    try:
        for key in ("head.weight", "head.bias"):
            fresh = own[key].clone()
            for row, value in enumerate(rows):
                if value in before:
                    fresh[row] = state[key][before.index(value)]
            state[key] = fresh
        with torch.no_grad():
            network.load_state_dict(state)
    except (RuntimeError, KeyError, IndexError) as error:
        raise BadInput(
            f"Cannot begin with the run '{run.id}'",
            "its weights do not fit the network that its settings describe",
            "choose another run",
        ) from error


def _file(run: Run) -> str:
    return "last.pt" if run.kind == KIND else "encoder.safetensors"
