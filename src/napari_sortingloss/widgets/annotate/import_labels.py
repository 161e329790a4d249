"""Importing labels from a file into the open annotations: what would be overwritten is shown before anything is."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss import wording
from napari_sortingloss.errors import BadSetting, NeedsOption
from napari_sortingloss.events import Event
from napari_sortingloss.formats.naming import reading_fields
from napari_sortingloss.widgets.annotate.opening import IMPORT
from napari_sortingloss.widgets.session.jobs import Job
from napari_sortingloss.widgets.stage import allow
from napari_sortingloss.widgets.study.read_options_dialog import READING
from napari_sortingloss.widgets.toolkit.forms import Form

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.editor import AnnotationEditor
    from napari_sortingloss.study.exchange.import_labels import ImportPlan
    from napari_sortingloss.study.exchange.import_labels_settings import ImportLabelsSettings
    from napari_sortingloss.widgets.annotate.reading import Shared
    from napari_sortingloss.widgets.annotate.stage import AnnotateWidget

MERGES = {
    "keep": "Keep what is painted; fill in the rest",
    "replace": "Replace what is painted where the file has a label",
    "only-empty": "Only slices on which nothing is painted",
}
STATUSES = {
    "partial": "partial: unpainted is unknown",
    "complete": "complete: unpainted is background",
}
COUNTING = "Counting what would change…"


class ImportDialog(QDialog):
    """Asks how labels are merged, and says what that would do.

    Parameters
    ----------
    volume : str
    path : Path
    parent : QWidget or None

    Attributes
    ----------
    reading : Form
        How the file is read, folded away until it cannot be read without, e.g. which dataset of several.
    changed : psygnal.Signal
        ``changed()``: another rule or way of reading was chosen; whoever listens answers with `show_plan`.
    accepted_ : psygnal.Signal
        ``accepted_()``: import it.
    """

    changed = Signal()
    accepted_ = Signal()

    def __init__(self, volume: str, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        from napari_sortingloss.study.exchange.import_labels_settings import ImportLabelsSettings

        self.setWindowTitle("Import labels")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.volume, self.path = volume, path
        about = QLabel(f"Labels of {volume} from {path.name}")
        about.setProperty("heading", True)
        self.plan = QLabel(COUNTING)
        self.plan.setWordWrap(True)
        self.plan.setMinimumHeight(4 * self.fontMetrics().lineSpacing())
        self.plan.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addWidget(QLabel("Where something is painted already:"))
        self.merge = self._choices(layout, MERGES)
        layout.addWidget(QLabel("Slices with labels become:"))
        self.status = self._choices(layout, STATUSES)
        useless = [name for name in READING if name not in reading_fields(path)]
        self.reading = Form(ImportLabelsSettings, exclude=("merge", "status", *useless))
        self.reading.changed.connect(self._on_change)
        layout.addWidget(self.reading)
        layout.addWidget(self.plan)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.import_button = buttons.addButton("Import", QDialogButtonBox.ButtonRole.ActionRole)
        self.import_button.clicked.connect(lambda *_: self._accept())
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
        self.resize(440, self.sizeHint().height())
        self.wait()

    def _choices(self, layout: QVBoxLayout, choices: dict[str, str]) -> QButtonGroup:
        group = QButtonGroup(self)
        for number, (value, text) in enumerate(choices.items()):
            button = QRadioButton(text)
            button.setProperty("value", value)
            button.setChecked(number == 0)
            group.addButton(button, number)
            layout.addWidget(button)
        group.buttonToggled.connect(self._on_toggled)
        return group

    def settings(self) -> ImportLabelsSettings:
        """Return what was chosen.

        Raises
        ------
        BadSetting
            If a way of reading does not fit.
        """
        found: ImportLabelsSettings = self.reading.value(
            volume=self.volume,
            path=self.path,
            merge=self.merge.checkedButton().property("value"),
            status=self.status.checkedButton().property("value"),
        )
        return found

    def wait(self) -> None:
        """Say that it is being counted."""
        self.plan.setText(COUNTING)
        allow(self.import_button, "Wait until it is known what would change")

    def show_plan(self, plan: ImportPlan) -> None:
        """Say what would be done."""
        warning = "⚠ " if plan.overwritten else ""
        self.plan.setText(f"{warning}{plan.text}")
        allow(self.import_button, "" if plan.painted else "The file has no label that would come in")

    def show_problem(self, error: BaseException) -> None:
        """Say why it cannot be done."""
        self.plan.setText(f"✖ {error}")
        allow(self.import_button, str(error))
        if isinstance(error, NeedsOption) and self.reading.fold is not None:
            self.reading.fold.set_open(True)  # where to say how else the file could be read

    def _on_toggled(self, button: object, on: bool) -> None:
        if on and hasattr(self, "reading"):
            self._on_change()

    def _on_change(self) -> None:
        self.wait()
        self.changed.emit()

    def _accept(self) -> None:
        self.accepted_.emit()
        self.accept()


class LabelImport:
    """Runs the import of a stage.

    Parameters
    ----------
    stage : AnnotateWidget
        Held weakly.
    """

    def __init__(self, stage: AnnotateWidget) -> None:
        self._weak = weakref.ref(stage)

    @property
    def _stage(self) -> AnnotateWidget:
        stage = self._weak()
        assert stage is not None
        return stage

    def why_not(self) -> str:
        """Return why nothing can be imported now; empty if it can."""
        job = self._stage.session.jobs.find(IMPORT)
        return "Labels are being imported already" if job is not None else ""

    def choose(self) -> None:
        """Ask for a file, then how it is merged."""
        path = choose_labels(self._stage)
        if path is not None:
            self.propose(path)

    def propose(self, path: Path) -> ImportDialog | None:
        """Show what importing a file would do."""
        stage = self._stage
        annotating = stage.annotating
        if annotating.editor is None or annotating.volume is None:
            return None
        dialog = ImportDialog(annotating.volume, path, stage)
        shown, weak = weakref.ref(dialog), weakref.ref(self)

        def count() -> None:
            there, mine = shown(), weak()
            if there is not None and mine is not None:
                mine._count(there)

        def start() -> None:
            there, mine = shown(), weak()
            if there is not None and mine is not None:
                mine.start(there.settings())

        dialog.changed.connect(count)
        dialog.accepted_.connect(start)
        count()
        dialog.show()
        return dialog

    def _count(self, dialog: ImportDialog) -> None:
        stage = self._stage
        study, editor = stage.session.study, stage.annotating.editor
        if study is None or editor is None:
            return
        try:
            settings, weak = dialog.settings(), weakref.ref(dialog)
        except BadSetting as error:
            dialog.show_problem(error)
            return

        def work() -> ImportPlan:
            from napari_sortingloss.study.exchange.import_labels import plan_import

            return plan_import(study, settings, editor)

        def show(found: ImportPlan | BaseException) -> None:
            there = weak()
            if there is None or not isalive(there):
                return
            if isinstance(found, BaseException):
                there.show_problem(found)
            else:
                there.show_plan(found)

        stage.background.run(work, show, show, topic="import-plan")

    def start(self, settings: ImportLabelsSettings) -> Job | None:
        """Import, as a job; nothing can be painted meanwhile."""
        stage = self._stage
        annotating, study = stage.annotating, stage.session.study
        editor = annotating.editor
        if study is None or editor is None:
            return None
        job = stage.submit(
            f"Importing labels of {settings.volume}", _job(study, settings, editor, annotating.shared), IMPORT
        )
        annotating.hold()
        weak, ours = weakref.ref(stage), weakref.ref(annotating)

        def ended() -> None:
            there = ours()
            if there is not None:
                there.release(editor)

        def finished(value: dict[str, Any]) -> None:
            there = weak()
            if there is not None:
                there.session.refresh()
                there.bar.show_message("success", _said(value), about=settings.volume)

        job.signals.ended.connect(ended)
        job.signals.finished.connect(finished)
        return job


def _job(study: Any, settings: ImportLabelsSettings, editor: AnnotationEditor, shared: Shared) -> Any:
    def make() -> Iterator[Event]:
        from napari_sortingloss.study.exchange.import_labels import import_labels

        with shared.lent:  # the editor is not closed before the import has ended
            yield from import_labels(study, settings, editor)

    return make


def _said(value: dict[str, Any]) -> str:
    slices, painted = len(value["slices"]), cast(int, value["painted"])
    return f"{painted:,} voxels on {wording.count(slices, 'slice')} got labels. Undo takes all of it back."


def choose_labels(parent: QWidget) -> Path | None:
    """Ask for a file with labels."""
    from napari_sortingloss.formats import SUFFIXES

    patterns = " ".join(f"*{suffix}" for suffix in SUFFIXES)
    chosen, _ = QFileDialog.getOpenFileName(
        parent, "Import labels", "", f"Labels ({patterns});;All files (*)"
    )
    return Path(chosen) if chosen else None
