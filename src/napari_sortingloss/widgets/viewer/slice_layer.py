"""What a run that trains says of the slice in view: a labels layer that lies on that slice only."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils import DirectLabelColormap
from numpy.typing import NDArray

from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer.layers import AXES, MARK, UNITS, fitting_unit, ours, take_away

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.study.classes import LabelClass

CONTENT = "preview"


@dataclass(frozen=True)
class SliceAt:
    """A slice of a volume.

    Attributes
    ----------
    volume : str
    axis : str
        Across which axis.
    index : int
        Along the stored array.
    """

    volume: str
    axis: str
    index: int


def colormap_of(classes: Iterable[LabelClass]) -> DirectLabelColormap:
    """Return the colours of classes for a labels layer; what is none of them is transparent."""
    colors: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
    colors.update({found.value: found.color for found in classes})
    return DirectLabelColormap(color_dict=colors)


def class_names(classes: Iterable[LabelClass]) -> Mapping[str, list[Any]]:
    """Return what tells a labels layer the names of its values, for the status line."""
    found = list(classes)
    return {
        "index": [0, *(one.value for one in found)],
        "class": ["background", *(one.name for one in found)],
    }


def put_below(viewer: Any, layer: Any, contents: Collection[str]) -> None:
    """Put a layer of ours below those with some contents, e.g. below what a person paints."""
    above = [
        viewer.layers.index(other)
        for other in viewer.layers
        if other is not layer and other.metadata.get(MARK, {}).get("content") in contents
    ]
    if above and viewer.layers.index(layer) > min(above):
        viewer.layers.move(viewer.layers.index(layer), min(above))


class PreviewLayer:
    """Shows the labels of one slice over its volume.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(unwrap(viewer))
        self.at: SliceAt | None = None

    @property
    def layer(self) -> Any:
        """The layer, also one that a panel closed since has left; None where nothing is shown."""
        viewer = self._viewer()
        return next(iter(ours(viewer, CONTENT)), None) if viewer is not None else None

    def show(
        self,
        study: str,
        record: VolumeRecord,
        at: SliceAt,
        labels: NDArray[np.uint8],
        classes: Iterable[LabelClass],
    ) -> None:
        """Show the labels of a slice, in place of those shown before.

        Parameters
        ----------
        study : str
            The study's path.
        record : VolumeRecord
            The volume, for where the slice lies.
        at : SliceAt
        labels : ndarray of uint8, shape (h, w)
            Class values, in the axis order of `Volume.read_slices`.
        classes : iterable of LabelClass
        """
        viewer = self._viewer()
        if viewer is None:
            return
        axis = AXES.index(at.axis)
        data = np.expand_dims(labels, axis)
        scale = tuple(record.voxel_size)
        corner = [float(o) for o in record.offset]
        corner[axis] += at.index
        translate = tuple(c * s for c, s in zip(corner, scale, strict=True))
        mark = {"study": study, "volume": record.name, "content": CONTENT}
        layer = self.layer
        if layer is not None and (mark != layer.metadata[MARK] or layer.data.shape != data.shape):
            self.remove()
            layer = None
        self.at = at
        if layer is None:
            unit = fitting_unit(viewer, UNITS.get(record.unit, record.unit), lambda found: found == mark)
            selected = set(viewer.layers.selection)
            layer = viewer.add_labels(
                data,
                name=f"{record.name} · {CONTENT}",
                scale=scale,
                translate=translate,
                units=(unit,) * 3,
                axis_labels=AXES,
                opacity=0.5,
                colormap=colormap_of(classes),
                features=class_names(classes),
                metadata={MARK: mark},
            )
            layer.editable = False
            put_below(viewer, layer, ("annotations",))
            viewer.layers.selection = selected  # whoever paints goes on painting
            return
        layer.data = data
        if tuple(layer.translate) != translate:
            layer.translate = translate

    def remove(self) -> None:
        """Take the layer away."""
        viewer, layer = self._viewer(), self.layer
        if viewer is not None and layer is not None:
            take_away(viewer, [layer])
        self.at = None
