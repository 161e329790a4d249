"""Which stages there are, in the order of the work; a new stage is one line here and two in napari.yaml."""

from __future__ import annotations

STAGES = {
    "Study": "napari_sortingloss.widgets.study.stage:StudyWidget",
    "Pre-train": "napari_sortingloss.widgets.pretrain.stage:PretrainWidget",
    "Localize": "napari_sortingloss.widgets.localize.stage:LocalizeWidget",
    "Annotate": "napari_sortingloss.widgets.annotate.stage:AnnotateWidget",
    "Segment": "napari_sortingloss.widgets.segment.stage:SegmentWidget",
}
