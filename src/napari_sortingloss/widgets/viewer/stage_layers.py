"""Which layers of ours a person sees in which stage: each stage shows its own, and remembers what was chosen there."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer.layers import MARK, ours

OWN: dict[str, dict[int, frozenset[str]]] = {
    "localize": {2: frozenset(("uncertainty", "region", "box")), 3: frozenset(("hull", "box"))},
    "annotate": dict.fromkeys((2, 3), frozenset(("annotations",))),
    "segment": dict.fromkeys(
        (2, 3),
        frozenset(("annotations", "preview", "prediction", "uncertainty of a prediction", "difference")),
    ),
}
"""What each stage shows beside the volume, in 2D and in 3D, until a person chooses otherwise. A hull has no section in
napari, and in 3D the maps would hide it."""

NONE = ""
"""Stands for the time when no stage is in sight."""

Name = tuple[str, str]
"""The content of a layer, and the run it is of, if any."""


class StageLayers:
    """Shows and hides layers of ours as stages come into sight and go; get it with `stage_layers_of`.

    Where no stage is in sight, everything is shown that any of them would show. Volumes, and layers that are not ours, are
    left alone.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        viewer = unwrap(viewer)
        self._viewer = weakref.ref(viewer)
        self._in_sight: list[str] = []
        self._chosen: dict[tuple[str, int, Name], bool] = {}
        self._view = viewer.dims.ndisplay
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removing.connect(self._on_removing)
        viewer.dims.events.ndisplay.connect(self._on_view)

    def came(self, stage: str) -> None:
        """Take note that a stage is in sight now."""
        if stage not in self._in_sight:
            if self._in_sight:
                self._remember()
            self._in_sight.append(stage)
            self._apply()

    def went(self, stage: str) -> None:
        """Take note that a stage is out of sight; the last one leaves everything as it is."""
        if stage in self._in_sight:
            self._remember()
            self._in_sight.remove(stage)
            if self._in_sight:
                self._apply()

    def wanted(self, layer: Any) -> bool:
        """Return whether a layer of ours is to be seen now."""
        name, view = _name(layer), self._view
        return any(
            self._chosen.get((stage, view, name), _is_own(stage, view, name)) for stage in self._stages
        )

    @property
    def _stages(self) -> Sequence[str]:
        return self._in_sight or (NONE,)

    def _remember(self) -> None:
        viewer = self._viewer()
        if viewer is not None:
            for layer in ours(viewer):
                self._note(layer)

    def _note(self, layer: Any) -> None:
        if _name(layer)[0] != "volume":
            for stage in self._stages:
                self._chosen[stage, self._view, _name(layer)] = bool(layer.visible)

    def _apply(self) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        for layer in ours(viewer):
            if _name(layer)[0] != "volume" and layer.visible != self.wanted(layer):
                layer.visible = not layer.visible
        active = viewer.layers.selection.active
        if active is not None and active in ours(viewer) and not active.visible:
            # A key or a stroke over the image must not reach what nobody sees.
            viewer.layers.selection.active = next(
                (layer for layer in ours(viewer, "volume") if layer.visible), None
            )

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if layer.metadata.get(MARK) is not None and _name(layer)[0] != "volume":
            layer.visible = self.wanted(layer)

    def _on_removing(self, event: Any) -> None:
        viewer = self._viewer()
        layer = viewer.layers[event.index] if viewer is not None else None
        if layer is not None and layer.metadata.get(MARK) is not None:
            self._note(layer)

    def _on_view(self, event: object = None) -> None:
        """Between 2D and 3D: remember what was visible there, show what was visible here."""
        viewer = self._viewer()
        if viewer is not None and viewer.dims.ndisplay != self._view:
            self._remember()
            self._view = viewer.dims.ndisplay
            self._apply()


def _is_own(stage: str, view: int, name: Name) -> bool:
    return any(name[0] in OWN[one][view] for one in (OWN if stage == NONE else (stage,)) if one in OWN)


def _name(layer: Any) -> Name:
    mark = layer.metadata[MARK]
    return mark.get("content", ""), mark.get("run", "")


_found: weakref.WeakKeyDictionary[Any, StageLayers] = weakref.WeakKeyDictionary()


def stage_layers_of(viewer: Any) -> StageLayers:
    """Return the one `StageLayers` of a viewer, made when first asked for.

    Parameters
    ----------
    viewer : napari.Viewer, napari.components.ViewerModel or napari's public proxy of one
    """
    viewer = unwrap(viewer)
    found = _found.get(viewer)
    if found is None:
        found = _found[viewer] = StageLayers(viewer)
    return found
