"""The Study stage: open or make a study, add volumes, see and edit what is in it, show it in the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent, QResizeEvent
from qtpy.QtWidgets import (
    QWIDGETSIZE_MAX,
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss import wording
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.widgets.session import recent
from napari_sortingloss.widgets.stage import EDIT, STUDY, Stage, allow
from napari_sortingloss.widgets.study.actions import StudyActions
from napari_sortingloss.widgets.study.adding import Adding
from napari_sortingloss.widgets.study.details import VolumeDetails
from napari_sortingloss.widgets.study.header import StudyHeader
from napari_sortingloss.widgets.study.import_panel import ImportPanel
from napari_sortingloss.widgets.study.volume_table import LOW, VolumeTable
from napari_sortingloss.widgets.toolkit import dialogs
from napari_sortingloss.widgets.toolkit.shortcuts import Button, keys_of
from napari_sortingloss.widgets.toolkit.theme import Colors

NO_STUDY = (
    "Drop CT volumes here, or add files or a folder: a study is made for them, a folder that holds your volumes and "
    "everything made from them.\n\n"
    "Open… opens one you have, New… makes an empty one. No data at hand? Make the sample study: six phantom fish."
)
NO_VOLUMES = "The study is empty. Add files or a folder of CT volumes, or drop them here."


class StudyWidget(Stage):
    """The Study dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    title = "Study"
    key = "study"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.setAcceptDrops(True)
        self.actions_ = StudyActions(self)
        self.adding = Adding(self)
        self.header = StudyHeader()
        self.table = VolumeTable()
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.sample_button = QPushButton("Make the sample study")
        self.sample_button.setToolTip("Generates six phantom fish (no download, about a minute)")
        self.sample_button.clicked.connect(lambda *_: self.actions_.open_sample())
        self.add_row = self._add_row()
        self.import_panel = ImportPanel(self.background)
        self.details = VolumeDetails(self.background)
        self._build()
        self._connect()
        self._on_study(self.session.study)
        self._read_recent()

    # ------------------------------------------------------------------------------------------------- building
    def _add_row(self) -> QWidget:
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.add_files_button = Button("&Add files…", "study.add_files")
        self.add_folder_button = Button("Add fold&er…", "study.add_folder")
        self.from_layer_button = Button("From la&yer", "study.from_layer")
        for button, key, tip, action in (
            (self.add_files_button, "study.add_files", "Add volumes from files", self.add_files),
            (
                self.add_folder_button,
                "study.add_folder",
                "Add a folder of volumes or of slices",
                self.add_folder,
            ),
            (
                self.from_layer_button,
                "study.from_layer",
                "Add a volume from an open image layer",
                self.from_layer,
            ),
        ):
            button.setToolTip(f"{tip} ({keys_of(key)})")
            button.clicked.connect(lambda *_, action=action: action())
            layout.addWidget(button, 1)
        return row

    def _build(self) -> None:
        self.body.addWidget(self.header)
        self.body.addWidget(self.hint)
        self.body.addWidget(self.sample_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self.table, 1)
        self.body.addWidget(self.add_row)
        self.body.addWidget(self.import_panel)
        self.body.addWidget(self.details)
        self._filler = QWidget()
        filler = QVBoxLayout(self._filler)
        filler.addStretch(1)
        self.body.addWidget(self._filler, 1)
        self.along = QCheckBox("slider along ordering axis")
        self.along.setChecked(True)
        self.along.setToolTip("Let the viewer's slider step through the slices that are put in order")
        self._footer.add(self.along, pin=True)
        self.discard_button = self.add_button(
            "Discard", self.discard, "Forget the chosen files and their settings"
        )
        self.show_button = self.add_button("Show", self.show_selected, primary=True)
        self.import_panel.apply_theme(self.colors)
        self.drop_here = QLabel("Drop them here", self)
        self.drop_here.setProperty("drop", True)
        self.drop_here.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.drop_here.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.drop_here.hide()

    def _connect(self) -> None:
        session = self.session
        self.follow(session.study_changed, self._on_study)
        self.follow(session.volumes_changed, self._on_volumes)
        self.follow(session.current_volume_changed, self._on_current)
        self.follow(session.jobs.changed, self._on_jobs)
        self.follow(session.failed, self._on_failed)
        self.header.open_requested.connect(self.open_study)
        self.header.new_requested.connect(self.new_study)
        self.header.recent_requested.connect(self.open_path)
        self.table.chosen.connect(self._on_chosen)
        self.table.show_requested.connect(self._show)
        self.table.edit_requested.connect(lambda *_: self.details.focus_first())
        self.table.remove_requested.connect(self.actions_.remove)
        self.table.export_requested.connect(self.actions_.export)
        self.table.flip_requested.connect(self.actions_.flip)
        self.table.model_.renamed.connect(self.actions_.rename)
        self.details.edited.connect(self.actions_.update)
        self.details.failed.connect(self._on_refused)
        self.import_panel.changed.connect(self._update_buttons)
        self.adding.adopt()
        making = session.jobs.find("sample")  # begun before the panel was opened
        if making is not None:
            self.watch(making, self.after_sample)

    def home(self) -> QWidget:
        """The table of volumes."""
        return self.table

    # ------------------------------------------------------------------------------------------ opening and making
    def open_study(self) -> None:
        """Ask for a study folder and open it."""
        folder = dialogs.choose_study(self, self.session.study)
        if folder is not None:
            self.open_path(folder)

    def new_study(self) -> None:
        """Ask for a place and make an empty study there."""
        folder = dialogs.choose_new_study(self, self.session.study)
        if folder is not None:
            self.open_path(folder, create=True)

    def open_path(self, path: Path, *, create: bool = False, then: Callable[[], None] | None = None) -> None:
        """Open, or make, the study in a folder, then go on with `then`."""
        self.bar.begin(STUDY)

        def opened() -> None:
            self._read_recent()
            if then is not None:
                then()

        self.session.open_path(path, opened, create=create)

    def _read_recent(self) -> None:
        self.background.run(recent.recent_studies, self.header.set_recent, topic="recent")

    # ----------------------------------------------------------------------------------------------- adding volumes
    def add_files(self) -> None:
        """Ask for files and show how they would be added."""
        self.choose(dialogs.choose_files(self))

    def add_folder(self) -> None:
        """Ask for a folder of volumes or slices and show how they would be added."""
        folder = dialogs.choose_folder(self)
        self.choose([folder] if folder is not None else [])

    def choose(self, paths: Sequence[Path], reading: ReadOptions | None = None) -> None:
        """Look into files and folders and put them into the batch that is about to be added."""
        self.adding.choose(paths, reading)

    def from_layer(self) -> None:
        """Offer the viewer's image layers."""
        viewer = self.session.viewer
        if viewer is not None:
            dialogs.layer_menu(self, self.from_layer_button, list(viewer.layers), self.adding.choose_layer)

    def discard(self) -> None:
        """Forget the chosen files, and what was chosen for them."""
        self.adding.discard()

    # -------------------------------------------------------------------------------------------------- the button
    def show_selected(self) -> None:
        """The primary button: add what was chosen, or show the selected volumes."""
        if self.import_panel.candidates:
            self.adding.add()
        else:
            self._show(self.table.selected())

    def _show(self, names: Sequence[str]) -> None:
        self.session.show_volumes(names, along_axis=self.along.isChecked())

    # ----------------------------------------------------------------------------------------- following the session
    def _on_study(self, study: Any) -> None:
        self.header.set_study(study.path if study is not None else None, self.session.free_bytes)
        self._on_volumes()

    def _on_volumes(self) -> None:
        session = self.session
        if session.study is not None:
            self.header.set_study(session.study.path, session.free_bytes)
        self.table.set_rows(session.volumes, session.states)
        self.import_panel.set_volumes(None if session.study is None else tuple(session.volumes.values()))
        self.adding.show_first()
        if not self.table.selected() and session.current_volume:
            self.table.select((session.current_volume,))
        self.arrange()

    def _on_current(self, name: str | None) -> None:
        if name is not None and name not in self.table.selected():
            self.table.select((name,))

    def _on_chosen(self, names: tuple[str, ...]) -> None:
        if names:
            self.session.set_current_volume(names[-1])
        self.details.set_volumes(self.session.study, names, self.session.volumes)
        self.arrange()

    def _on_jobs(self) -> None:
        self._update_buttons()

    def _on_failed(self, _: object) -> None:
        self.adding.on_failed()

    def arrange(self) -> None:
        """Show what fits the moment: how to begin, how to add, or what is selected."""
        study, adding = self.session.study, bool(self.import_panel.candidates)
        empty = not self.session.volumes
        self.hint.setText(NO_STUDY if study is None else NO_VOLUMES)
        self.hint.setVisible(empty and not adding)
        self.sample_button.setVisible(study is None and not adding)
        self.table.setVisible(study is not None and not empty)
        self.table.setMaximumHeight(LOW if adding else QWIDGETSIZE_MAX)
        self.import_panel.setVisible(adding)
        self.details.setVisible(not adding and bool(self.details.records))
        self._filler.setVisible(self.table.isHidden() or adding)
        self.along.setVisible(not adding and not empty)
        self.discard_button.setVisible(adding)
        self._update_buttons()

    def _update_buttons(self) -> None:
        panel = self.import_panel
        if not panel.candidates:
            names = self.table.selected()
            self.show_button.setText("Show" if len(names) < 2 else f"Show {len(names)}")
            allow(
                self.show_button,
                "" if names else "Select a volume first",
                "Show the selected volumes in the viewer",
            )
            making = self.session.jobs.find("sample") is not None
            allow(self.sample_button, "It is being made" if making else "", "Generates six phantom fish")
            return
        self.show_button.setText(f"Add {wording.count(len(panel.candidates), 'volume')}")
        needed, free = panel.needed_bytes(), self.session.free_bytes
        error, why = panel.error(), ""
        if self.session.study is None:
            self.show_button.setText(f"Make the study, add {len(panel.candidates)}")
            why = "The study is being made" if self.adding.making else panel.new_study.why_not
            free = panel.new_study.place.free if panel.new_study.place is not None else 0
        if error is not None:
            why = str(error)
        elif free and needed > free:
            why = f"They need about {wording.size(needed)} and the disk has {wording.size(free)} free"
        room = f"about {wording.size(needed)} in the study" + (f", {wording.size(free)} free" if free else "")
        allow(self.show_button, why, f"Import them: {room}")

    # ------------------------------------------------------------------------------------------------ what jobs say
    def after_sample(self, result: dict[str, Any]) -> None:
        """Open the sample study."""
        self.open_path(Path(result["study"]))

    def reload_details(self) -> None:
        """Show what the study says, not what was typed and refused."""
        self.details.set_volumes(self.session.study, self.table.selected(), self.session.volumes)

    def go_to_pretrain(self) -> None:
        """Show the next stage."""
        self.go_to("Pre-train")

    def paint(self, name: str) -> None:
        """Show the stage where slices of a volume are painted."""
        self.session.set_current_volume(name)
        self.go_to("Annotate")

    def _on_refused(self, error: BaseException) -> None:
        self.bar.show_error(error, of=EDIT)

    # ------------------------------------------------------------------------------------------------- drag and drop
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take files and folders, and show where they would go."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()
            self.drop_here.setGeometry(self.rect())
            self.drop_here.raise_()
            self.drop_here.show()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:  # noqa: N802
        """Show the panel again."""
        super().dragLeaveEvent(event)
        self.drop_here.hide()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Look into what was dropped."""
        self.drop_here.hide()
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        self.choose(paths)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Let the highlight fill the panel."""
        super().resizeEvent(event)
        if hasattr(self, "drop_here"):
            self.drop_here.setGeometry(self.rect())

    def apply_theme(self, colors: Colors) -> None:
        """Restyle, the histogram too."""
        super().apply_theme(colors)
        if hasattr(self, "import_panel"):
            self.import_panel.apply_theme(colors)
