"""Predictions in the viewer: labels, where the network is unsure, and where two of them differ, as layers of ours."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer.layers import AXES, MARK, UNITS, find, fitting_unit, take_away
from napari_sortingloss.widgets.viewer.slice_layer import class_names, colormap_of, put_below

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.study.classes import LabelClass
    from napari_sortingloss.study.predictions.reading import Prediction

PREDICTION, UNCERTAINTY, DIFFERENCE = "prediction", "uncertainty of a prediction", "difference"
OURS = (PREDICTION, UNCERTAINTY, DIFFERENCE)
DIFFERS = "#ff00ff"
"""Not in the palette of the classes."""


@dataclass(frozen=True)
class LabelsPlan:
    """All that a layer of a prediction needs, read in a background thread.

    Attributes
    ----------
    study : str
        The study's path.
    record : VolumeRecord
    content : str
        ``"prediction"``, ``"uncertainty of a prediction"`` or ``"difference"``.
    run : str
        Whose it is; of two, both with a blank between.
    data : list
        The pyramid, the full level first, (z, y, x).
    classes : tuple of LabelClass
    stamp : tuple
        What tells this state of a growing prediction from another.
    """

    study: str
    record: VolumeRecord
    content: str
    run: str
    data: list[Any]
    classes: tuple[LabelClass, ...] = ()
    stamp: tuple[object, ...] = ()

    @property
    def mark(self) -> dict[str, str]:
        """What says that a layer is this one."""
        return mark_of(self.study, self.record.name, self.content, self.run)

    @property
    def shown(self) -> Any:
        """What a layer takes: napari unwraps the pyramid of labels that has one level only."""
        return self.data if len(self.data) > 1 else self.data[0]

    @property
    def name(self) -> str:
        """The layer's name."""
        word = {UNCERTAINTY: "uncertainty"}.get(self.content, self.content)
        return f"{self.record.name} · {word} {self.run}"


def mark_of(study: str, volume: str, content: str, run: str) -> dict[str, str]:
    """Return what says that a layer shows one content of one prediction."""
    return {"study": study, "volume": volume, "content": content, "run": run}


def labels_plan(study: str, record: VolumeRecord, prediction: Prediction) -> LabelsPlan:
    """Return what is needed to show the labels of a prediction, growing or whole. Not for the GUI thread."""
    stamp = (prediction.complete, prediction.created, tuple(prediction.done))
    data, classes = list(prediction.pyramid()), prediction.classes
    return LabelsPlan(study, record, PREDICTION, prediction.run, data, classes, stamp)


def uncertainty_plan(study: str, record: VolumeRecord, prediction: Prediction) -> LabelsPlan:
    """Return what is needed to show where a prediction is unsure. Not for the GUI thread.

    Raises
    ------
    StudyError
        If it was made without the uncertainty.
    """
    stamp = (prediction.complete, prediction.created, tuple(prediction.done))
    data = list(prediction.uncertainty_pyramid())
    return LabelsPlan(study, record, UNCERTAINTY, prediction.run, data, (), stamp)


class SegmentLayers:
    """Shows predictions of one volume at a time; get it with `segment_layers_of`.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(unwrap(viewer))
        self._stamps: dict[tuple[str, ...], tuple[object, ...]] = {}

    def find(self, mark: dict[str, str]) -> Any:
        """Return the layer with a mark, or None."""
        viewer = self._viewer()
        return find(viewer, mark) if viewer is not None else None

    def shown(self, study: str, volume: str, content: str) -> list[str]:
        """Return the runs of which a content of a volume is in the viewer."""
        viewer = self._viewer()
        if viewer is None:
            return []
        marks = [layer.metadata.get(MARK, {}) for layer in viewer.layers]
        wanted = {"study": study, "volume": volume, "content": content}
        return [
            mark["run"] for mark in marks if "run" in mark and all(mark[k] == v for k, v in wanted.items())
        ]

    def show(self, plan: LabelsPlan) -> Any:
        """Show what is planned; a layer of ours that shows it already is brought up to date in place."""
        viewer = self._viewer()
        if viewer is None:
            return None
        layer, key = find(viewer, plan.mark), tuple(plan.mark.values())
        before, self._stamps[key] = self._stamps.get(key), plan.stamp
        if layer is not None and before == plan.stamp:
            return layer
        if layer is not None:
            layer.data = plan.shown
            layer.refresh()
            return layer
        return self._add(viewer, plan)

    def _add(self, viewer: Any, plan: LabelsPlan) -> Any:
        record = plan.record
        unit = fitting_unit(viewer, UNITS.get(record.unit, record.unit), lambda mark: mark == plan.mark)
        where = {
            "name": plan.name,
            "multiscale": len(plan.data) > 1,
            "scale": tuple(record.voxel_size),
            "translate": tuple(o * s for o, s in zip(record.offset, record.voxel_size, strict=True)),
            "units": (unit,) * 3,
            "axis_labels": AXES,
            "metadata": {MARK: plan.mark},
        }
        selected = set(viewer.layers.selection)
        if plan.content == UNCERTAINTY:
            layer = viewer.add_image(
                plan.shown,
                colormap="inferno",
                blending="additive",
                opacity=0.6,
                contrast_limits=(0, 255),
                **where,
            )
        else:
            layer = viewer.add_labels(plan.shown, opacity=0.5, **self._looks(plan), **where)
            layer.editable = False
        above = ("annotations",) if plan.content == DIFFERENCE else ("annotations", DIFFERENCE)
        put_below(viewer, layer, above)
        viewer.layers.selection = selected or {layer}
        return layer

    def _looks(self, plan: LabelsPlan) -> dict[str, Any]:
        if plan.content == DIFFERENCE:
            from napari.utils import DirectLabelColormap

            return {"colormap": DirectLabelColormap(color_dict={None: "transparent", 1: DIFFERS})}
        return {"colormap": colormap_of(plan.classes), "features": class_names(plan.classes)}

    def hide(self, mark: dict[str, str]) -> None:
        """Take a layer away."""
        viewer = self._viewer()
        layer = self.find(mark)
        self._stamps.pop(tuple(mark.values()), None)
        if viewer is not None and layer is not None:
            take_away(viewer, [layer])

    def keep_only(self, study: str, volume: str, runs: Iterable[str] | None = None) -> None:
        """Take away what is shown of other studies and volumes, and of runs of this volume that are not named.

        Parameters
        ----------
        study, volume : str
        runs : iterable of str or None
            Those that may stay; all if None.
        """
        viewer = self._viewer()
        if viewer is None:
            return
        allowed = None if runs is None else set(runs)
        gone = []
        for layer in viewer.layers:
            mark = layer.metadata.get(MARK, {})
            if mark.get("content") not in OURS or "run" not in mark:
                continue
            of_this = (mark["study"], mark["volume"]) == (study, volume)
            if not of_this or (allowed is not None and not set(mark["run"].split(" ")) <= allowed):
                gone.append(layer)
                self._stamps.pop(tuple(mark.values()), None)
        if gone:
            take_away(viewer, gone)


_found: weakref.WeakKeyDictionary[Any, SegmentLayers] = weakref.WeakKeyDictionary()


def segment_layers_of(viewer: Any) -> SegmentLayers:
    """Return the one `SegmentLayers` of a viewer, made when first asked for."""
    viewer = unwrap(viewer)
    found = _found.get(viewer)
    if found is None:
        found = _found[viewer] = SegmentLayers(viewer)
    return found
