"""The selected volumes: what they look like from end to end, and their axis, direction and voxel size to edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_sortingloss import wording
from napari_sortingloss.errors import UserError
from napari_sortingloss.widgets.study.axis_edit import AxisEdit, VoxelSizeRow
from napari_sortingloss.widgets.study.previews import STRIP, volume_strip
from napari_sortingloss.widgets.toolkit.background import Background
from napari_sortingloss.widgets.toolkit.pictures import Row

if TYPE_CHECKING:
    from napari_sortingloss.study import Study, VolumeRecord


class VolumeDetails(QWidget):
    """Shows and edits what the study says about the selected volumes.

    Parameters
    ----------
    background : Background
        Reads the slices.

    Attributes
    ----------
    edited : psygnal.Signal
        ``edited(names, changes)``: changes as `Study.update_volume` takes them.
    failed : psygnal.Signal
        ``failed(error)``: what was typed cannot be used.
    """

    edited = Signal(object, object)
    failed = Signal(object)

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self.records: tuple[VolumeRecord, ...] = ()
        self._shown: tuple[object, ...] = ()
        self.title = QLabel()
        self.title.setProperty("muted", True)
        self.title.setWordWrap(True)
        self.strip = Row(STRIP, 72)
        self.strip.setToolTip(
            "Slices along the ordering axis, first to last: all volumes should run the same way"
        )
        self.axis = AxisEdit()
        self.axis.changed.connect(self._on_axis)
        self.size_row = VoxelSizeRow()
        self.size_row.restored.connect(self._as_in_file)
        self.voxel_size = self.size_row.edit
        self.voxel_size.changed.connect(self._on_voxel_size)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(8)
        form.setVerticalSpacing(4)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        form.addRow("Ordering axis", self.axis)
        form.addRow("Voxel size", self.size_row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(form)
        layout.addWidget(self.strip)
        layout.addWidget(self.title)

    def set_volumes(
        self, study: Study | None, names: Sequence[str], volumes: Mapping[str, VolumeRecord]
    ) -> None:
        """Show these volumes; the slices are those of the last one."""
        self.records = tuple(volumes[name] for name in names if name in volumes)
        self.setVisible(bool(self.records))
        if not self.records or study is None:
            self._shown = ()
            return
        last = self.records[-1]
        self.axis.set_value(last.axis, last.direction)
        self._show_voxel_size()
        self.title.setText(_about(self.records))
        key = (study.path, last.name, last.created, last.axis, last.direction, last.voxel_size)
        if key == self._shown:
            return
        self._shown = key
        name = last.name
        self._background.run(lambda: volume_strip(study.volume(name)), self._take_strip, topic="strip")

    def focus_first(self) -> None:
        """Give the keyboard to the first editor."""
        self.axis.axis.setFocus()

    def _take_strip(self, found: tuple[list[np.ndarray], list[str], tuple[float, float]]) -> None:
        self.strip.set_images(*found)

    def _on_axis(self) -> None:
        axis, direction = self.axis.value()
        self._tell({"axis": axis, "direction": direction})

    def _show_voxel_size(self) -> None:
        last = self.records[-1]
        self.voxel_size.set_value(last.voxel_size if last.unit else None, last.unit)
        others = [record for record in self.records if _differs_from_file(record)]
        found = last.size_in_file if last in others else None
        text = "As in their files" if others else ""
        if found is not None and len(self.records) == 1:
            text = f"As in the file: {wording.voxel_size(*found)}"
        self.size_row.offer(text, "Take the voxel size that the file gave when it was added")

    def _as_in_file(self) -> None:
        for record in self.records:
            found = record.size_in_file
            if found is not None:
                self.edited.emit((record.name,), {"voxel_size": found[0], "unit": found[1]})

    def _on_voxel_size(self) -> None:
        try:
            size, unit = self.voxel_size.value()
        except UserError as error:
            self._show_voxel_size()
            self.failed.emit(error)
            return
        if size is not None and not unit:
            unit = "mm" if not self.records[-1].unit else ""
            self.voxel_size.set_value(size, unit)
        if size is None:
            size, unit = (1.0, 1.0, 1.0), ""
        self._tell({"voxel_size": size, "unit": unit})

    def _tell(self, changes: dict[str, object]) -> None:
        if self.records:
            self.edited.emit(tuple(record.name for record in self.records), changes)


def _differs_from_file(record: VolumeRecord) -> bool:
    found = record.size_in_file
    return found is not None and found != (record.voxel_size, record.unit)


def _about(records: Sequence[VolumeRecord]) -> str:
    last = records[-1]
    if len(records) > 1:
        return f"{wording.count(len(records), 'volume')} selected; edits apply to all. Shown: {last.name}."
    source = last.source
    parts = [str(source.get("format", ""))]
    low, high = last.window
    parts.append(f"window {wording.number(low)} to {wording.number(high)}")
    if last.downsample > 1:
        parts.append(f"downsampled {last.downsample} ×")
    return f"{last.name}: " + " · ".join(part for part in parts if part)
