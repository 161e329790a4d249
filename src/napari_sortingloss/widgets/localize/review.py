"""The review of boxes: shows the volume in view with its layers, follows slider, drag and threshold, and goes on to the next."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_sortingloss import wording
from napari_sortingloss.boxes import NO_BOX, grown
from napari_sortingloss.widgets.localize.box_saver import BoxKeeper
from napari_sortingloss.widgets.localize.layer_plan import LocalizePlan, plan
from napari_sortingloss.widgets.localize.layers import CONTENTS, localize_layers_of
from napari_sortingloss.widgets.stage import EDIT
from napari_sortingloss.widgets.viewer import layers, view

if TYPE_CHECKING:
    from napari_sortingloss.boxes import Box
    from napari_sortingloss.localize.grid import Grid
    from napari_sortingloss.localize.region import Region
    from napari_sortingloss.localize.review import Review
    from napari_sortingloss.study import Study
    from napari_sortingloss.study.localizations.reading import Localization, Status
    from napari_sortingloss.widgets.localize.stage import LocalizeWidget

MOST = 4
"""So many volumes' maps are kept in memory: the one in view, the next, and those just left."""


class ReviewShelf:
    """Loads the maps of localisations and keeps the last few; for any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Review] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, study: Study, found: Localization) -> Review:
        """Return the maps of a localisation. Not for the GUI thread."""
        key = (str(study.path), found.volume, found.run, found.created)
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        from napari_sortingloss.localize.review import load

        review = load(study, found.volume, found.run)
        with self._guard:
            self._kept[key] = review
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return review


class BoxReview:
    """The verbs of the review.

    Parameters
    ----------
    stage : LocalizeWidget
        Held weakly; it owns this object.

    Attributes
    ----------
    name : str
        The volume in view.
    found : Localization or None
        Where its specimen is, as a person sees it now; None while it is not localised.
    keeper : BoxKeeper
    """

    def __init__(self, stage: LocalizeWidget) -> None:
        self._weak = weakref.ref(stage)
        self.name = ""
        self.found: Localization | None = None
        self.keeper = BoxKeeper(stage, stage.background, stage.session.refresh)
        self.layers = localize_layers_of(stage.session.viewer)
        self._shelf = ReviewShelf()
        self._shown: tuple[str, ...] = ()  # the localisation whose layers are in the viewer, or on their way
        self._axis = ""  # the ordering axis of the volume shown last
        self._doubts: dict[tuple[str, ...], tuple[str, ...]] = {}  # what the region in view itself warns of
        self._place: tuple[Any, ...] = ()  # where the volume shown last lies
        stage.follow(self.layers.box_dragged, self.drag)
        stage.follow(self.layers.box_moving, self.follow_drag)
        stage.follow(self.layers.stepped, stage.panel.plot.set_slice)

    @property
    def _stage(self) -> LocalizeWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    # ------------------------------------------------------------------------------------------------- what is shown
    def look(self, name: str, found: Localization | None) -> None:
        """Show a volume, or what has changed about it."""
        stage, before = self._stage, self.found
        self.name, self.found = name, found
        record = stage.session.volumes.get(name)
        stage.panel.setVisible(found is not None)
        if found is None or record is None:
            self._shown = ()
            self.layers.remove()
            if stage.in_sight:
                stage.session.show_current()
            return
        stage.panel.show_localization(found, record)
        same = before is not None and _key(before) == _key(found)
        if same and before is not None and before.box != found.box and self._in_viewer(found):
            self.layers.set_box(found.box)  # another program moved it
        self.appear()

    def appear(self) -> None:
        """Show the layers of the volume in view, if the stage is in sight."""
        stage, study, found = self._stage, self._stage.session.study, self.found
        if study is None or found is None or not stage.in_sight:
            return
        on_their_way = stage.background.pending("review")
        if self._shown == _key(found) and (on_their_way or self.layers.plan is not None):
            return
        self._shown = _key(found)
        name = found.volume

        def work() -> tuple[layers.LayerPlan, LocalizePlan, tuple[str, ...]]:
            volume, review = study.volume(name), self._shelf.get(study, found)
            region = dataclasses.replace(review, localization=found).region()
            maps = plan(
                study,
                found,
                (review.uncertainty, review.grid),
                (region.mask, review.evidence_grid),
                volume.record,
            )
            return layers.plan(volume), maps, region.warnings

        stage.background.run(work, self._take, self._no_maps, topic="review")

    def forget(self) -> None:
        """Another study or run is in view: take the layers away."""
        self.keeper.write_soon()
        self._stage.background.drop("review")
        self.layers.remove()
        self.name, self.found, self._shown = "", None, ()

    def _take(self, plans: tuple[layers.LayerPlan, LocalizePlan, tuple[str, ...]]) -> None:
        volume, maps, doubts = plans
        stage, found = self._stage, self.found
        viewer = stage.session.viewer
        if viewer is None or found is None or self._shown != _key(found):
            return
        self._doubts[_key(found)] = doubts
        self._show_volume(viewer, volume)
        self.layers.show(maps)
        self.layers.set_box(found.box)
        self._prefetch()

    def _show_volume(self, viewer: Any, volume: layers.LayerPlan) -> None:
        """Show the voxels; a view that a person has turned stays so while the ordering axis is the same."""
        turn, self._axis = volume.axis != self._axis, volume.axis
        shown = layers.show(viewer, [volume], along_axis=turn, into_view=False, keep=CONTENTS)
        self._bring_into_view(viewer, shown)

    def _bring_into_view(self, viewer: Any, shown: Sequence[Any]) -> None:
        """Fit the view to a volume that lies elsewhere or is of another size than the one before; else leave the zoom."""
        record = self._stage.session.volumes[self.name]
        place = tuple(
            round(n * s, 3)
            for n, s in zip((*record.shape, *record.offset), record.voxel_size * 2, strict=True)
        )
        if place != self._place:
            self._place = place
            view.fit(viewer, shown)

    def _no_maps(self, error: BaseException) -> None:
        self._shown = ()
        self._stage.bar.show_error(error)

    def _prefetch(self) -> None:
        """Load the maps of the volume a person most likely goes to next."""
        stage, study = self._stage, self._stage.session.study
        found = stage.localization(stage.table.following())
        if study is not None and found is not None:
            stage.background.run(
                lambda: self._shelf.get(study, found), None, lambda _: None, topic="prefetch"
            )

    def go_to_position(self, axis: str, index: int) -> None:
        """Show a slice across an axis in the viewer; the index counts voxels of the volume."""
        stage, study = self._stage, self._stage.session.study
        viewer, record = stage.session.viewer, stage.session.volumes.get(self.name)
        if viewer is None or study is None or record is None or viewer.dims.ndim < 3:
            return
        layer = layers.find(viewer, {"study": str(study.path), "volume": self.name, "content": "volume"})
        if layer is not None:
            view.step_along(viewer, axis)
            view.go_to(viewer, layer.units, record.voxel_size, record.offset, "zyx".index(axis), index)

    # ------------------------------------------------------------------------------------------------- changing it
    def slide(self, box: Box) -> None:
        """A face was moved by slider or number."""
        self._change(box=box)
        if self.found is not None and self._in_viewer(self.found):
            self.layers.set_box(self.found.box)

    def drag(self, box: Box) -> None:
        """The box was dragged in the viewer."""
        if self.found is not None and self._in_viewer(self.found):
            self._change(box=box)

    def follow_drag(self, box: Box) -> None:
        """The box is being dragged: let the numbers follow; it counts once the person lets go."""
        if self.found is not None and self._in_viewer(self.found):
            self._stage.panel.show_box(self.found.replace(box=box))

    def _in_viewer(self, found: Localization) -> bool:
        shown, study = self.layers.plan, self._stage.session.study
        there = (shown.study, shown.volume, shown.run) if shown is not None else ()
        return study is not None and there == (str(study.path), found.volume, found.run)

    def set_fraction(self, fraction: float | None) -> None:
        """Cut the region anew at another share of the volume, without asking the network; None for automatic."""
        self._cut(fraction, {})

    def reset(self) -> None:
        """Go back to the box and the threshold as they were found."""
        found = self.found
        if found is None:
            return
        fraction = _settings(found).get("fraction")
        self.slide(found.found)
        self._cut(fraction, {"box": found.found})

    def _cut(self, fraction: float | None, given: dict[str, Any]) -> None:
        stage, study, found = self._stage, self._stage.session.study, self.found
        if study is None or found is None:
            return
        stage.bar.begin(EDIT)

        def work() -> tuple[Region, Grid]:
            review = self._shelf.get(study, found)
            return review.with_fraction(fraction), review.evidence_grid

        def done(cut: tuple[Region, Grid]) -> None:
            region, grid = cut
            key = _key(found)
            before = self._doubts.get(key, found.warnings)
            self._doubts[key] = region.warnings
            changes = {
                "box": _with_margin(region.box, found),
                "hull": region.hull,
                "threshold": region.threshold,
                "fraction": region.fraction,
                "automatic": fraction is None,
                "warnings": (*(w for w in found.warnings if w not in before), *region.warnings),
                **given,
            }
            current = stage.localization(found.volume)
            if current is None or _key(current) != key:
                return
            self.keeper.change(study, current, **changes)
            if self.found is not None and _key(self.found) == key:
                self._adopt(stage.localization(found.volume))
                if self._in_viewer(found):
                    self.layers.update_region(region.mask, grid, region.hull)
                    self.layers.set_box(changes["box"])
            stage.refresh()

        stage.background.run(work, done, topic=f"cut {found.volume}")

    def _change(self, **changes: Any) -> None:
        study = self._stage.session.study
        if study is None or self.found is None:
            return
        if all(getattr(self.found, name) == value for name, value in changes.items()):
            return
        self._stage.bar.begin(EDIT)
        self._adopt(self.keeper.change(study, self.found, **changes))
        self._stage.refresh()

    def _adopt(self, found: Localization | None) -> None:
        stage = self._stage
        record = stage.session.volumes.get(self.name)
        self.found = found
        if found is not None and record is not None:
            stage.panel.show_localization(found, record)

    # ------------------------------------------------------------------------------------------------- saying yes or no
    def accept(self) -> None:
        """Accept the box in view and go to the next unchecked volume."""
        if self.found is not None and self.found.is_empty:
            self._stage.bar.show_message(
                "warning",
                f"{self.name} has no box to accept: set its faces, lower the threshold, or skip it.",
                about=self.name,
            )
            return
        self._judge("accepted")

    def skip(self) -> None:
        """Leave the volume as it is, and go to the next unchecked one."""
        self._judge("skipped")

    def reopen(self) -> None:
        """Take back what was said of the volume in view."""
        self._change(status="found")

    def go_on(self) -> None:
        """Go to the next unchecked volume."""
        following = self._stage.table.next_unchecked()
        if following:
            self._stage.session.set_current_volume(following)

    def _judge(self, status: Status) -> None:
        stage = self._stage
        if self.found is None:
            return
        self._change(status=status)
        if stage.table.next_unchecked():
            self.go_on()
        else:
            self._say_done()

    def _say_done(self) -> None:
        stage = self._stage
        statuses = [row.status for row in stage.table.model_.rows]
        accepted, skipped = statuses.count("accepted"), statuses.count("skipped")
        text = f"All {wording.count(accepted + skipped, 'volume')} checked: {accepted} accepted, {skipped} skipped."
        if "none" in statuses:
            text += f" {wording.count(statuses.count('none'), 'volume')} not localized yet."
        left = len(stage.to_crop())
        if left:
            stage.bar.show_message("success", text, f"Crop {left} accepted ▸", stage.actions_.crop)
        else:
            stage.bar.show_message("success", text)


def _settings(found: Localization) -> dict[str, float]:
    """Return what the job was told that still matters here, whatever version of the program told it."""
    told = {name: found.settings.get(name) for name in ("fraction", "margin")}
    return {name: value for name, value in told.items() if isinstance(value, (int, float))}


def _with_margin(box: Box, found: Localization) -> Box:
    margin = _settings(found).get("margin", 0.0)
    return box if box == NO_BOX else grown(box, found.shape, [margin / 100 * n for n in found.shape])


def _key(found: Localization) -> tuple[str, ...]:
    return found.volume, found.run, found.created
