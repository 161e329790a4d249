"""Volumes of a study as napari layers: views of what is on disk, marked as ours; nobody else's layer is ever touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sortingloss.errors import BadInput
from napari_sortingloss.widgets.toolkit.theme import unwrap
from napari_sortingloss.widgets.viewer.view import fit, go_to, slice_in_view, step_along

if TYPE_CHECKING:
    from napari_sortingloss.study import Volume

MARK = "napari_sortingloss"
AXES = ("z", "y", "x")
UNITS = {"": "pixel", "px": "pixel", "µm": "um"}


@dataclass(frozen=True)
class LayerPlan:
    """All that a layer needs, read in a background thread; `apply` then only touches the viewer.

    Attributes
    ----------
    study, volume, content : str
        Whose view it is: the study's path, the volume's name, what of it (``"volume"``, ``"uncertainty"``…).
    name : str
        The layer's name: ``A_J``, or ``A_J · uncertainty``.
    data : list of dask.array.Array
        The pyramid, the full level first, (z, y, x).
    scale, translate : tuple of float
        (z, y, x) in `unit`.
    unit : str
        As napari's units, e.g. ``"mm"``, ``"um"`` or ``"pixel"``.
    axis : str
        The ordering axis.
    """

    study: str
    volume: str
    content: str
    name: str
    data: list[Any]
    scale: tuple[float, float, float]
    translate: tuple[float, float, float]
    unit: str
    axis: str

    @property
    def mark(self) -> dict[str, str]:
        """What says that a layer is this one."""
        return {"study": self.study, "volume": self.volume, "content": self.content}


def plan(volume: Volume) -> LayerPlan:
    """Read what is needed to show a volume. Not for the GUI thread."""
    record = volume.record
    offset = tuple(o * s for o, s in zip(record.offset, record.voxel_size, strict=True))
    return LayerPlan(
        study=str(volume.study),
        volume=volume.name,
        content="volume",
        name=volume.name,
        data=volume.pyramid(),
        scale=tuple(record.voxel_size),
        translate=offset,
        unit=UNITS.get(record.unit, record.unit),
        axis=record.axis,
    )


def show(
    viewer: Any,
    plans: list[LayerPlan],
    *,
    along_axis: bool = True,
    into_view: bool = True,
    keep: Collection[str] = (),
) -> list[Any]:
    """Show volumes in the viewer, and no others of ours; what is not ours stays as it is.

    A layer of ours that shows a volume already is brought up to date in place, one that showed another volume is used
    again, with the contrast and colours that a person gave it. What else is shown of other volumes goes, since it would lie
    over these and stretch the slider; annotations are looked after by whoever opened them.

    Parameters
    ----------
    viewer : napari.Viewer
    plans : list of LayerPlan
    along_axis : bool
        Let the slider step along the ordering axis of the first volume.
    into_view : bool
        Fit the camera to them, and go to the middle slice of the first, unless it was in view.
    keep : collection of str
        Contents that stay though they are of other volumes: their owner is about to exchange them.

    Returns
    -------
    list of napari.layers.Image
    """
    viewer = unwrap(viewer)
    wanted = [item.mark for item in plans]
    spare = [layer for layer in ours(viewer, "volume") if layer.metadata[MARK] not in wanted]
    others = _of_others(viewer, wanted, keep)
    leaving = [layer.metadata[MARK] for layer in (*spare, *others)]
    shown, before = [], [layer for layer in ours(viewer, "volume") if layer.visible and layer not in spare]
    for item in plans:
        unit = fitting_unit(viewer, item.unit, lambda mark, own=item.mark: mark == own or mark in leaving)
        layer = find(viewer, item.mark)
        if layer is None and spare:
            layer = spare.pop()
            layer.metadata[MARK] = item.mark
        elif layer is not None and layer.data[0].shape != item.data[0].shape:
            take_away(viewer, [layer])
            layer = None
        if layer is None:
            layer = viewer.add_image(item.data, **{**options(item), "units": (unit,) * 3})
        else:
            layer.data = item.data
            layer.scale, layer.translate, layer.units = item.scale, item.translate, (unit,) * 3
            layer.name = item.name
            layer.visible = True
        shown.append(layer)
    take_away(viewer, [*spare, *others])
    if shown:
        viewer.layers.selection = set(shown)
        viewer.layers.selection.active = shown[-1]
        if along_axis:
            step_along(viewer, plans[0].axis)
        if into_view:
            fit(viewer, shown)
            _look_inside(viewer, shown[0], plans[0], anew=shown[0] not in before)
    return shown


def _of_others(viewer: Any, wanted: Iterable[Mapping[str, str]], keep: Collection[str]) -> list[Any]:
    """Return what is shown of volumes other than some, but for the volumes themselves and their annotations."""
    volumes = {(mark["study"], mark["volume"]) for mark in wanted}
    stay = {"volume", "annotations", *keep}
    return [
        layer
        for layer in ours(viewer)
        if layer.metadata[MARK].get("content") not in stay
        and (layer.metadata[MARK].get("study"), layer.metadata[MARK].get("volume")) not in volumes
    ]


def _look_inside(viewer: Any, layer: Any, item: LayerPlan, *, anew: bool) -> None:
    """Go to the middle slice of a volume that was not in view, or none of whose slices is."""
    if viewer.dims.ndim < 3:
        return
    offset = tuple(t / s for t, s in zip(item.translate, item.scale, strict=True))
    axis, index, _ = slice_in_view(viewer, layer.units, item.scale, offset)
    size = item.data[0].shape[axis]
    if anew or not 0 <= index < size:
        go_to(viewer, layer.units, item.scale, offset, axis, size // 2)


def ours(viewer: Any, content: str = "") -> list[Any]:
    """Return the layers of ours, those with a content if one is named."""
    marked = [layer for layer in unwrap(viewer).layers if layer.metadata.get(MARK) is not None]
    return [layer for layer in marked if not content or layer.metadata[MARK].get("content") == content]


def leave_other_studies(viewer: Any, study: str) -> None:
    """Take away what is shown of studies other than one; annotations are looked after by whoever opened them."""
    gone = [
        layer
        for layer in ours(viewer)
        if layer.metadata[MARK].get("study") != study and layer.metadata[MARK].get("content") != "annotations"
    ]
    take_away(viewer, gone)


def options(item: LayerPlan) -> dict[str, Any]:
    """Return what napari's ``add_image`` is told about a volume."""
    return {
        "name": item.name,
        "multiscale": True,
        "scale": item.scale,
        "translate": item.translate,
        "units": (item.unit,) * 3,
        "axis_labels": AXES,
        "contrast_limits": (0, 255),
        "metadata": {MARK: item.mark},
    }


def find(viewer: Any, mark: dict[str, str]) -> Any:
    """Return the layer of ours with this mark, or None."""
    return next((layer for layer in unwrap(viewer).layers if layer.metadata.get(MARK) == mark), None)


def take_away(viewer: Any, gone: Iterable[Any]) -> None:
    """Remove layers, which are ours no more."""
    viewer = unwrap(viewer)
    for layer in sorted(gone, key=viewer.layers.index, reverse=True):
        layer.metadata.pop(MARK, None)
        viewer.layers.remove(layer)


def rename(viewer: Any, study: str, old: str, new: str | None) -> None:
    """Follow a volume that was renamed; take its layers away if `new` is None (it was removed)."""
    viewer = unwrap(viewer)
    gone = []
    for layer in list(viewer.layers):
        mark = layer.metadata.get(MARK)
        if mark is None or mark.get("study") != study or mark.get("volume") != old:
            continue
        if new is None:
            gone.append(layer)
        else:
            layer.metadata[MARK] = {**mark, "volume": new}
            layer.name = layer.name.replace(old, new, 1)
    take_away(viewer, gone)


@dataclass(frozen=True)
class OpenLayer:
    """An image layer a volume can be made from.

    Attributes
    ----------
    name : str
    data : array-like
        The full level, (z, y, x).
    voxel_size : tuple of float
    unit : str
        Empty where the layer only knows pixels.
    """

    name: str
    data: Any
    voxel_size: tuple[float, float, float]
    unit: str


def usable(layer: Any) -> str:
    """Return why a layer cannot become a volume; empty if it can."""
    if type(layer).__name__ not in ("Image", "Labels"):
        return "not an image"
    if getattr(layer, "rgb", False):
        return "a colour image, not one of grey values"
    if layer.metadata.get(MARK) is not None:
        return "already in the study"
    shape = layer.data[0].shape if layer.multiscale else layer.data.shape
    if len(shape) != 3:
        return f"{len(shape)}-dimensional instead of a volume"
    return ""


def read_layer(layer: Any) -> OpenLayer:
    """Return what a volume needs of a layer; the voxels are not read yet.

    Raises
    ------
    BadInput
        If the layer is no volume.
    """
    why = usable(layer)
    if why:
        raise BadInput(f"Cannot add layer '{layer.name}'", f"it is {why}", "choose a 3D image layer")
    data = layer.data[0] if layer.multiscale else layer.data
    unit = str(layer.units[-1])
    known = unit not in ("pixel", "px", "")
    scale = tuple(abs(float(s)) for s in layer.scale)
    return OpenLayer(
        name=layer.name,
        data=data,
        voxel_size=scale,  # type: ignore[arg-type]
        unit={"millimeter": "mm", "micrometer": "um", "nanometer": "nm"}.get(unit, unit) if known else "",
    )


def fitting_unit(viewer: Any, unit: str, own: Callable[[dict[str, str]], bool]) -> str:
    """Return a unit napari can show beside the layers that are there: lengths and pixels do not mix in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    unit : str
        What the layer would have by itself.
    own : callable
        Tells by its mark whether a layer is one of those that are to get the unit.
    """
    others = {str(layer.units[-1]) for layer in viewer.layers if not own(layer.metadata.get(MARK, {}))}
    if others and ("pixel" in others) != (unit == "pixel"):
        return "pixel"
    return unit
