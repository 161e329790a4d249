"""Remembers, per user, which studies were open last and where files were chosen last."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from qtpy.QtCore import QStandardPaths

logger = logging.getLogger(__name__)

_APP = "napari-sortingloss"
KEEP = 8


def user_data_dir() -> Path:
    """Return the folder for data that can be made again, such as the sample study."""
    place = QStandardPaths.StandardLocation.GenericDataLocation
    return Path(QStandardPaths.writableLocation(place)) / _APP


def recent_studies() -> list[Path]:
    """Return the studies opened last that are still there, newest first. Reads files: not for the GUI thread."""
    return [path for path in map(Path, _read().get("studies", ())) if (path / "study.json").is_file()]


def remember_study(path: Path) -> None:
    """Put a study at the head of the list. Writes a file: not for the GUI thread."""
    values = _read()
    others = [p for p in values.get("studies", ()) if p != str(path)]
    values["studies"] = [str(path), *others][:KEEP]
    target = _file()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        part.write_text(json.dumps(values, indent=1), encoding="utf-8")
        part.replace(target)
    except OSError as error:  # a convenience: a read-only home must not keep anybody from opening a study
        logger.warning("cannot remember recent studies in '%s': %s", target, error)


def _file() -> Path:
    place = QStandardPaths.StandardLocation.GenericConfigLocation
    return Path(QStandardPaths.writableLocation(place)) / _APP / "recent.json"


def _read() -> dict[str, Any]:
    try:
        values = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("cannot read '%s': %s", _file(), error)
        return {}
    return values if isinstance(values, dict) else {}
