"""What has been done with each volume of a study, read from its folder; not for the GUI thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.widgets.localized import Localized, best_of, children_of

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study, VolumeRecord


@dataclass(frozen=True)
class VolumeState:
    """What has been done with a volume, and what the newest order of its slices says about it.

    Attributes
    ----------
    pretrained, localized, annotated, segmented : bool
    checked : str
        What a person said of the localisation that counts: ``"found"`` (nothing yet), ``"accepted"`` or ``"skipped"``.
    kept : float or None
        The share of the volume in its box.
    crops : tuple of str
        The volumes cut out of it.
    flipped : bool
        The newest `order` that still applies says that it is stored the other way round.
    displacement, random_displacement : float or None
        Of that order, in slices.
    run : str
        The run of that order.
    """

    pretrained: bool = False
    localized: bool = False
    annotated: bool = False
    segmented: bool = False
    checked: str = ""
    kept: float | None = None
    crops: tuple[str, ...] = ()
    flipped: bool = False
    displacement: float | None = None
    random_displacement: float | None = None
    run: str = ""


_KEPT = ("axis", "direction", "flipped", "mean_displacement", "random_displacement")
_orders: dict[Path, tuple[tuple[int, int], dict[str, Mapping[str, Any]]]] = {}

STEPS = ("added", "pre-trained on", "localized", "annotated", "segmented")


def done_steps(state: VolumeState) -> tuple[bool, ...]:
    """Return which of `STEPS` are done."""
    return (True, state.pretrained, state.localized, state.annotated, state.segmented)


def dots(state: VolumeState) -> tuple[str, ...]:
    """Return a sign for each of `STEPS`: done, half done (a box was found and nobody has looked at it yet), or not."""
    signs = ["●" if done else "○" for done in done_steps(state)]
    if state.localized and state.checked == "found" and not state.crops:
        signs[STEPS.index("localized")] = "◐"
    return tuple(signs)


def about_steps(state: VolumeState) -> list[str]:
    """Return a line for each of `STEPS`, with what is known of it."""
    more = {"localized": _about_box(state)} if state.localized else {}
    return [f"{dot} {step}{more.get(step, '')}" for dot, step in zip(dots(state), STEPS, strict=True)]


def _about_box(state: VolumeState) -> str:
    said = {"found": "to be checked", "accepted": "accepted", "skipped": "skipped"}.get(state.checked, "")
    parts = [said] if said else []
    if state.kept is not None:
        parts.append(f"keeps {100 * state.kept:.3g} %")
    if state.crops:
        parts.append(f"cropped as {', '.join(state.crops)}")
    return f": {', '.join(parts)}" if parts else ""


def volume_states(
    study: Study,
    volumes: Mapping[str, VolumeRecord],
    runs: Sequence[Run],
    localized: Localized,
    annotated: Collection[str],
) -> dict[str, VolumeState]:
    """Return what has been done with each volume.

    Parameters
    ----------
    study : Study
    volumes : mapping of str to VolumeRecord
    runs : sequence of Run
        The study's runs, newest first.
    localized : Localized
        What each run found in each volume.
    annotated : collection of str
        The volumes of which a slice is annotated.
    """
    seen: set[str] = set()
    orders: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for run in runs:
        seen.update(trained_on(run, volumes))
        for name, entry in _applying(run, volumes).items():
            orders.setdefault(name, (run.id, entry))
    result, children = {}, children_of(volumes)
    for name in volumes:
        run_id, entry = orders.get(name, ("", {}))
        box = best_of(localized.get(name, {}))
        result[name] = VolumeState(
            pretrained=name in seen,
            localized=box is not None,
            annotated=name in annotated,
            segmented=_any_in(study.path / "predictions" / name),
            checked=box.status if box is not None else "",
            kept=box.kept_fraction if box is not None and not box.is_empty else None,
            crops=tuple(child.name for child in children.get(name, ())),
            flipped=bool(entry.get("flipped", False)),
            displacement=entry.get("mean_displacement"),
            random_displacement=entry.get("random_displacement"),
            run=run_id,
        )
    return result


def trained_on(run: Run, names: Iterable[str]) -> set[str]:
    """Return the volumes a run learns from: its patterns (all when empty) without those kept out to measure on."""
    if run.kind != "pretrain":
        return set()
    volumes = tuple(run.settings.get("volumes") or ("*",))
    kept_out = tuple(run.settings.get("validate") or ())
    return {name for name in names if _fits(name, volumes) and not _fits(name, kept_out)}


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def _applying(run: Run, volumes: Mapping[str, VolumeRecord]) -> dict[str, Mapping[str, Any]]:
    """Return what a run's order says of volumes whose axis and direction are still as they were."""
    return {
        name: entry
        for name, entry in _order_of(run).items()
        if name in volumes
        and (entry.get("axis"), entry.get("direction")) == (volumes[name].axis, volumes[name].direction)
    }


def _order_of(run: Run) -> dict[str, Mapping[str, Any]]:
    """Return the figures of a run's order by volume, read again only when the file has changed.

    The study is looked at every two seconds, and the scores of all slices make these files large: parsing them each
    time would hold up the interface.
    """
    from napari_sortingloss.pretext.jobs.order import FILE, read_order

    path = run.path / FILE
    try:
        status = path.stat()
    except OSError:
        _orders.pop(path, None)
        return {}
    signature = (status.st_mtime_ns, status.st_size)
    kept = _orders.get(path)
    if kept is not None and kept[0] == signature:
        return kept[1]
    document = read_order(run) or {"volumes": {}}
    found = {
        name: {key: entry.get(key) for key in _KEPT}
        for name, entry in document["volumes"].items()
        if isinstance(entry, Mapping)
    }
    _orders[path] = (signature, found)
    return found


def _any_in(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False
