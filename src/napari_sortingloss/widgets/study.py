"""The Study stage: open or make a study, add volumes, see and edit what is in it, show it in the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.widgets import dialogs, layers, recent, words
from napari_sortingloss.widgets.actions import StudyActions
from napari_sortingloss.widgets.details import VolumeDetails
from napari_sortingloss.widgets.header import StudyHeader
from napari_sortingloss.widgets.import_panel import ImportPanel
from napari_sortingloss.widgets.jobs import Job
from napari_sortingloss.widgets.previews import Candidate, find_candidates, layer_candidate
from napari_sortingloss.widgets.shortcuts import keys_of
from napari_sortingloss.widgets.stage import Stage, allow
from napari_sortingloss.widgets.theme import Colors
from napari_sortingloss.widgets.volume_table import VolumeTable

NO_STUDY = (
    "A study is a folder that holds your volumes and everything made from them.\n\n"
    "New… makes an empty one, Open… opens one you have. No data at hand? Make the sample study: six phantom fish."
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
        self._wanted: tuple[str, ...] = ()  # selected once the table has them
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
        self.add_files_button, self.add_folder_button, self.from_layer_button = (
            QPushButton(text) for text in ("&Add files…", "A&dd folder…", "From la&yer")
        )
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
        self._footer.insertWidget(1, self.along)
        self.discard_button = self.add_button("Discard", self.discard, "Forget the chosen files")
        self.show_button = self.add_button("Show", self.show_selected, primary=True)
        self.import_panel.apply_theme(self.colors)

    def _connect(self) -> None:
        session = self.session
        self.follow(session.study_changed, self._on_study)
        self.follow(session.volumes_changed, self._on_volumes)
        self.follow(session.current_volume_changed, self._on_current)
        self.follow(session.jobs.changed, self._on_jobs)
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
        self.details.failed.connect(self.bar.show_error)
        self.import_panel.changed.connect(self._update_buttons)
        for kind, then in (("add", self.after_adding), ("sample", self.after_sample)):
            begun = session.jobs.find(kind)  # before the panel was opened
            if begun is not None:
                self.watch(begun, then)

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

    def open_path(self, path: Path, *, create: bool = False) -> None:
        """Open, or make, the study in a folder."""
        self.bar.clear()
        self.session.open_path(path, self._read_recent, create=create)

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
        """Look into files and folders and show how they would be added."""
        if not paths:
            return
        self.bar.clear()
        self.import_panel.set_reading(reading or ReadOptions())
        try:
            options = self.import_panel.settings().replace(paths=(), name=None)
        except UserError as error:
            self.bar.show_error(error)
            return
        self.bar.show_message("notice", f"Looking into {_named(paths)}…", "Cancel", self.discard)
        self.background.run(
            partial(find_candidates, paths, options),
            partial(self._take_candidates, paths),
            topic="candidates",
        )

    def from_layer(self) -> None:
        """Offer the viewer's image layers."""
        viewer = self.session.viewer
        if viewer is not None:
            dialogs.layer_menu(self, self.from_layer_button, list(viewer.layers), self.choose_layer)

    def choose_layer(self, layer: Any) -> None:
        """Show how an open layer would be added."""
        try:
            found = layers.read_layer(layer)
        except UserError as error:
            self.bar.show_error(error)
            return
        self.bar.clear()
        self._set_candidates([layer_candidate(found)])

    def discard(self) -> None:
        """Forget the chosen files."""
        self.background.drop("candidates")
        self.background.drop("preview")
        self.bar.clear()
        self._set_candidates([])

    def _take_candidates(
        self, paths: Sequence[Path], found: tuple[list[Candidate], list[UserError], list[Path]]
    ) -> None:
        candidates, problems, studies = found
        self.bar.clear()
        if studies and not candidates and not problems:
            self.open_path(studies[0])
            return
        if problems and not candidates:
            self.actions_.refuse(paths, problems[0])
        elif problems:
            more = f" {len(problems) - 1} more could not either." if len(problems) > 1 else ""
            self.bar.show_message("warning", f"Left out: {problems[0]}{more}")
        elif self.session.study is None:
            self._ask_for_study()
        if candidates:
            self._set_candidates(candidates)

    def _ask_for_study(self) -> None:
        self.bar.show_message(
            "notice",
            "First choose a folder for the study that is to hold these volumes.",
            "New…",
            self.new_study,
        )

    def _set_candidates(self, candidates: Sequence[Candidate]) -> None:
        self.import_panel.set_candidates(candidates)
        self._arrange()

    # -------------------------------------------------------------------------------------------------- the button
    def show_selected(self) -> None:
        """The primary button: add what was chosen, or show the selected volumes."""
        if self.import_panel.candidates:
            self._add()
        else:
            self._show(self.table.selected())

    def _add(self) -> None:
        error = self.import_panel.error()
        if error is not None:
            self.bar.show_error(error)
            return
        self.bar.clear()
        self.actions_.add(self.import_panel.candidates, self.import_panel.settings())
        self._set_candidates([])

    def _show(self, names: Sequence[str]) -> None:
        self.session.show_volumes(names, along_axis=self.along.isChecked())

    # ----------------------------------------------------------------------------------------- following the session
    def _on_study(self, study: Any) -> None:
        self.bar.clear()
        self.header.set_study(study.path if study is not None else None, self.session.free_bytes)
        self._on_volumes()

    def _on_volumes(self) -> None:
        session = self.session
        if session.study is not None:
            self.header.set_study(session.study.path, session.free_bytes)
        self.table.set_rows(session.volumes, session.states)
        if not self._select_wanted() and not self.table.selected() and session.current_volume:
            self.table.select((session.current_volume,))
        self._arrange()

    def _select_wanted(self) -> bool:
        there = bool(self._wanted) and set(self._wanted) <= set(self.session.volumes)
        if there:
            self.table.select(self._wanted)
            self._wanted = ()
        return there

    def _on_current(self, name: str | None) -> None:
        if name is not None and name not in self.table.selected():
            self.table.select((name,))

    def _on_chosen(self, names: tuple[str, ...]) -> None:
        if names:
            self.session.set_current_volume(names[-1])
        self.details.set_volumes(self.session.study, names, self.session.volumes)
        self._arrange()

    def _on_jobs(self) -> None:
        self._update_buttons()

    def _arrange(self) -> None:
        """Show what fits the moment: how to begin, how to add, or what is selected."""
        study, adding = self.session.study, bool(self.import_panel.candidates)
        empty = not self.session.volumes
        self.hint.setText(NO_STUDY if study is None else NO_VOLUMES)
        self.hint.setVisible(empty and not adding)
        self.sample_button.setVisible(study is None and not adding)
        self.table.setVisible(study is not None and not empty)
        self.add_row.setVisible(not adding)
        self.import_panel.setVisible(adding)
        self.details.setVisible(not adding and bool(self.details.records))
        self._filler.setVisible(self.table.isHidden())
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
        self.show_button.setText(f"Add {words.count(len(panel.candidates), 'volume')}")
        needed, free = panel.needed_bytes(), self.session.free_bytes
        error = panel.error()
        why = ""
        if self.session.study is None:
            why = "Open or make a study first"
        elif error is not None:
            why = str(error)
        elif free and needed > free:
            why = f"They need about {words.size(needed)} and the disk has {words.size(free)} free"
        room = f"about {words.size(needed)} in the study" + (f", {words.size(free)} free" if free else "")
        allow(self.show_button, why, f"Import them: {room}")

    # ------------------------------------------------------------------------------------------------ what jobs say
    def after_adding(self, result: dict[str, Any]) -> None:
        """Say what was added and what to do next."""
        volumes, failed = result.get("volumes", []), result.get("failed", [])
        self._wanted = tuple(volume["name"] for volume in volumes[:1])
        self._select_wanted()  # the session may have seen the volume before the job had ended
        if failed:
            text = f"{words.count(len(volumes), 'volume')} added, {len(failed)} not. {failed[0]['error']}"
            self.bar.show_message("warning", text)
            return
        self.bar.show_message(
            "success",
            f"{words.count(len(volumes), 'volume')} added. Next: pre-train an encoder on them.",
            "Pre-train ▸",
            self._go_to_pretrain,
        )

    def after_export(self, result: dict[str, Any]) -> None:
        """Say where the file is."""
        self.bar.show_message("success", f"Written to {result.get('path', '')}")

    def after_sample(self, result: dict[str, Any]) -> None:
        """Open the sample study."""
        self.open_path(Path(result["study"]))

    def reload_details(self) -> None:
        """Show what the study says, not what was typed and refused."""
        self.details.set_volumes(self.session.study, self.table.selected(), self.session.volumes)

    def _go_to_pretrain(self) -> None:
        self.go_to("Pre-train")

    def watch(self, job: Job, finished: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Show a job's error in the bar, and call a method of this stage when it is done."""
        self.follow(job.signals.failed, self.bar.show_error)
        if finished is not None:
            self.follow(job.signals.finished, finished)

    # ------------------------------------------------------------------------------------------------- drag and drop
    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take files and folders."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Look into what was dropped."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        self.choose(paths)

    def apply_theme(self, colors: Colors) -> None:
        """Restyle, the histogram too."""
        super().apply_theme(colors)
        if hasattr(self, "import_panel"):
            self.import_panel.apply_theme(colors)


def _named(paths: Sequence[Path]) -> str:
    return f"'{paths[0].name}'" if len(paths) == 1 else f"{len(paths)} files and folders"
