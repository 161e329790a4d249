"""The questions the Study stage asks: which folder, which files, which layer, are you sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QWidget

from napari_sortingloss import wording
from napari_sortingloss.widgets.viewer.layers import usable

if TYPE_CHECKING:
    from napari_sortingloss.study import Study

EXPORTS = (
    "OME-TIFF (*.ome.tif);;TIFF (*.tif);;NIfTI, compressed (*.nii.gz);;NIfTI (*.nii);;NRRD (*.nrrd);;"
    "OME-Zarr (*.ome.zarr)"
)

LABEL_EXPORTS = (
    "NIfTI, compressed (*.nii.gz);;OME-TIFF (*.ome.tif);;TIFF (*.tif);;NRRD segmentation (*.seg.nrrd);;NRRD (*.nrrd);;"
    "OME-Zarr (*.ome.zarr)"
)
MESH_EXPORTS = "PLY, with colours (*.ply);;STL (*.stl);;OBJ (*.obj)"


def _beside(study: Study | None) -> str:
    return str(study.path.parent) if study is not None else ""


def choose_study(parent: QWidget, study: Study | None) -> Path | None:
    """Ask for the folder of a study."""
    chosen = QFileDialog.getExistingDirectory(parent, "Open a study", _beside(study))
    return Path(chosen) if chosen else None


def choose_new_study(parent: QWidget, study: Study | None = None, start: Path | None = None) -> Path | None:
    """Ask where an empty study is to be made, beginning with `start` or beside an open one."""
    first = start if start is not None else Path(_beside(study)) / "my-study"
    chosen, _ = QFileDialog.getSaveFileName(parent, "New study: name of its folder", str(first))
    return Path(chosen) if chosen else None


def choose_files(parent: QWidget) -> list[Path]:
    """Ask for volume files."""
    from napari_sortingloss.formats import SUFFIXES

    patterns = " ".join(f"*{suffix}" for suffix in SUFFIXES)
    chosen, _ = QFileDialog.getOpenFileNames(
        parent, "Add volumes from files", "", f"Volumes ({patterns});;All files (*)"
    )
    return [Path(path) for path in chosen]


def choose_folder(parent: QWidget) -> Path | None:
    """Ask for a folder of volumes or slices."""
    chosen = QFileDialog.getExistingDirectory(parent, "Add a folder of volumes, or of the slices of one")
    return Path(chosen) if chosen else None


def choose_export(parent: QWidget, name: str) -> Path | None:
    """Ask for the file a volume is written to; a missing suffix is that of the chosen format."""
    return _choose_target(parent, name, EXPORTS)


def choose_label_export(parent: QWidget, name: str, what: str) -> Path | None:
    """Ask for the file that labels, or their surfaces (``"mesh"``), are written to."""
    return _choose_target(parent, name, MESH_EXPORTS if what == "mesh" else LABEL_EXPORTS)


def _choose_target(parent: QWidget, name: str, formats: str) -> Path | None:
    first = formats[formats.index("*") + 1 : formats.index(")")]
    chosen, kind = QFileDialog.getSaveFileName(parent, f"Export {name}", name + first, formats)
    if not chosen:
        return None
    path = Path(chosen)
    if path.suffix:
        return path
    path = path.with_name(path.name + kind[kind.rindex("*") + 1 : -1])
    return path if not path.exists() or _may_replace(parent, path) else None


def _may_replace(parent: QWidget, path: Path) -> bool:
    """Ask what the file dialog has not asked, since it did not know the whole name."""
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.Cancel
    question = f"{path.name} exists already. Replace it?"
    return QMessageBox.question(parent, "Export", question, yes | no, no) == yes


def confirm_removal(parent: QWidget, names: Sequence[str]) -> bool:
    """Ask whether volumes are to be removed."""
    what = names[0] if len(names) == 1 else wording.count(len(names), "volume")
    answer = QMessageBox.question(
        parent,
        "Remove from study",
        f"Remove {what} from the study? The copy in the study is deleted with what was computed from it. "
        "The files it came from stay.",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel,
        QMessageBox.StandardButton.Cancel,
    )
    return answer == QMessageBox.StandardButton.Yes


def layer_menu(
    parent: QWidget, button: QWidget, layers: Sequence[Any], chosen: Callable[[Any], None]
) -> QMenu:
    """Offer layers below a button; those that cannot become a volume say why."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for layer in layers:
        why = usable(layer)
        entry = menu.addAction(f"{layer.name} ({why})" if why else layer.name)
        entry.setEnabled(not why)
        entry.triggered.connect(partial(_call, chosen, layer))
    if not layers:
        menu.addAction("(no layers are open)").setEnabled(False)
    menu.popup(button.mapToGlobal(QPoint(0, button.height())))
    return menu


def _call(chosen: Callable[[Any], None], layer: Any, *_: object) -> None:
    chosen(layer)
