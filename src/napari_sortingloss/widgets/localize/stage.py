"""The Localize stage: where is the specimen? Ask a run, go through the boxes, adjust them, crop to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_sortingloss.widgets.localize.actions import CROP, LocalizeActions
from napari_sortingloss.widgets.localize.form import LocalizeForm, can_see
from napari_sortingloss.widgets.localize.review import BoxReview
from napari_sortingloss.widgets.localize.review_panel import ReviewPanel
from napari_sortingloss.widgets.localize.review_table import CHECKED, LOCALIZED, ReviewRow, ReviewTable
from napari_sortingloss.widgets.localized import children_of, crop_of
from napari_sortingloss.widgets.stage import Stage, allow, set_property
from napari_sortingloss.widgets.toolkit.flow import FlowRow
from napari_sortingloss.widgets.toolkit.shortcuts import Button, bind, keys_of
from napari_sortingloss.widgets.toolkit.theme import Colors

if TYPE_CHECKING:
    from napari_sortingloss.study import VolumeRecord
    from napari_sortingloss.study.localizations.reading import Localization

NO_STUDY = (
    "Localisation finds the specimen in a scan without a single label: a pre-trained network is unsure of the places "
    "that matter to it. The volume can then be cut to the box around them, often to a quarter of its size.\n\n"
    "Open a study with volumes first."
)
NO_VOLUMES = "This study has no volumes yet."
NO_RUN = (
    "Localisation asks a network that knows the anatomy of these volumes. Pre-train one first; a few minutes are enough "
    "to find the specimen."
)
NO_WEIGHTS = "{} has no weights yet: they come with its first checkpoint."


class LocalizeWidget(Stage):
    """The Localize dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    title = "Localize"
    key = "localize"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._expected: tuple[str, ...] = ()  # volumes that a job has just localised
        self._remembering = False  # what the form shows is what a person chose
        self._link = "Study"
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.link = QPushButton()
        self.link.clicked.connect(lambda *_: self.go_to(self._link))
        self.form = LocalizeForm()
        self.table = ReviewTable()
        self.panel = ReviewPanel()
        self.actions_ = LocalizeActions(self)
        self.review = BoxReview(self)
        for widget in (self.hint, self.form, self.table, self.panel):
            self.body.addWidget(widget)
        self.body.addWidget(self.link, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addStretch(1)
        self.judge = self._judge_row()
        frame = self.frame
        frame.insertWidget(frame.indexOf(self.strip), self.judge)  # does not scroll away
        self.export_button = self.add_button("E&xport…", self.show_export_menu, key="localize.export")
        self.crop_button = self.add_button("C&rop", self.actions_.crop, key="localize.crop")
        self.start_button = self.add_button("Localize", self.actions_.start_or_stop, primary=True)
        self._connect()
        self.panel.apply_theme(self.colors)
        self.actions_.adopt()
        self._on_study(self.session.study)

    def _judge_row(self) -> QWidget:
        row = FlowRow()
        self.checked = QLabel()
        self.accept_button = Button("✓ &Accept", "localize.accept_here")
        self.skip_button = Button("S&kip", "localize.skip_here")
        self.reopen_button = QPushButton("Check again")
        row.add(self.checked, stretch=True)
        for button in (self.reopen_button, self.accept_button, self.skip_button):
            row.add(button)
        return row

    def _connect(self) -> None:
        session, review, table, panel = self.session, self.review, self.table, self.panel
        self.follow(session.study_changed, self._on_study)
        self.follow(session.volumes_changed, self._on_volumes)
        self.follow(session.runs_changed, self._on_runs)
        self.follow(session.localized_changed, self._on_localized)
        self.follow(session.current_volume_changed, self._on_current)
        self.follow(session.jobs.changed, self._on_jobs)
        self.follow(session.memory_changed, self.recall)
        self.follow(self.form.changed, self.refresh)
        self.follow(self.form.changed, self.remember)
        self.follow(self.form.run_changed, self._on_run)
        self.follow(table.chosen, session.set_current_volume)
        self.follow(table.selection_changed, self._offer_volumes)
        self.follow(table.accept_requested, review.accept)
        self.follow(table.skip_requested, review.skip)
        self.follow(table.reopen_requested, review.reopen)
        self.follow(table.next_requested, review.go_on)
        self.follow(panel.fraction_changed, review.set_fraction)
        self.follow(panel.box_changed, review.slide)
        self.follow(panel.reset_requested, review.reset)
        self.follow(panel.position_chosen, review.go_to_position)
        for button, action in (
            (self.accept_button, review.accept),
            (self.skip_button, review.skip),
            (self.reopen_button, review.reopen),
        ):
            button.clicked.connect(lambda *_, action=action: action())
        for key, action in (
            ("localize.accept", review.accept),
            ("localize.skip", review.skip),
            ("localize.reopen", review.reopen),
            ("localize.next", review.go_on),
        ):
            bind(panel, key, action)

    def home(self) -> QWidget:
        """The table: its keys go through the boxes."""
        return self.table

    # ---------------------------------------------------------------------------------------------- what there is
    def localization(self, name: str) -> Localization | None:
        """Return where the run in view found the specimen of a volume, as a person sees it now."""
        study = self.session.study
        look = self.session.localized.get(name, {}).get(self.form.run_id)
        return self.review.keeper.seen(study, look) if study is not None and look is not None else None

    @property
    def localized_names(self) -> set[str]:
        """The volumes for which the run in view has left something on disk."""
        run = self.form.run_id
        return {name for name, looks in self.session.localized.items() if run in looks}

    def is_touched(self, name: str) -> bool:
        """Whether a person has checked or adjusted the box of a volume."""
        row = self.table.row(name)
        return row is not None and (row.status in CHECKED or row.adjusted)

    def to_crop(self) -> tuple[str, ...]:
        """Return the accepted volumes that have not been cut to their boxes yet."""
        return tuple(row.name for row in self.table.model_.rows if row.status == "accepted" and not row.crop)

    def why_no_export(self, what: str) -> str:
        """Return why the crop or the uncertainty of the volume in view cannot be exported; empty if it can."""
        found = self.review.found
        if found is None:
            return "Localize a volume and select it first"
        return f"{found.volume} has no box" if what == "crop" and found.is_empty else ""

    def expect(self, names: list[str]) -> None:
        """Show the first of these volumes as soon as the study says that they are localised."""
        self._expected = tuple(names)
        self._show_expected()
        self.session.refresh()

    def show_export_menu(self) -> None:
        """Offer what can be exported of the volume in view."""
        menu = self.actions_.export_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.export_button.mapToGlobal(QPoint(0, -menu.sizeHint().height())))

    # -------------------------------------------------------------------------------------------- following the session
    def _on_study(self, study: Any) -> None:
        self._expected = ()
        self._remembering = False
        self.review.forget()
        self.form.forget()
        self.recall()
        self._on_volumes()
        self._on_runs()

    def remember(self) -> None:
        """Keep what a person has chosen, so that it comes back with the study."""
        if self._remembering:
            self.session.remember(self.key, {"form": self.form.remembered()})

    def recall(self) -> None:
        """Show what was chosen when this study was last open."""
        form = self.session.chosen(self.key).get("form")
        self._remembering = False
        self.form.recall(form if isinstance(form, dict) else {})
        self._remembering = True

    def _on_volumes(self) -> None:
        self.refresh()
        self._look()

    def _on_runs(self) -> None:
        others = {run for looks in self.session.localized.values() for run in looks}
        first = self.form.run_id == ""
        if first and others:  # begin with what there is to check
            newest = max(
                (
                    look.value
                    for looks in self.session.localized.values()
                    for look in looks.values()
                    if look.value
                ),
                key=lambda found: found.created,
                default=None,
            )
            if newest is not None:
                self.form.begin_with(newest.run)
        self.form.set_runs(self.session.runs, others)
        self.refresh()

    def _on_run(self, run: str) -> None:
        self.review.forget()
        self.refresh()
        self._look()

    def _on_localized(self) -> None:
        self._on_runs()
        self._look()
        self._show_expected()

    def _show_expected(self) -> None:
        """Go to what a job has just found, and let the keys of the table work at once."""
        there = [name for name in self._expected if self.localization(name) is not None]
        if not there:
            return
        self._expected = ()
        if self.session.current_volume not in there:
            self.session.set_current_volume(there[0])
        if self.in_sight:
            self.table.setFocus()

    def _on_jobs(self) -> None:
        if self.actions_.job is not None:
            self.refresh()
        else:  # somebody else's job: it says how far it is twenty times a second
            self._update_buttons()

    def _on_current(self, name: str | None) -> None:
        self.refresh()
        self.table.select(name or "")
        self._look()

    def _look(self) -> None:
        """Show the current volume as it is now."""
        name = self.session.current_volume or ""
        self.table.select(name)
        self.review.look(name, self.localization(name))
        self.refresh()

    # ---------------------------------------------------------------------------------------------------- showing it
    def refresh(self) -> None:
        """Bring the table and the buttons up to date."""
        self._arrange()
        if not self.form.isHidden():
            self.table.set_rows(self._rows())
            self._offer_volumes()
        self._update_buttons()

    def _arrange(self) -> None:
        """Show what fits the moment: how to begin, or the form and what was found."""
        session = self.session
        ready = session.study is not None and bool(session.volumes) and self.form.has_runs
        if not ready:
            self.hint.setText(self._what_is_missing())
            self.link.setText(f"Go to {self._link} ▸")
        for widget in (self.hint, self.link):
            widget.setVisible(not ready)
        self.form.setVisible(ready)
        self.table.setVisible(ready)
        self.panel.setVisible(ready and self.review.found is not None)

    def _what_is_missing(self) -> str:
        session = self.session
        self._link = "Study"
        if session.study is None:
            return NO_STUDY
        if not session.volumes:
            return NO_VOLUMES
        self._link = "Pre-train"
        begun = next(
            (info.title for info in session.runs if info.kind == "pretrain" and not can_see(info)), ""
        )
        return NO_WEIGHTS.format(begun) if begun else NO_RUN

    def _rows(self) -> list[ReviewRow]:
        chosen, current = set(self.form.volumes.value()), self.session.current_volume
        rows, children = [], children_of(self.session.volumes)
        for name, record in self.session.volumes.items():
            row = self._row(name, record, children.get(name, ()))
            if record.parent is None or row.status != "none" or name in chosen or name == current:
                rows.append(row)
        return rows

    def _row(self, name: str, record: VolumeRecord, children: Iterable[VolumeRecord]) -> ReviewRow:
        voxels = record.shape[0] * record.shape[1] * record.shape[2]
        doing = self.actions_.status_of(name)
        look = self.session.localized.get(name, {}).get(self.form.run_id)
        found = self.localization(name)
        if doing or look is None:
            return ReviewRow(name, doing or "none", voxels)
        if found is None:
            return ReviewRow(name, "damaged", voxels, problem=str(look.problem))
        return ReviewRow(
            name,
            found.status,
            voxels,
            kept=None if found.is_empty else found.kept_fraction,
            adjusted=found.adjusted,
            warnings=found.warnings or (("nothing was found",) if found.is_empty else ()),
            crop=crop_of(found, record, children),
        )

    def _offer_volumes(self) -> None:
        volumes = self.session.volumes
        self.form.volumes.set_volumes(
            tuple(volumes),
            left_out={name for name, record in volumes.items() if record.parent is not None},
            done={row.name for row in self.table.model_.rows if row.status in LOCALIZED},
            selected=self.table.selected(),
        )

    def _update_buttons(self) -> None:
        rows = self.table.model_.rows if not self.form.isHidden() else []
        localized = [row for row in rows if row.status in LOCALIZED]
        checked = [row for row in localized if row.status in CHECKED]
        self.judge.setVisible(bool(localized))
        self.checked.setText(f"{len(checked)} of {len(localized)} checked")
        found = self.review.found
        status = found.status if found is not None else ""
        why = "" if found is not None else "Select a localized volume first"
        no_box = "It has no box: set its faces, lower the threshold, or skip it"
        allow(
            self.accept_button,
            why or (no_box if found is not None and found.is_empty else ""),
            f"The box is right: go to the next unchecked ({keys_of('localize.accept')} in the table)",
        )
        allow(
            self.skip_button,
            why,
            f"Leave this volume as it is: go to the next unchecked ({keys_of('localize.skip')} in the table)",
        )
        self.accept_button.setVisible(status != "accepted")
        self.skip_button.setVisible(status != "skipped")
        self.reopen_button.setVisible(status in CHECKED)
        self.reopen_button.setToolTip(
            f"Take back '{status}' and check it again ({keys_of('localize.reopen')} in the table)"
        )
        self._update_footer(bool(localized))

    def _update_footer(self, localized: bool) -> None:
        job, chosen = self.actions_.job, self.form.volumes.value()
        stopping = job is not None and job.cancelling
        text = f"Localize {len(chosen)}" if len(chosen) > 1 else "Localize"
        self.start_button.setText("Stopping…" if stopping else "Stop" if job is not None else text)
        set_property(self.start_button, "stop", job is not None)
        if job is not None:
            why, tip = "It finishes what it is at" if stopping else "", "Stop; what was found is kept"
        else:
            why = "" if self.session.volumes else "Add volumes to the study first"
            why, tip = why or self.form.problem(), "Find the specimen in the chosen volumes"
        allow(self.start_button, why, f"{tip} ({keys_of('any.primary')})")
        for button in (self.export_button, self.crop_button):
            button.setVisible(localized)
        to_crop = self.to_crop()
        accepted = any(row.status == "accepted" for row in self.table.model_.rows)
        self.crop_button.setText(f"C&rop {len(to_crop)} accepted" if to_crop else "C&rop accepted")
        why = "" if to_crop else "Accept boxes first"
        if not to_crop and accepted:
            why = "All accepted volumes are cropped already"
        if self.session.jobs.find(CROP) is not None:
            why = "It is being done"
        allow(
            self.crop_button,
            why,
            f"Cut the accepted volumes to their boxes, as new volumes ({keys_of('localize.crop')})",
        )
        allow(
            self.export_button,
            self.why_no_export("uncertainty"),
            f"Write the crop or the uncertainty of the volume in view to a file ({keys_of('localize.export')})",
        )

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Show the volume in view in the viewer too."""
        super().showEvent(event)
        self.review.appear()

    def below(self) -> list[QWidget]:
        """Return the verdict before the buttons at the bottom."""
        return [self.reopen_button, self.accept_button, self.skip_button, *super().below()]

    def apply_theme(self, colors: Colors) -> None:
        """Restyle, the plot too."""
        super().apply_theme(colors)
        if hasattr(self, "panel"):
            self.panel.apply_theme(colors)
