"""The one place where keys are given to actions; the window's '?' list is made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QVBoxLayout, QWidget


@dataclass(frozen=True)
class Shortcut:
    """One key of one stage.

    Attributes
    ----------
    id : str
        ``"stage.action"``, e.g. ``"study.show"``.
    keys : str
        As `QKeySequence` reads them; they work while the stage has the focus.
    what : str
        What the key does, for the list.
    mnemonic : bool
        The key is the underlined letter of a button, so the button answers to it and nothing is bound: a second
        taker of the same key would make Qt call neither.
    canvas : bool
        The key works over the image too, while the layer of that stage is the active one.
    shown : str
        What the list shows instead of the key, e.g. for a key that a person chooses.
    """

    id: str
    keys: str
    what: str
    mnemonic: bool = False
    canvas: bool = False
    shown: str = ""

    @property
    def stage(self) -> str:
        """The stage the key belongs to."""
        return self.id.partition(".")[0]


SHORTCUTS = (
    Shortcut("any.help", "F1", "Show this list"),
    Shortcut("any.primary", "Ctrl+Return", "The button at the bottom right"),
    Shortcut("any.cancel", "Ctrl+.", "Cancel the running job"),
    Shortcut("any.dismiss", "Escape", "Dismiss the message at the top"),
    Shortcut("study.open", "Alt+O", "Open a study", mnemonic=True),
    Shortcut("study.new", "Alt+N", "Make a new study", mnemonic=True),
    Shortcut("study.add_files", "Alt+A", "Add volumes from files", mnemonic=True),
    Shortcut("study.add_folder", "Alt+D", "Add volumes from a folder", mnemonic=True),
    Shortcut("study.from_layer", "Alt+Y", "Add a volume from an open layer", mnemonic=True),
    Shortcut("study.show", "Return", "Show the selected volumes (in the table)"),
    Shortcut("study.edit", "Alt+Return", "Axis, direction and voxel size of the selected volume"),
    Shortcut("study.rename", "F2", "Rename the selected volume"),
    Shortcut("study.remove", "Delete", "Remove the selected volumes from the study"),
    Shortcut("study.export", "Alt+X", "Export the selected volume"),
    Shortcut("study.flip", "Alt+R", "Flip a volume that looks upside down"),
    Shortcut("pretrain.start", "Alt+S", "Start or stop", mnemonic=True),
    Shortcut("pretrain.pause", "Alt+U", "Pause or go on", mnemonic=True),
    Shortcut("localize.start", "Alt+I", "Localize or stop"),
    Shortcut("localize.accept", "Return", "Accept the box and go to the next unchecked (in the table)"),
    Shortcut("localize.skip", "S", "Skip the volume and go to the next unchecked (in the table)"),
    Shortcut("localize.reopen", "R", "Check the volume again (in the table)"),
    Shortcut("localize.next", "N", "Go to the next unchecked (in the table)"),
    Shortcut("localize.accept_here", "Alt+T", "Accept the box", mnemonic=True),
    Shortcut("localize.skip_here", "Alt+K", "Skip the volume", mnemonic=True),
    Shortcut("localize.reset", "Alt+B", "Back to the box as it was found", mnemonic=True),
    Shortcut("localize.export", "Alt+E", "Export the crop or the uncertainty of the volume", mnemonic=True),
    Shortcut("localize.crop", "Alt+C", "Cut the accepted volumes to their boxes", mnemonic=True),
    Shortcut("annotate.complete", "C", "Mark the slice complete, or reopen it", canvas=True),
    Shortcut("annotate.next", "N", "Go to the next suggested slice", canvas=True),
    Shortcut("annotate.previous", "Shift+N", "Go back to the slice before", canvas=True),
    Shortcut("annotate.class", "1", "Paint with the class of that key", canvas=True, shown="1 … 9"),
    Shortcut("annotate.background", "0", "Paint known background (for partial slices)", canvas=True),
    Shortcut("annotate.new_class", "M", "New class", canvas=True),
    Shortcut("annotate.polygon", "G", "Polygon tool (napari's 3)", canvas=True),
    Shortcut("annotate.propose", "I", "Propose labels between complete slices", canvas=True),
    Shortcut("annotate.undo", "Ctrl+Z", "Undo, also what was done in earlier sessions", canvas=True),
    Shortcut("annotate.redo", "Ctrl+Shift+Z", "Redo", canvas=True),
    Shortcut("annotate.rename", "F2", "Rename the class (in the table)"),
    Shortcut("annotate.remove", "Delete", "Remove the class (in the table)"),
    Shortcut("annotate.versions", "Alt+V", "Earlier versions", mnemonic=True),
    Shortcut("annotate.import", "Alt+I", "Import labels from a file", mnemonic=True),
    Shortcut("segment.start", "Alt+T", "Train or stop", mnemonic=True),
    Shortcut("segment.pause", "Alt+U", "Pause or go on", mnemonic=True),
    Shortcut("segment.go_on", "Alt+G", "Go on with the run in view", mnemonic=True),
    Shortcut("segment.live", "Alt+L", "Live preview on or off", mnemonic=True),
    Shortcut("segment.predict", "Alt+P", "Predict the chosen volumes, or stop", mnemonic=True),
    Shortcut("segment.correct", "Alt+C", "Take the slice in view over into the annotations", mnemonic=True),
    Shortcut("segment.compare", "Alt+M", "Compare two predictions of the volume", mnemonic=True),
    Shortcut("segment.evaluate", "Alt+V", "Score the run against references", mnemonic=True),
    Shortcut("segment.export", "Alt+X", "Export labels or surfaces", mnemonic=True),
)

_BY_ID = {shortcut.id: shortcut for shortcut in SHORTCUTS}


def keys_of(shortcut_id: str) -> str:
    """Return the keys of an action as the platform writes them, for tooltips."""
    return QKeySequence(_BY_ID[shortcut_id].keys).toString(QKeySequence.SequenceFormat.NativeText)


def canvas_key(shortcut_id: str) -> str:
    """Return the key of an action as napari writes it, e.g. ``"Shift-N"``."""
    return _BY_ID[shortcut_id].keys.replace("Ctrl+", "Control+").replace("+", "-")


def bind(widget: QWidget, shortcut_id: str, action: Callable[[], object]) -> QShortcut | None:
    """Let a key of the registry call `action` while `widget` or a child of it has the focus.

    Returns
    -------
    QShortcut or None
        None for a mnemonic, which its button answers to.

    Raises
    ------
    KeyError
        If the registry has no such action.
    """
    if _BY_ID[shortcut_id].mnemonic:
        return None
    shortcut = QShortcut(QKeySequence(_BY_ID[shortcut_id].keys), widget)
    shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    shortcut.activated.connect(action)
    shortcut.setObjectName(shortcut_id)
    return shortcut


class ShortcutList(QDialog):
    """Lists the keys of a stage.

    Parameters
    ----------
    stage : str
        Its name in the registry, e.g. ``"study"``; keys of ``any`` are listed too.
    parent : QWidget or None
    """

    def __init__(self, stage: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        shown = [s for s in SHORTCUTS if s.stage == stage] + [s for s in SHORTCUTS if s.stage == "any"]
        for row, shortcut in enumerate(shown):
            keys = QLabel(shortcut.shown or keys_of(shortcut.id))
            keys.setProperty("heading", True)
            grid.addWidget(keys, row, 0)
            grid.addWidget(QLabel(shortcut.what), row, 1)
            if shortcut.canvas:
                grid.addWidget(QLabel("▣"), row, 2)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Keys work while the panel has the focus: click into it once."))
        if any(shortcut.canvas for shortcut in shown):
            about = QLabel(
                "▣ works over the image too, while the annotations are the selected layer. napari's own tools there: "
                "P brush, E eraser, F fill, L pick, Z pan, X swap with the eraser, [ and ] brush size."
            )
            about.setWordWrap(True)
            about.setMinimumSize(440, about.heightForWidth(440))
            layout.addWidget(about)
        layout.addLayout(grid)
        layout.addWidget(buttons)
