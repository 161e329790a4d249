"""The one place where keys are given to actions, and taken back while a person types; the list behind '?' is made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)


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
        The key is the underlined letter of a button, and works in the whole window while that button is in sight.
        None of napari's menus and actions has it.
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
    Shortcut("any.dismiss", "Escape", "Dismiss the message"),
    Shortcut("study.open", "Alt+O", "Open a study", mnemonic=True),
    Shortcut("study.new", "Alt+N", "Make a new study", mnemonic=True),
    Shortcut("study.add_files", "Alt+A", "Add volumes from files", mnemonic=True),
    Shortcut("study.add_folder", "Alt+E", "Add volumes from a folder", mnemonic=True),
    Shortcut("study.from_layer", "Alt+Y", "Add a volume from an open layer", mnemonic=True),
    Shortcut("study.show", "Return", "Show the selected volumes"),
    Shortcut("study.edit", "Alt+Return", "Axis, direction and voxel size of the selected volume"),
    Shortcut("study.rename", "F2", "Rename the selected volume"),
    Shortcut("study.remove", "Delete", "Remove the selected volumes from the study"),
    Shortcut("study.export", "Alt+X", "Export the selected volume"),
    Shortcut("study.flip", "Alt+R", "Flip the direction of the selected volume"),
    Shortcut("pretrain.volumes", "Alt+E", "Choose the volumes", mnemonic=True),
    Shortcut("pretrain.go_on", "Alt+G", "Go on with the run in view", mnemonic=True),
    Shortcut("pretrain.order", "Alt+O", "Order the slices with the run in view", mnemonic=True),
    Shortcut("pretrain.pause", "Alt+U", "Pause or go on", mnemonic=True),
    Shortcut("localize.accept", "Return", "Accept the box and go to the next unchecked"),
    Shortcut("localize.skip", "S", "Skip the volume and go to the next unchecked"),
    Shortcut("localize.reopen", "R", "Check the volume again"),
    Shortcut("localize.next", "N", "Go to the next unchecked"),
    Shortcut("localize.accept_here", "Alt+A", "Accept the box", mnemonic=True),
    Shortcut("localize.skip_here", "Alt+K", "Skip the volume", mnemonic=True),
    Shortcut("localize.reset", "Alt+B", "Back to the box as it was found", mnemonic=True),
    Shortcut("localize.export", "Alt+X", "Export the crop or the uncertainty of the volume", mnemonic=True),
    Shortcut("localize.crop", "Alt+R", "Cut the accepted volumes to their boxes", mnemonic=True),
    Shortcut("annotate.complete", "C", "Mark the slice complete, or reopen it", canvas=True),
    Shortcut("annotate.next", "N", "Go to the next suggested slice", canvas=True),
    Shortcut("annotate.previous", "Shift+N", "Go back to the slice before", canvas=True),
    Shortcut("annotate.class", "1", "Paint with the class of that key", canvas=True, shown="1 … 9"),
    Shortcut("annotate.background", "0", "Paint known background (for partial slices)", canvas=True),
    Shortcut("annotate.new_class", "M", "New class", canvas=True),
    Shortcut("annotate.polygon", "G", "Polygon tool", canvas=True),
    Shortcut("annotate.propose", "I", "Propose labels between complete slices", canvas=True),
    Shortcut("annotate.undo", "Ctrl+Z", "Undo, also what was done in earlier sessions", canvas=True),
    Shortcut("annotate.redo", "Ctrl+Shift+Z", "Redo", canvas=True),
    Shortcut("annotate.rename", "F2", "Rename the class"),
    Shortcut("annotate.remove", "Delete", "Remove the class"),
    Shortcut("annotate.versions", "Alt+E", "Earlier versions", mnemonic=True),
    Shortcut("annotate.import", "Alt+I", "Import labels from a file", mnemonic=True),
    Shortcut("segment.slices", "Alt+E", "Choose the slices that are held back", mnemonic=True),
    Shortcut("segment.learn_also", "Alt+N", "Learn also from what a run predicted", mnemonic=True),
    Shortcut("segment.live", "Alt+I", "Live preview on or off", mnemonic=True),
    Shortcut("segment.evaluate", "Alt+A", "Score the run against references", mnemonic=True),
    Shortcut("segment.predict", "Alt+R", "Predict the chosen volumes, or stop", mnemonic=True),
    Shortcut("segment.correct", "Alt+O", "Take the slice in view over into the annotations", mnemonic=True),
    Shortcut("segment.compare", "Alt+M", "Compare two predictions of the volume", mnemonic=True),
    Shortcut("segment.export", "Alt+X", "Export labels or surfaces", mnemonic=True),
    Shortcut("segment.go_on", "Alt+G", "Go on with the run in view", mnemonic=True),
    Shortcut("segment.pause", "Alt+U", "Pause or go on", mnemonic=True),
)

_BY_ID = {shortcut.id: shortcut for shortcut in SHORTCUTS}
_MODIFIERS = (
    Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
)
_NEVER_TYPED = (Qt.Key.Key_Escape, Qt.Key.Key_F1)


def keys_of(shortcut_id: str) -> str:
    """Return the keys of an action as the platform writes them, for tooltips."""
    return QKeySequence(_BY_ID[shortcut_id].keys).toString(QKeySequence.SequenceFormat.NativeText)


def canvas_key(shortcut_id: str) -> str:
    """Return the key of an action as napari writes it, e.g. ``"Shift-N"``."""
    return _BY_ID[shortcut_id].keys.replace("Ctrl+", "Control+").replace("+", "-")


class Key(QShortcut):
    """A key of the registry at work. Make it with `bind`.

    What a person types belongs to the editor or the menu that is open: the key is handed on to it as if nothing were
    bound. Where two panels side by side have the same key, the one with the focus gets it.

    Parameters
    ----------
    shortcut : Shortcut
    widget : QWidget
        May say in a method ``why_no_key(shortcut_id)`` why the action would do nothing now.
    action : callable
    """

    def __init__(self, shortcut: Shortcut, widget: QWidget, action: Callable[[], object]) -> None:
        super().__init__(QKeySequence(shortcut.keys), widget)
        self._shortcut = shortcut
        self.setObjectName(shortcut.id)
        self.setContext(
            Qt.ShortcutContext.WindowShortcut
            if shortcut.mnemonic
            else Qt.ShortcutContext.WidgetWithChildrenShortcut
        )
        self.activated.connect(action)

    def why_not(self, panel: QWidget) -> str:
        """Return why it does nothing now, for the list of keys of a panel; empty if it does something."""
        widget, focus = self.parent(), QApplication.focusWidget()
        if self._shortcut.mnemonic:
            return "" if widget.isEnabled() else widget.toolTip()
        away = focus is None or not (widget is focus or widget.isAncestorOf(focus))
        if away and widget is not panel:
            return "Click into the table first"
        ask = getattr(widget, "why_no_key", None)
        return ask(self._shortcut.id) if ask is not None else ""

    def event(self, event: QEvent) -> bool:
        """Act, or hand the key on to who is to have it."""
        if event.type() != QEvent.Type.Shortcut:
            return super().event(event)
        taker = _taker(self.key())
        if taker is not None:
            self._hand_on(taker)
        elif not event.isAmbiguous():
            self._act()
        else:
            nearest = self._nearest()
            if nearest is not None:
                nearest._act()
        return True

    def _hand_on(self, taker: QWidget) -> None:
        self.setEnabled(False)  # Qt would ask for shortcuts again
        QApplication.sendEvent(taker, _pressed(self.key()))
        if isalive(self):
            self.setEnabled(True)

    def _act(self) -> None:
        commit(QApplication.focusWidget())
        self.activated.emit()

    def _nearest(self) -> Key | None:
        """Return the key of ours on these letters that is nearest to the focus; None where two are equally near."""
        focus = QApplication.focusWidget()
        far = {
            key: _distance(focus, key.parent())
            for key in self.parent().window().findChildren(Key)
            if key.key() == self.key() and key.parent().isVisible() and key.parent().isEnabled()
        }
        nearest = [key for key, distance in far.items() if distance == min(far.values())]
        return nearest[0] if len(nearest) == 1 else None


def bind(widget: QWidget, shortcut_id: str, action: Callable[[], object]) -> Key:
    """Let a key of the registry call `action` while `widget` or a child of it has the focus, and nobody types.

    The key of a button works in the whole window while the button is in sight: see `Button`.

    Raises
    ------
    KeyError
        If the registry has no such action.
    """
    return Key(_BY_ID[shortcut_id], widget, action)


class _Keyed:
    """A button whose underlined letter is a key of the registry: Qt's own knows no panel, and acts while one types."""

    def give_key(self: Any, shortcut_id: str) -> None:
        """Answer to a key."""
        bind(self, shortcut_id, self.click)

    def setText(self: Any, text: str) -> None:  # noqa: N802
        """Write a caption; Qt takes its underlined letter for the window, and gives it back here."""
        super().setText(text)  # type: ignore[misc]
        self.setShortcut(QKeySequence())


class Button(_Keyed, QPushButton):
    """A push button with a key.

    Parameters
    ----------
    text : str
        With the letter of the key underlined, e.g. ``"Pa&use"``.
    shortcut_id : str
    """

    def __init__(self, text: str, shortcut_id: str) -> None:
        super().__init__()
        self.setText(text)
        self.give_key(shortcut_id)


class KeyedToolButton(_Keyed, QToolButton):
    """A tool button that can be given a key."""


class KeyedCheckBox(_Keyed, QCheckBox):
    """A tick box that can be given a key."""


# ------------------------------------------------------------------------------------------------- who is typing
def is_editor(widget: QWidget | None) -> bool:
    """Whether a person types into this widget."""
    if isinstance(widget, (QLineEdit, QAbstractSpinBox, QTextEdit, QPlainTextEdit)):
        return not widget.isReadOnly() and widget.isEnabled()
    return isinstance(widget, QComboBox) and widget.isEditable()


def is_typed(key: int, modifiers: Qt.KeyboardModifier) -> bool:
    """Whether a key is one that editors take: no command, help or way out."""
    return not modifiers & _MODIFIERS and key not in _NEVER_TYPED


def commit(editor: QWidget | None) -> None:
    """Let what was typed count before something is done with it; the focus stays."""
    if isinstance(editor, QAbstractSpinBox):
        editor.interpretText()
    elif isinstance(editor, QLineEdit) and is_editor(editor) and editor.hasAcceptableInput():
        editor.editingFinished.emit()


def _taker(keys: QKeySequence) -> QWidget | None:
    """Return the open menu, the cell being edited or the input that a key belongs to; None where it is a command."""
    popup = QApplication.activePopupWidget()
    if popup is not None:
        return popup.focusWidget() or popup
    focus = QApplication.focusWidget()
    if focus is None or not is_editor(focus):
        return None
    undoing = any(
        keys == QKeySequence(standard)
        for standard in (QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo)
    )
    typed = is_typed(keys[0].key(), keys[0].keyboardModifiers()) or undoing
    return focus if typed or _in_cell(focus) else None


def _in_cell(editor: QWidget) -> bool:
    view = editor.parentWidget()
    while view is not None and not isinstance(view, QAbstractItemView):
        view = view.parentWidget()
    return view is not None


def _pressed(keys: QKeySequence) -> QKeyEvent:
    key, modifiers = keys[0].key(), keys[0].keyboardModifiers()
    text = chr(key) if 0x20 <= key < 0x7F and not modifiers & _MODIFIERS else ""
    shifted = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
    return QKeyEvent(QEvent.Type.KeyPress, key, modifiers, text if shifted else text.lower())


def _distance(focus: QWidget | None, widget: QWidget) -> int:
    """How many parents up from the focus one meets a parent of `widget`."""
    steps = 0
    while focus is not None and focus is not widget and not focus.isAncestorOf(widget):
        focus, steps = focus.parentWidget(), steps + 1
    return steps


# ------------------------------------------------------------------------------------------------------ the list
CANVAS = "▣ works over the image too, while the annotations are the selected layer."
Listed = tuple[Shortcut, str]


class Panel(Protocol):
    """What the list asks of a stage."""

    def findChildren(self, kind: type, name: str) -> list[Any]:  # noqa: N802
        """As any QWidget."""

    def why_no_key(self, shortcut_id: str) -> str:
        """Return why a key of the stage would do nothing now; empty if it does something."""

    def canvas_keys(self) -> Mapping[str, str]:
        """Return keys that others have given to the image, and what they do."""


def listed(stage: str, panel: Panel | None = None) -> list[Listed]:
    """Return the keys of a stage, each with why it does nothing now; those of what is not in sight are left out.

    Parameters
    ----------
    stage : str
        Its name in the registry, e.g. ``"study"``; keys of ``any`` are listed too.
    panel : Panel or None
        The stage itself; without it all keys are listed, as if all worked.
    """
    shortcuts = [s for part in (stage, "any") for s in SHORTCUTS if s.stage == part]
    if panel is None:
        return [(shortcut, "") for shortcut in shortcuts]
    found = []
    for shortcut in shortcuts:
        keys = panel.findChildren(Key, shortcut.id)
        seen = [key.why_not(panel) for key in keys if key.parent().isVisible()]
        if seen:
            found.append((shortcut, min(seen, key=len)))
        elif not keys:  # the layer, or a table by itself, answers to it
            found.append((shortcut, panel.why_no_key(shortcut.id)))
    return found


class ShortcutList(QDialog):
    """Lists the keys of a stage: first those that work now, then the others with the reason.

    Parameters
    ----------
    stage : str
        Its name in the registry, e.g. ``"study"``; keys of ``any`` are listed too.
    parent : Stage or None
    """

    def __init__(self, stage: str, parent: Any = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        found = listed(stage, parent)
        content = QWidget()
        grid = QGridLayout(content)
        grid.setHorizontalSpacing(16)
        grid.setColumnStretch(1, 1)
        others = parent.canvas_keys() if parent is not None else {}
        rows = [(_shown(shortcut), shortcut.what, shortcut.canvas, why_not) for shortcut, why_not in found]
        rows += [(key, f"{what[0].upper()}{what[1:]}", True, "") for key, what in others.items()]
        for row in sorted(rows, key=lambda row: bool(row[-1])):
            self._add(grid, *row)
        scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        about = [
            "Keys work while the panel has the focus: click into it once. Underlined letters work anywhere."
        ]
        about += [CANVAS] if any(canvas for _, _, canvas, _ in rows) else []
        for text in about:
            label = QLabel(text)
            label.setWordWrap(True)
            layout.addWidget(label)
        layout.addWidget(scroll, 1)
        layout.addWidget(buttons)
        wanted = content.sizeHint()
        room = self.screen().availableSize() * 0.8
        self.resize(min(wanted.width() + 40, room.width()), min(wanted.height() + 150, room.height()))

    def _add(self, grid: QGridLayout, keys: str, what: str, canvas: bool, why_not: str) -> None:
        row = grid.rowCount()
        labels = (
            QLabel(keys),
            QLabel(f"{what}\n{why_not}" if why_not else what),
            QLabel("▣" if canvas else ""),
        )
        labels[0].setProperty("heading", True)
        for column, label in enumerate(labels):
            label.setEnabled(not why_not)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label, row, column)


def _shown(shortcut: Shortcut) -> str:
    return shortcut.shown or keys_of(shortcut.id)
