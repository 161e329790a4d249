"""A localisation in the viewer: uncertainty, region, hull and box as layers of ours, in place of those shown before."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import Colormap, DirectLabelColormap
from numpy.typing import NDArray
from psygnal import Signal

from napari_sortingloss.boxes import NO_BOX, Box
from napari_sortingloss.widgets.localize.layer_plan import (
    LocalizePlan,
    PlacedMap,
    Triple,
    mesh_of,
    placed,
    plan,
)
from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer.box_layer import BoxLayer
from napari_sortingloss.widgets.viewer.layers import AXES, MARK, find, fitting_unit, take_away
from napari_sortingloss.widgets.viewer.stage_layers import stage_layers_of
from napari_sortingloss.widgets.viewer.view import slice_in_view

if TYPE_CHECKING:
    from napari_sortingloss.localize.grid import Grid
    from napari_sortingloss.study.localizations.reading import Hull

__all__ = ["LocalizeLayers", "LocalizePlan", "localize_layers_of", "plan"]

CONTENTS = ("uncertainty", "region", "hull", "box")
REGION_COLOUR = (0.0, 0.62, 0.45, 1.0)
HULL_COLOUR = (0.34, 0.71, 0.91, 1.0)
"""Bluish green and sky blue of the palette of Okabe and Ito."""


class LocalizeLayers:
    """Shows one localisation at a time in a viewer; get it with `localize_layers_of`.

    The layers stay when another volume is shown, with what a person changed about their looks; only what they show is
    exchanged. Layers that are not ours are never touched. A layer that a person removed comes back with the next `show`.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    plan : LocalizePlan or None
        What is shown.
    box_dragged : psygnal.Signal
        ``box_dragged(Box)``: the person let go of the box in another place.
    box_moving : psygnal.Signal
        ``box_moving(Box)``: the person is dragging it.
    stepped : psygnal.Signal
        ``stepped(axis, voxel)``: another slice of the volume is in view; the voxel is None in 3D.
    """

    stepped = Signal(str, object)
    box_dragged = Signal(object)
    box_moving = Signal(object)

    def __init__(self, viewer: Any) -> None:
        viewer = unwrap(viewer)
        self._viewer = weakref.ref(viewer)
        self.plan: LocalizePlan | None = None
        self.layers: dict[str, Any] = {}
        self._box: BoxLayer | None = None
        stage_layers_of(viewer)  # decides what of them is visible
        viewer.layers.events.removed.connect(self._on_removed)
        for signal in (viewer.dims.events.point, viewer.dims.events.order, viewer.dims.events.ndisplay):
            signal.connect(self._on_step)

    @property
    def box(self) -> Box:
        """The box that is shown."""
        return self._box.box if self._box is not None else NO_BOX

    def slice_in_view(self) -> tuple[str, int | None]:
        """Return the axis of the slider and the voxel of the volume that it stands at; None in 3D or with no volume."""
        viewer, layer = self._viewer(), next(iter(self.layers.values()), None)
        if viewer is None or layer is None or self.plan is None or layer not in viewer.layers:
            return AXES[0], None
        if viewer.dims.ndisplay == 3:
            return AXES[0], None
        axis, voxel, _ = slice_in_view(viewer, layer.units, self.plan.voxel_size, self.plan.offset)
        return AXES[axis], voxel

    def show(self, plan: LocalizePlan, *, edit: bool = True) -> None:
        """Show a localisation in place of the one before; of another volume, a slice through its box.

        Parameters
        ----------
        plan : LocalizePlan
        edit : bool
            Make the box ready to be dragged.
        """
        viewer = self._viewer()
        if viewer is None:
            return
        self._adopt(viewer)
        before, self.plan = self.plan, plan
        active = viewer.layers.selection.active
        self._show_uncertainty(viewer, plan, before)
        self._show_region(viewer, plan.region)
        self._show_hull(viewer, plan.hull)
        self._show_box(viewer, plan)
        self._raise(viewer, plan)
        if before is None or before.mark("") != plan.mark(""):
            self.look_at_box()
        if edit and plan.box != NO_BOX:
            self.edit_box()
        elif active in viewer.layers:
            viewer.layers.selection.active = active

    def update_region(self, mask: NDArray[np.bool_], grid: Grid, hull: Hull | None) -> None:
        """Show another region of the same localisation, e.g. for another threshold.

        Parameters
        ----------
        mask : ndarray of bool
        grid : Grid
        hull : Hull or None
        """
        viewer = self._viewer()
        if viewer is None or self.plan is None:
            return
        if "region" in self.layers:
            self._show_region(viewer, placed(np.asarray(mask).astype(np.uint8), grid, self.plan))
        self._show_hull(viewer, mesh_of(hull, self.plan.shape))

    def set_box(self, box: Box) -> None:
        """Show another box of the same volume."""
        if self._box is not None:
            self._box.set_box(box)

    def look_at_box(self) -> None:
        """Step to the middle of the box, if the slice in view is outside it."""
        if self._box is not None:
            self._box.look_at()

    def edit_box(self) -> None:
        """Make the box ready to be dragged: its layer active and its handles shown."""
        if self._box is not None:
            self._box.edit()

    def remove(self, volume: str | None = None) -> None:
        """Take the layers away, if they show this volume (or whichever they show)."""
        viewer = self._viewer()
        if viewer is None or (volume is not None and (self.plan is None or self.plan.volume != volume)):
            return
        gone = list(self.layers.values())
        self.plan = None
        for layer in gone:
            self._let_go(layer)
        take_away(viewer, gone)

    def _adopt(self, viewer: Any) -> None:
        """Find layers of ours that are there without us: those of a viewer whose panel was closed and opened again."""
        for layer in viewer.layers:
            content = layer.metadata.get(MARK, {}).get("content")
            if content in CONTENTS and content not in self.layers and _fits(layer, content):
                self.layers[content] = layer
                if content == "box":
                    self._follow_box(viewer, layer)

    def _raise(self, viewer: Any, plan: LocalizePlan) -> None:
        """Put the layers above that of their volume, which may have been added after them."""
        volume = find(viewer, plan.mark("volume"))
        places = sorted(viewer.layers.index(layer) for layer in self.layers.values())
        if volume is not None and viewer.layers.index(volume) > places[0]:
            viewer.layers.move_multiple(places, len(viewer.layers))

    def _place(self, viewer: Any, content: str, scale: Triple, translate: Triple, make: Any) -> Any:
        """Bring the layer of one content to its place, made by `make` where there is none, and return it."""
        plan = self.plan
        assert plan is not None
        unit = fitting_unit(viewer, plan.unit, lambda mark: mark.get("content") in CONTENTS)
        layer = self.layers.get(content)
        if layer is not None and MARK not in layer.metadata:  # its volume was removed: it is on its way out
            self._let_go(layer)
            layer = None
        if layer is None:
            layer = self.layers[content] = make(
                name=plan.name(content),
                scale=scale,
                translate=translate,
                units=(unit,) * 3,
                axis_labels=AXES,
                metadata={MARK: plan.mark(content)},
            )
            return layer
        layer.metadata[MARK] = plan.mark(content)
        if layer.name != plan.name(content):
            layer.name = plan.name(content)
        for name, value in (("scale", scale), ("translate", translate)):
            if not np.array_equal(getattr(layer, name), value):
                setattr(layer, name, value)
        layer.units = (unit,) * 3
        return layer

    def _show_uncertainty(self, viewer: Any, plan: LocalizePlan, before: LocalizePlan | None) -> None:
        there = self.layers.get("uncertainty")
        if there is not None:
            there.data = plan.uncertainty.data
        layer = self._place(
            viewer,
            "uncertainty",
            plan.uncertainty.scale,
            plan.uncertainty.translate,
            lambda **more: viewer.add_image(
                plan.uncertainty.data,
                colormap="inferno",
                blending="additive",
                opacity=0.5,
                interpolation2d="linear",
                **more,
            ),
        )
        same = there is not None and before is not None and before.mark("") == plan.mark("")
        if not same or tuple(layer.contrast_limits) == before.limits:
            layer.contrast_limits_range = plan.bounds
            layer.contrast_limits = plan.limits

    def _show_region(self, viewer: Any, region: PlacedMap) -> None:
        there = self.layers.get("region")
        if there is not None:
            there.data = region.data
        layer = self._place(
            viewer,
            "region",
            region.scale,
            region.translate,
            lambda **more: viewer.add_labels(
                region.data,
                opacity=0.3,
                colormap=DirectLabelColormap(color_dict={None: "transparent", 1: REGION_COLOUR}),
                **more,
            ),
        )
        layer.editable = False

    def _show_hull(self, viewer: Any, mesh: tuple[NDArray[Any], NDArray[Any]] | None) -> None:
        plan = self.plan
        assert plan is not None
        there = self.layers.get("hull")
        if mesh is None:
            if there is not None:
                self._let_go(there)
                take_away(viewer, [there])
            return
        if there is not None:
            there.data = mesh
        self._place(
            viewer,
            "hull",
            plan.voxel_size,
            plan.corner,
            lambda **more: viewer.add_surface(
                mesh,
                colormap=Colormap([HULL_COLOUR, HULL_COLOUR], name="hull"),
                shading="smooth",
                blending="translucent_no_depth",  # its far side shines through evenly
                opacity=0.35,
                **more,
            ),
        )
        if there is None and "box" in self.layers:  # the box stays on top
            stack = viewer.layers
            stack.move(stack.index(self.layers["hull"]), stack.index(self.layers["box"]))

    def _show_box(self, viewer: Any, plan: LocalizePlan) -> None:
        if "box" not in self.layers:
            layer = self._place(
                viewer,
                "box",
                plan.voxel_size,
                plan.corner,
                lambda **more: viewer.add_shapes(ndim=3, opacity=1.0, **more),
            )
            self._follow_box(viewer, layer)
        else:
            layer = self.layers["box"]
            self._place(viewer, "box", tuple(layer.scale), tuple(layer.translate), None)
        assert self._box is not None
        self._box.show(plan.box, plan.shape, plan.voxel_size, plan.offset)

    def _follow_box(self, viewer: Any, layer: Any) -> None:
        self._box = BoxLayer(viewer, layer)
        self._box.dragged.connect(self._on_dragged)
        self._box.moving.connect(self._on_moving)

    # Not connected to `emit` itself: psygnal would call it with hundreds of arguments to find out what it takes.
    def _on_dragged(self, box: Box) -> None:
        self.box_dragged.emit(box)

    def _on_moving(self, box: Box) -> None:
        self.box_moving.emit(box)

    def _on_removed(self, event: Any) -> None:
        self._let_go(event.value)

    def _let_go(self, gone: Any) -> None:
        """Forget a layer that is not, or no longer, in the viewer."""
        for content, layer in list(self.layers.items()):
            if layer is gone:
                del self.layers[content]
                if content == "box" and self._box is not None:
                    self._box.detach()
                    self._box = None
        if not self.layers:
            self.plan = None

    def _on_step(self, event: object = None) -> None:
        if self.plan is not None:
            self.stepped.emit(*self.slice_in_view())


def _fits(layer: Any, content: str) -> bool:
    kinds = {"uncertainty": "Image", "region": "Labels", "hull": "Surface", "box": "Shapes"}
    return type(layer).__name__ == kinds[content]


_found: weakref.WeakKeyDictionary[Any, LocalizeLayers] = weakref.WeakKeyDictionary()


def localize_layers_of(viewer: Any) -> LocalizeLayers:
    """Return the one `LocalizeLayers` of a viewer, made when first asked for.

    Parameters
    ----------
    viewer : napari.Viewer, napari.components.ViewerModel or napari's public proxy of one
    """
    viewer = unwrap(viewer)
    found = _found.get(viewer)
    if found is None:
        found = _found[viewer] = LocalizeLayers(viewer)
    return found
