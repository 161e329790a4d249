"""The annotations of a volume as an ordinary napari Labels layer: its colours, keys, and what a person paints on it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from napari.utils import DirectLabelColormap
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray
from psygnal import Signal

from napari_sortingloss.study.annotations.change import Change
from napari_sortingloss.study.classes import BACKGROUND, UNPAINTED, LabelClass
from napari_sortingloss.widgets.annotate.help import status_help
from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer.layers import (
    AXES,
    MARK,
    UNITS,
    LayerPlan,
    fitting_unit,
    take_away,
)
from napari_sortingloss.widgets.viewer.view import go_to, slice_in_view, step_along

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.study.schema import Axis

CONTENT = "annotations"
OPACITY = 0.6
BACKGROUND_COLOR = "#4d5d80"
"""Of what was painted as background: slate, to be told from the greys of a scan."""
UNKNOWN = (0.9, 0.9, 0.9, 0.8)
"""Of values that no class in use has."""
MOST_BRUSH = 10


class AnnotationLayer:
    """One Labels layer over the array that an `AnnotationEditor` keeps; nothing is copied.

    Parameters
    ----------
    viewer : napari.Viewer
    plan : LayerPlan
        Of the volume that is annotated.
    labels : ndarray of uint8, shape (z, y, x)
        Painted in place; a memory map.
    classes : sequence of LabelClass
    writable : bool
        Whether it may be painted on.

    Attributes
    ----------
    layer : napari.layers.Labels
    painted : psygnal.Signal
        ``painted(changes)``: a stroke (fill, polygon) has ended; the voxels are changed already.
    undo_wanted, redo_wanted : psygnal.Signal
        napari's own undo and redo were asked for, by key or by menu.
    selected : psygnal.Signal
        ``selected(value)``: another label is painted with from now on.
    removed : psygnal.Signal
        The person took the layer out of the viewer.
    replaced : psygnal.Signal
        The person exchanged its data, e.g. converted its type; the annotations were put back.
    """

    painted = Signal(object)
    undo_wanted = Signal()
    redo_wanted = Signal()
    selected = Signal(int)
    removed = Signal()
    replaced = Signal()

    def __init__(
        self,
        viewer: Any,
        plan: LayerPlan,
        labels: NDArray[np.uint8],
        classes: Sequence[LabelClass],
        *,
        writable: bool = True,
    ) -> None:
        viewer = unwrap(viewer)
        self._viewer = weakref.ref(viewer)
        self.plan = plan
        self.labels = labels
        self._keys: list[str] = []
        self._going = False
        self._mode = "paint"  # napari puts the tool away with the permission to paint
        unit = fitting_unit(viewer, plan.unit, lambda mark: mark.get("content") == CONTENT)
        self.layer = viewer.add_labels(
            labels,
            name=f"{plan.name} · {CONTENT}",
            scale=plan.scale,
            translate=plan.translate,
            units=(unit,) * 3,
            axis_labels=AXES,
            opacity=OPACITY,
            colormap=colormap(classes),
            metadata={MARK: {**plan.mark, "content": CONTENT}},
        )
        height, width = sorted(labels.shape)[-2:]
        self.layer.brush_size = int(np.clip(min(height, width) // 30, 2, MOST_BRUSH))
        self.layer.editable = writable
        first = next((found.value for found in classes), None)
        if first is not None:
            self.layer.selected_label = first
            if writable:
                self.layer.mode = "paint"
        self._connect(viewer)

    def _connect(self, viewer: Any) -> None:
        layer = self.layer
        layer.events.paint.connect(self._on_paint)
        layer.events.selected_label.connect(self._on_selected)
        layer.events.set_data.connect(self._on_data)
        layer.events.help.connect(self._say_keys)
        viewer.layers.events.removed.connect(self._on_removed)
        weak = weakref.ref(self)

        def ask(name: str) -> Callable[[], None]:
            def wanted() -> None:
                owner = weak()
                if owner is not None and not owner.painting:
                    getattr(owner, name).emit()

            return wanted

        # napari forgets its history with each layer; ours lasts. Its key and its menu call these.
        layer.undo = ask("undo_wanted")
        layer.redo = ask("redo_wanted")
        # napari 0.9.2 cuts off the decimals of all coordinates: 126.9999, which slice 127 may be, would be slice 126.
        paint_polygon = layer.paint_polygon
        layer.paint_polygon = lambda points, new_label: paint_polygon(in_voxels(layer, points), new_label)

    # ------------------------------------------------------------------------------------------------- what it is
    @property
    def there(self) -> bool:
        """Whether it is in the viewer."""
        viewer = self._viewer()
        return viewer is not None and self.layer in viewer.layers

    @property
    def painting(self) -> bool:
        """Whether the mouse button is down in the middle of a stroke."""
        return bool(self.layer._staged_history)

    @property
    def offset(self) -> tuple[float, ...]:
        """Where the volume begins, in voxels (z, y, x)."""
        return tuple(t / s for t, s in zip(self.plan.translate, self.plan.scale, strict=True))

    def slice_in_view(self) -> tuple[Axis, int | None]:
        """Return the axis of the slider and the array index of the slice; None in 3D or outside the volume."""
        viewer = self._viewer()
        if viewer is None or not self.there or viewer.dims.ndim < 3:
            return "z", None
        place, index, _ = slice_in_view(viewer, self.layer.units, self.plan.scale, self.offset)
        inside = viewer.dims.ndisplay == 2 and 0 <= index < self.labels.shape[place]
        return cast("Axis", AXES[place]), index if inside else None

    def go_to(self, index: int, axis: Axis | None = None) -> None:
        """Bring a slice into view, by its array index along the axis in view or another one."""
        viewer = self._viewer()
        if viewer is None or not self.there:
            return
        viewer.dims.ndisplay = 2
        if axis is not None:
            step_along(viewer, axis)
        place = AXES.index(axis or self.slice_in_view()[0])
        go_to(viewer, self.layer.units, self.plan.scale, self.offset, place, index)

    def set_classes(self, classes: Sequence[LabelClass]) -> None:
        """Take over the colours of the classes."""
        made = colormap(classes)
        made.selection, made.use_selection = self.layer.selected_label, self.layer.show_selected_label
        self.layer.colormap = made

    def place(self, record: VolumeRecord) -> None:
        """Follow a volume that was given another voxel size or unit."""
        unit = UNITS.get(record.unit, record.unit)
        scale = tuple(record.voxel_size)
        if (scale, unit) == (self.plan.scale, self.plan.unit):
            return
        translate = tuple(o * s for o, s in zip(record.offset, scale, strict=True))
        self.plan = replace(self.plan, scale=scale, translate=translate, unit=unit)
        viewer = self._viewer()
        if viewer is not None and self.there:
            fitting = fitting_unit(viewer, unit, lambda mark: mark.get("volume") == self.plan.volume)
            self.layer.scale, self.layer.translate, self.layer.units = scale, translate, (fitting,) * 3

    def set_keys(self, actions: Mapping[str, Callable[[], object]]) -> None:
        """Let keys over the image call actions while this layer is active.

        Parameters
        ----------
        actions : mapping of str to callable
            By key as napari writes it, e.g. ``"1"`` or ``"Shift-N"``. The callables are held: they must hold no widget.
        """
        for key in self._keys:
            self.layer.bind_key(key, None, overwrite=True)
        self._keys = list(actions)
        for key, action in actions.items():
            self.layer.bind_key(key, _without_layer(action), overwrite=True)
        self._say_keys()

    def _say_keys(self, event: object = None) -> None:
        """Let napari's status bar name the keys as they are here; it would name those that are the classes'."""
        self.layer.help = status_help(self._keys)
        viewer = self._viewer()
        if viewer is not None and viewer.layers.selection.active is self.layer:
            viewer.help = self.layer.help

    def set_writable(self, writable: bool) -> None:
        """Let it be painted on, or only looked at."""
        layer = self.layer
        if layer.editable == writable:
            return
        if not writable:
            self._mode = str(layer.mode)
        layer.editable = writable
        if writable:
            layer.mode = self._mode

    def paint_with(self, value: int) -> None:
        """Choose what is painted, and take up the brush unless another drawing tool is in use."""
        layer = self.layer
        if layer.selected_label != value:
            layer.selected_label = value
        if layer.editable and layer.mode in ("pan_zoom", "transform", "pick", "erase"):
            layer.mode = "paint"

    def refresh(self) -> None:
        """Show what changed in the array."""
        if self.there:
            self.layer.refresh(extent=False)

    def remove(self) -> None:
        """Take it out of the viewer."""
        self.detach()
        viewer = self._viewer()
        if viewer is not None and self.layer in viewer.layers:
            take_away(viewer, [self.layer])

    def detach(self) -> None:
        """Let go of the layer."""
        self._going = True
        layer, viewer = self.layer, self._viewer()
        layer.events.paint.disconnect(self._on_paint)
        layer.events.selected_label.disconnect(self._on_selected)
        layer.events.set_data.disconnect(self._on_data)
        layer.events.help.disconnect(self._say_keys)
        if viewer is not None:
            viewer.layers.events.removed.disconnect(self._on_removed)
        layer.metadata.pop(MARK, None)

    # ------------------------------------------------------------------------------------------- what a person does
    def _on_paint(self, event: Any) -> None:
        layer = self.layer
        changes = changes_of(event.value)
        if (
            not layer._block_history
        ):  # napari tells of polygons and of calls from scripts before it has painted them
            for change in changes:
                change.put(self.labels, change.new)
        layer._undo_history.clear()
        layer._redo_history.clear()
        self.painted.emit(changes)

    def _on_selected(self, event: object = None) -> None:
        self.selected.emit(int(self.layer.selected_label))

    def _on_data(self, event: object = None) -> None:
        if self._going or self.layer.data is self.labels:
            return
        self.layer.data = self.labels
        self.replaced.emit()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer and not self._going:
            self.detach()
            self.removed.emit()


def colormap(classes: Iterable[LabelClass]) -> DirectLabelColormap:
    """Return the colours of the classes, slate for the painted background, whitish for values that no class has."""
    colors: dict[int | None, Any] = {
        None: np.asarray(UNKNOWN, np.float32),
        UNPAINTED: np.zeros(4, np.float32),
        BACKGROUND: transform_color(BACKGROUND_COLOR)[0],
    }
    for found in classes:
        colors[found.value] = transform_color(found.color)[0]
    return DirectLabelColormap(color_dict=colors)


def in_voxels(layer: Any, points: Sequence[Sequence[float]]) -> NDArray[np.int64]:
    """Return the voxels that the corners of an outline lie in.

    Parameters
    ----------
    layer : napari.layers.Labels
    points : sequence of sequence of float
        As napari's tools give them, in coordinates of the data. The polygon tool counts from the corner of a voxel in the
        plane, everything else from its middle.
    """
    voxels = np.array(points, np.float64)
    if layer.mode == "polygon":
        plane = list(layer._slice_input.displayed)
        voxels[:, plane] = np.floor(voxels[:, plane])
    return np.round(voxels).astype(np.int64)


def changes_of(item: Iterable[Any]) -> list[Change]:
    """Return what napari's history item changed, as an `AnnotationEditor` records it.

    Parameters
    ----------
    item : iterable
        Atoms ``(slices, mask or None, old values, new value)``, or ``(indices, old values, new values)``.
    """
    changes: list[Change] = []
    for atom in item:
        if len(atom) == 4:
            slices, mask, old, new = atom
            z, y, x = (int(part.start) for part in slices)
            changes.append(Change((z, y, x), mask, np.asarray(old), int(new)))
        else:
            changes += _scattered(*atom)
    return changes


def _scattered(indices: Sequence[Any], old: Any, new: Any) -> list[Change]:
    """Return one change for each slice along z that single voxels lie in."""
    z, y, x = (np.asarray(part).ravel() for part in np.broadcast_arrays(*indices))
    old, new = (np.broadcast_to(np.asarray(values, np.uint8), z.shape) for values in (old, new))
    found = []
    for at in np.unique(z):
        mine = z == at
        found.append(Change.of_points([((z[mine], y[mine], x[mine]), old[mine], new[mine])]))
    return [change for change in found if change is not None]


def _without_layer(action: Callable[[], object]) -> Callable[[Any], None]:
    def call(layer: Any) -> None:
        action()

    return call
