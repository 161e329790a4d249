"""The inputs of a form: one small adapter a type, each with value(), set_value() and changed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING
from pathlib import Path
from typing import Any, get_args, get_origin

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_sortingloss.errors import BadSetting, UserError
from napari_sortingloss.settings import AUTOMATIC, Field

INT_LIMIT = 2**31 - 1


class FieldEdit(ABC):
    """Value in, value out, one change signal; `widget` is what a layout takes.

    Attributes
    ----------
    changed : psygnal.Signal
    preset : psygnal.Signal
        A person chose one of the values that are offered beside the input, even if it is the one shown.
    say_time : callable or None
        Says of a value that is offered how long the run would take, where that is known.
    """

    changed = Signal()
    preset = Signal()
    widget: QWidget
    say_time: Callable[[float], str] | None = None

    @property
    def input(self) -> QWidget:
        """The part of the widget that a person types into."""
        return self.widget.focusProxy() or self.widget

    @abstractmethod
    def value(self) -> Any:
        """Return what is shown."""

    @abstractmethod
    def set_value(self, value: Any) -> None:
        """Show a value."""

    def _tell(self, *_: object) -> None:
        self.changed.emit()


class _NoScroll(QObject):
    """Keeps the wheel from changing an input the person only scrolls past."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


NARROW = 110
"""An input gets at least this width; a number could ask for room for the largest one there is."""


def narrow(combo: QComboBox) -> QComboBox:
    """Let a menu be as narrow as the panel; the list that it opens shows all of each entry."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(6)
    return combo


def calm_wheel(widget: QWidget) -> None:
    """Let the wheel scroll the panel unless the input has the focus."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_NoScroll(widget))


class ShortFloatBox(QDoubleSpinBox):
    """A spin box that writes 0.0003 and 25.4 alike without padding."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(9)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:  # noqa: N802
        """Write without padding."""
        return f"{value:.6g}"

    def valueFromText(self, text: str) -> float:  # noqa: N802
        """Read 3e-4 as well."""
        try:
            return float(self._bare(text))
        except ValueError:
            return self.value()

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Let numbers be typed in any usual way."""
        bare = self._bare(text)
        try:
            inside = self.minimum() <= float(bare) <= self.maximum()
        except ValueError:
            partial = not set(bare.lower()) - set("0123456789.+-e")
            state = QValidator.State.Intermediate if partial else QValidator.State.Invalid
            return state, text, position
        state = QValidator.State.Acceptable if inside else QValidator.State.Intermediate
        return state, text, position

    def _bare(self, text: str) -> str:
        return text.removesuffix(self.suffix()).strip().replace(",", ".")


class WholeBox(QSpinBox):
    """A spin box that does not swallow the minus of a number below its range: such a number is refused as a whole."""

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Let a minus be typed; the value before comes back when it is left."""
        if text.removeprefix(self.prefix()).lstrip().startswith("-") and self.minimum() >= 0:
            return QValidator.State.Intermediate, text, position
        return super().validate(text, position)


class _Number(FieldEdit):
    """Whole and real numbers; an optional one shows "automatic" one step below its range."""

    def __init__(self, field: Field) -> None:
        whole = field.type is int
        box = WholeBox() if whole else ShortFloatBox()
        low = field.about.low if field.about.low is not None else -INT_LIMIT
        high = field.about.high if field.about.high is not None else INT_LIMIT
        self._auto = field.optional
        self._none: float = 0
        if self._auto:
            self._none = low - 1 if low > -INT_LIMIT else low
            box.setSpecialValueText(AUTOMATIC)
            low = self._none
        cast = int if whole else float
        box.setRange(cast(low), cast(high))
        if field.about.step is not None:
            box.setSingleStep(cast(field.about.step))
            if not whole:
                box.setStepType(QDoubleSpinBox.StepType.DefaultStepType)
        if field.about.unit:
            box.setSuffix(f" {field.about.unit}")
        if field.about.zero:
            box.setSpecialValueText(field.about.zero)
        box.setKeyboardTracking(False)
        box.setMinimumWidth(min(NARROW, box.sizeHint().width()))
        calm_wheel(box)
        box.valueChanged.connect(self._tell)
        self._box = box
        self.widget = _WithPresets(box, self._menu(field)) if field.about.presets else box

    def _menu(self, field: Field) -> QMenu:
        menu = QMenu()

        def fill() -> None:
            menu.clear()
            for value, use in field.about.presets:
                time = self.say_time(value) if self.say_time is not None else ""
                parts = (f"{value:,}" if value else field.about.zero, use, time)
                action = menu.addAction(" · ".join(part for part in parts if part))
                action.triggered.connect(lambda *_, value=value: self._choose(value))

        menu.aboutToShow.connect(fill)
        fill()
        return menu

    def _choose(self, value: float) -> None:
        self.set_value(value)
        self.preset.emit()

    def value(self) -> int | float | None:
        value = self._box.value()
        return None if self._auto and value == self._none else value

    def set_value(self, value: Any) -> None:
        self._box.setValue(self._none if value is None else value)


class _WithPresets(QWidget):
    """A number with an arrow behind it that offers values, in the place of − and +."""

    def __init__(self, box: QAbstractSpinBox, menu: QMenu) -> None:
        super().__init__()
        box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.arrow = QToolButton()
        self.arrow.setArrowType(Qt.ArrowType.DownArrow)
        self.arrow.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.arrow.setProperty("presets", True)
        self.arrow.setSizePolicy(
            QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored
        )  # as high as the number
        self.arrow.setToolTip("Values to choose from")
        self.arrow.setAccessibleName("Values to choose from")
        menu.setParent(self.arrow, menu.windowFlags())
        self.arrow.setMenu(menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(1)
        layout.addWidget(box, 1)
        layout.addWidget(self.arrow)
        self.setFocusProxy(box)

    def setAccessibleName(self, name: str | None) -> None:  # noqa: N802
        """Name the input too: it is what has the focus."""
        super().setAccessibleName(name)
        self.focusProxy().setAccessibleName(name)


class _Choice(FieldEdit):
    def __init__(self, field: Field) -> None:
        self._combo = narrow(QComboBox())
        if field.optional:
            self._combo.addItem(AUTOMATIC, None)
        for choice in field.choices:
            self._combo.addItem(str(choice), choice)
        calm_wheel(self._combo)
        self._combo.currentIndexChanged.connect(self._tell)
        self.widget = self._combo

    def value(self) -> Any:
        return self._combo.currentData()

    def set_value(self, value: Any) -> None:
        index = self._combo.findData(value)
        if index < 0:
            raise BadSetting(f"Cannot show '{value}'", "it is not one of the choices", "choose another")
        self._combo.setCurrentIndex(index)


class _Flag(FieldEdit):
    def __init__(self, field: Field) -> None:
        self._box = QCheckBox()
        self._box.toggled.connect(self._tell)
        self.widget = self._box

    def value(self) -> bool:
        return self._box.isChecked()

    def set_value(self, value: Any) -> None:
        self._box.setChecked(bool(value))


class _OptionalFlag(FieldEdit):
    """Yes, no, or left to the program."""

    def __init__(self) -> None:
        self._combo = narrow(QComboBox())
        for text, value in ((AUTOMATIC, None), ("yes", True), ("no", False)):
            self._combo.addItem(text, value)
        calm_wheel(self._combo)
        self._combo.currentIndexChanged.connect(self._tell)
        self.widget = self._combo

    def value(self) -> bool | None:
        return self._combo.currentData()

    def set_value(self, value: Any) -> None:
        self._combo.setCurrentIndex(0 if value is None else 1 if value else 2)


class _Text(FieldEdit):
    def __init__(self, field: Field) -> None:
        self._optional = field.optional
        self._edit = QLineEdit()
        self._edit.setPlaceholderText(AUTOMATIC if field.optional else "")
        self._edit.textChanged.connect(self._tell)
        self.widget = self._edit

    def value(self) -> str | None:
        text = self._edit.text().strip()
        return None if self._optional and not text else text

    def set_value(self, value: Any) -> None:
        self._edit.setText("" if value is None else str(value))


class _Tuple(FieldEdit):
    """Comma-separated words or numbers, e.g. a voxel size."""

    def __init__(self, field: Field) -> None:
        inner = get_args(field.type)
        self._cast: Any = inner[0] if inner and inner[0] in (int, float, str, Path) else str
        self._fixed = len(inner) if inner and inner[-1] is not Ellipsis else 0
        self._optional, self._label = field.optional, field.label
        self._edit = QLineEdit()
        self._edit.setPlaceholderText(AUTOMATIC if field.optional else "")
        self._edit.textChanged.connect(self._tell)
        self.widget = self._edit

    def value(self) -> tuple[Any, ...] | None:
        parts = [part for part in self._edit.text().replace(",", " ").split() if part]
        if not parts and self._optional:
            return None
        try:
            values = tuple(self._cast(part) for part in parts)
        except ValueError as error:
            raise BadSetting(
                f"Cannot use '{self._edit.text()}' as {self._label.lower()}",
                "it is not a list of numbers",
                "separate numbers by spaces",
            ) from error
        if self._fixed and len(values) != self._fixed:
            raise BadSetting(
                f"Cannot use '{self._edit.text()}' as {self._label.lower()}",
                f"it has {len(values)} values instead of {self._fixed}",
                f"give {self._fixed} values",
            )
        if any(isinstance(v, float) and not math.isfinite(v) for v in values):
            raise BadSetting(f"Cannot use '{self._edit.text()}'", "it is not finite", "give ordinary numbers")
        return values

    def set_value(self, value: Any) -> None:
        shown = "" if value is None else " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
        self._edit.setText(shown)


class _PathEdit(FieldEdit):
    def __init__(self, field: Field) -> None:
        self._optional, self._label = field.optional, field.label
        self._edit = QLineEdit()
        self._edit.textChanged.connect(self._tell)
        browse = QToolButton()
        browse.setText("…")
        browse.setToolTip("Choose a file or a folder")
        browse.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(browse)
        menu.addAction("&File…").triggered.connect(lambda *_: self._browse_file())
        menu.addAction("F&older…").triggered.connect(lambda *_: self._browse_folder())
        browse.setMenu(menu)
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._edit, 1)
        layout.addWidget(browse)
        row.setFocusProxy(self._edit)
        self.widget = row

    def value(self) -> Path | None:
        text = self._edit.text().strip()
        if not text and not self._optional:
            raise BadSetting(f"Cannot go on without '{self._label}'", "it is empty", "choose a file")
        return Path(text) if text else None

    def set_value(self, value: Any) -> None:
        self._edit.setText("" if value is None else str(value))

    def _browse_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self.widget, self._label, self._edit.text())
        if chosen:
            self._edit.setText(chosen)

    def _browse_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self.widget, self._label, self._edit.text())
        if chosen:
            self._edit.setText(chosen)


def changed_values(edits: Mapping[str, FieldEdit], fields: Iterable[Field]) -> dict[str, Any]:
    """Return what inputs show that is not the default, by name; inputs that show no value are left out."""
    found = {}
    for field in fields:
        edit = edits.get(field.name)
        if edit is not None and edit.input.isEnabled():
            with suppress(UserError):
                value = edit.value()
                if value != field.default:
                    found[field.name] = value
    return found


def show_values(edits: Mapping[str, FieldEdit], fields: Iterable[Field], values: Any) -> None:
    """Show values that were kept as JSON in their inputs, and the default in all others; what does not fit is forgotten."""
    kept = values if isinstance(values, Mapping) else {}
    for field in fields:
        edit = edits.get(field.name)
        if edit is None:
            continue
        value = field.default
        if field.name in kept:
            with suppress(UserError):
                value = field.restored(kept[field.name])
        if value is not MISSING:
            edit.set_value(value)


def edit_for(field: Field) -> FieldEdit:
    """Return the input for a field of a settings class."""
    if field.choices:
        return _Choice(field)
    if field.type is bool:
        return _OptionalFlag() if field.optional else _Flag(field)
    if field.type in (int, float):
        return _Number(field)
    if field.type is Path:
        return _PathEdit(field)
    if field.type is tuple or get_origin(field.type) is tuple:
        return _Tuple(field)
    return _Text(field)
