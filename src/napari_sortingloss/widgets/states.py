"""What has been done with each volume of a study, read from its folder; not for the GUI thread."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sortingloss.widgets.session import VolumeState

if TYPE_CHECKING:
    from napari_sortingloss.study import Run, Study

logger = logging.getLogger(__name__)


def volume_states(study: Study, names: Iterable[str], runs: Iterable[Run]) -> dict[str, VolumeState]:
    """Return what has been done with each volume.

    Parameters
    ----------
    study : Study
    names : iterable of str
        The volumes asked about.
    runs : iterable of Run
        The study's runs, newest first.
    """
    seen: set[str] = set()
    orders: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for run in runs:
        seen.update(trained_on(run))
        for name, values in read_order(run.path).items():
            orders.setdefault(name, (run.id, values))
    result = {}
    for name in names:
        run_id, order = orders.get(name, ("", {}))
        result[name] = VolumeState(
            pretrained=name in seen,
            localized=_any_in(study.path / "localizations" / name),
            annotated=_any_in(study.path / "annotations" / name),
            segmented=_any_in(study.path / "predictions" / name),
            flipped=bool(order.get("flipped", False)),
            displacement=order.get("mean_displacement"),
            random_displacement=order.get("random_displacement"),
            run=run_id,
        )
    return result


def trained_on(run: Run) -> tuple[str, ...]:
    """Return the volumes a run learns from, as its settings name them."""
    volumes = run.settings.get("train_volumes") or run.settings.get("volumes") or ()
    return tuple(volumes)


def read_order(run_path: Path) -> dict[str, Mapping[str, Any]]:
    """Return ``{volume: values}`` of a run's ``order.json``; empty where there is none that can be read."""
    path = run_path / "order.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {entry["name"]: entry for entry in document["volumes"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("cannot read '%s': %s", path, error)
        return {}


def _any_in(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False
