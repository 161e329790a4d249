"""Which predictions a person wants to see, and bringing them into the viewer as they are there, or grow."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_sortingloss.widgets.segment.layers import (
    DIFFERENCE,
    PREDICTION,
    UNCERTAINTY,
    LabelsPlan,
    labels_plan,
    mark_of,
    segment_layers_of,
    uncertainty_plan,
)
from napari_sortingloss.widgets.viewer import layers

if TYPE_CHECKING:
    from napari_sortingloss.study.predictions.reading import Prediction
    from napari_sortingloss.widgets.segment.stage import SegmentWidget


class Shown:
    """The layers of predictions that follow the ticks of the table and the volume in view.

    Parameters
    ----------
    stage : SegmentWidget
        Held weakly; it owns this object.

    Attributes
    ----------
    ticked : set of str
        The runs whose predictions a person wants to see, of whichever volume is in view.
    unsure : set of str
        Likewise, where they are unsure.
    wanted : bool
        Whether a person wants to see predictions: the newest whole one of a volume is shown until they take them away.
    """

    def __init__(self, stage: SegmentWidget) -> None:
        self._weak = weakref.ref(stage)
        self.layers = segment_layers_of(stage.session.viewer)
        self.ticked: set[str] = set()
        self.unsure: set[str] = set()
        self.wanted = True
        self._study = ""

    @property
    def _stage(self) -> SegmentWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    def refresh(self) -> None:
        """Bring table and viewer in line with what is on disk and what a person wants to see."""
        stage = self._stage
        place = stage.of_volume
        if place is None or place[0] != self._study:
            self.ticked, self.unsure, self.wanted = set(), set(), True
            self._study = place[0] if place is not None else ""
        if place is None:
            self.layers.keep_only("", "")
            self.say()
            return
        study, volume = place
        there = {look.run for look in stage.predictions()}
        self.ticked |= set(self.layers.shown(study, volume, PREDICTION)) & there
        if self.wanted and stage.in_sight and not self.ticked & there:
            self.ticked |= {look.run for look in stage.finished_predictions()[:1]}
        self.layers.keep_only(study, volume, there)
        self.say()
        for look in stage.predictions():
            if look.value is not None and look.run in self.ticked:
                self._show(volume, look.value, labels_plan)
            if look.value is not None and look.run in self.unsure and look.value.has_uncertainty:
                self._show(volume, look.value, uncertainty_plan)

    def say(self) -> None:
        """Bring the table up to date."""
        stage = self._stage
        looks = stage.predictions()
        volume = stage.session.current_volume or "no volume"
        stage.panel.predictions.set_predictions(looks, self.ticked, stage.predicting.busy_run)
        stage.panel.predictions.setVisible(bool(looks))
        stage.panel.predictions_title.setVisible(bool(stage.session.predictions))
        stage.panel.predictions_title.setText(
            f"predictions of {volume}" if looks else f"nothing of {volume} is predicted yet"
        )

    def tick(self, run: str, on: bool) -> None:
        """Show a prediction of the volume in view, or take it away."""
        stage, place = self._stage, self._stage.of_volume
        if place is None:
            return
        if on:
            self.ticked.add(run)
            self.wanted = True
            self.refresh()
        else:
            self._put_away(run)
            self.layers.hide(mark_of(*place, PREDICTION, run))
            self.say()
        stage.update_buttons()

    def _put_away(self, run: str) -> None:
        """A person has enough of a prediction; of all, when none of the volume is left."""
        self.ticked.discard(run)
        self.wanted = bool(self.ticked & {look.run for look in self._stage.predictions()})

    def toggle_uncertainty(self, run: str) -> None:
        """Show where a prediction is unsure, or take that away."""
        place = self._stage.of_volume
        if place is None:
            return
        if run in self.unsure:
            self.unsure.discard(run)
            self.layers.hide(mark_of(*place, UNCERTAINTY, run))
        else:
            self.unsure.add(run)
            self.refresh()

    def expect(self, run: str) -> None:
        """A run is about to predict: what it says is to be seen as it grows."""
        self.ticked.add(run)
        self._stage.live.clear()
        self.say()

    def grow(self, volume: str, run: str) -> None:
        """Show how much of a volume a run has predicted, if the volume is in view."""
        stage, study = self._stage, self._stage.session.study
        if study is None or volume != stage.session.current_volume:
            return
        look = stage.session.predictions.get(volume, {}).get(run)
        if run not in self.ticked or (look is not None and look.complete):
            return  # a person has enough of it, or looks at the whole one until it is replaced

        def read() -> Prediction | None:
            from napari_sortingloss.study.predictions.reading import growing_prediction

            return growing_prediction(study, volume, run)

        def take(found: Prediction | None) -> None:
            if found is not None and found.done and run in self.ticked:
                self._show(volume, found, labels_plan)

        stage.background.run(read, take, topic="grow")

    def finish(self, volume: str, run: str) -> None:
        """Show a prediction that has just been finished, as soon as the study says that it is there."""
        stage = self._stage
        if volume == stage.session.current_volume:
            self.ticked.add(run)
            stage.panel.predictions.choose(run)
            stage.session.refresh()

    def hide_all(self) -> None:
        """Take all labels predicted of the volume in view away."""
        place = self._stage.of_volume
        if place is None:
            return
        for run in self.layers.shown(*place, PREDICTION):
            self.ticked.discard(run)
            self.layers.hide(mark_of(*place, PREDICTION, run))
        self.hide_differences()
        self.say()

    def forget(self, volume: str, run: str) -> None:
        """Take what is shown of a prediction away."""
        study = self._study
        self.ticked.discard(run)
        self.unsure.discard(run)
        for content in (PREDICTION, UNCERTAINTY):
            self.layers.hide(mark_of(study, volume, content, run))
        for pair in self.layers.shown(study, volume, DIFFERENCE):
            if run in pair.split(" "):
                self.layers.hide(mark_of(study, volume, DIFFERENCE, pair))
        self.say()

    def removed(self, layer: Any) -> None:
        """Take note that a person removed a layer of ours."""
        mark = layer.metadata.get(layers.MARK, {})
        run = mark.get("run")
        if run is not None and (mark["study"], mark["volume"]) == self._stage.of_volume:
            if mark["content"] == PREDICTION:
                self._put_away(run)
            elif mark["content"] == UNCERTAINTY:
                self.unsure.discard(run)
            self.say()

    # --------------------------------------------------------------------------------------------------- differences
    def difference(self, first: str, second: str) -> None:
        """Show where two predictions of the volume in view differ, above whatever else is shown of them."""
        stage = self._stage
        looks = {look.run: look for look in stage.predictions()}
        a, b = looks[first].value, looks[second].value
        record = stage.session.volumes.get(stage.session.current_volume or "")
        place = stage.of_volume
        if a is None or b is None or record is None or place is None:
            return
        from napari_sortingloss.widgets.segment.compare_runs import difference_plan

        self.hide_differences()
        study = place[0]
        stage.background.run(lambda: difference_plan(study, record, a, b), self._take)

    def hide_differences(self) -> None:
        """Take the layer of the differences away."""
        place = self._stage.of_volume
        if place is None:
            return
        for pair in self.layers.shown(*place, DIFFERENCE):
            self.layers.hide(mark_of(*place, DIFFERENCE, pair))
        self._stage.panel.show_agreement({})

    # ------------------------------------------------------------------------------------------------------- showing
    def _show(self, volume: str, prediction: Prediction, plan: Callable[..., LabelsPlan]) -> None:
        stage, study = self._stage, self._stage.session.study
        record = stage.session.volumes.get(volume)
        if study is None or record is None:
            return
        viewer = stage.session.viewer
        mark = {"study": str(study.path), "volume": volume, "content": "volume"}
        bare = viewer is not None and layers.find(viewer, mark) is None

        def read() -> tuple[Any, LabelsPlan]:
            below = layers.plan(study.volume(volume)) if bare else None
            return below, plan(str(study.path), record, prediction)

        def take(found: tuple[Any, LabelsPlan]) -> None:
            below, labels = found
            if viewer is not None and below is not None and layers.find(viewer, mark) is None:
                layers.show(viewer, [below])
            self._take(labels)

        stage.background.run(read, take, topic=f"show {plan.__name__} {prediction.run}")

    def _take(self, plan: LabelsPlan) -> None:
        """Show what was read, if it is still wanted."""
        stage = self._stage
        if (plan.study, plan.record.name) != stage.of_volume:
            return
        wanted = {PREDICTION: self.ticked, UNCERTAINTY: self.unsure}.get(plan.content)
        if wanted is None or plan.run in wanted:
            self.layers.show(plan)
