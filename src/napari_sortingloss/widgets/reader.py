"""Dropping a study's study.json onto napari opens the study in the Workbench; no other file is claimed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def get_reader(path: str | list[str]) -> Callable[..., list[Any]] | None:
    """Return the reader for a ``study.json``, or None for anything else."""
    if not isinstance(path, str) or Path(path).name != "study.json":
        return None
    try:
        ours = "schema_version" in json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_study if ours else None


def read_study(path: str) -> list[Any]:
    """Open the study in the current viewer; no layer is added before the person asks for one."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None and hasattr(viewer, "window"):
        from napari_sortingloss.widgets.session.session import session_of

        session = session_of(viewer)
        session.open_path(Path(path).parent)
        session.show_stage("Study")
    return [(None,)]
