"""A form made from a settings dataclass: value in, value out, one change signal."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFormLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_sortingloss.errors import UserError
from napari_sortingloss.settings import Settings
from napari_sortingloss.widgets.toolkit.fields import FieldEdit, edit_for

BESIDE_TITLE = 36
"""Pixels of the arrow and the margins beside the title of a fold."""


class Fold(QWidget):
    """A heading that shows and hides what is below it.

    Parameters
    ----------
    title : str
        The heading.
    content : QWidget
    parent : QWidget or None
    """

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._button = QToolButton()
        self._button.setText(title)
        self._button.setToolTip(title)
        self._button.setMinimumWidth(60)
        self._button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._button.setCheckable(True)
        self._button.setProperty("quiet", True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setArrowType(Qt.ArrowType.RightArrow)
        self._button.toggled.connect(self.set_open)
        self._content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._button)
        layout.addWidget(content)
        content.hide()

    def set_title(self, title: str) -> None:
        """Change the heading."""
        self._title = title
        self._button.setToolTip(title)
        self._say_title()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Write as much of the title as there is room for."""
        super().resizeEvent(event)
        self._say_title()

    def _say_title(self) -> None:
        room = max(0, self.width() - BESIDE_TITLE)
        elided = self._button.fontMetrics().elidedText(self._title, Qt.TextElideMode.ElideRight, room)
        self._button.setText(elided)

    @property
    def is_open(self) -> bool:
        """Whether the content is shown."""
        return self._button.isChecked()

    def set_open(self, on: bool) -> None:
        """Show or hide the content."""
        self._button.setChecked(on)
        self._button.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self._content.setVisible(on)


class Form(QWidget):
    """Edits a settings dataclass.

    Every field that is not hidden becomes an input of its type, with its unit behind the number and a tooltip that
    says what it is and when to change it. Fields marked ``more`` are folded under *More*.

    Parameters
    ----------
    settings_class : type of Settings
    exclude : collection of str
        Fields the widget asks for in its own way.
    defaults : mapping of str to Any
        Values to begin with, instead of the class's own defaults.
    parent : QWidget or None

    Attributes
    ----------
    changed : psygnal.Signal
        Any value was changed, by the person or by `set_value`.

    Examples
    --------
    >>> form = Form(PretrainSettings, exclude={"volumes", "validate"})  # doctest: +SKIP
    >>> settings = form.value(volumes=("a", "b"))  # doctest: +SKIP
    """

    changed = Signal()

    def __init__(
        self,
        settings_class: type[Settings],
        exclude: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._class = settings_class
        self._kept: dict[str, Any] = {}
        self._quiet = False
        self.edits: dict[str, FieldEdit] = {}
        main, more = _grid(), _grid()
        self._folded: dict[str, str] = {}  # labels under More
        self._gone: set[str] = set()
        for field in settings_class.fields():
            given = (defaults or {}).get(field.name, field.default)
            if field.about.hidden or field.name in exclude:
                if given is not dataclasses.MISSING:
                    self._kept[field.name] = given
                continue
            edit = edit_for(field)
            if given is not dataclasses.MISSING:
                edit.set_value(given)
            edit.changed.connect(self._tell)
            self.edits[field.name] = edit
            label = QLabel(field.label)
            label.setBuddy(edit.widget)
            for part in (label, edit.widget):
                part.setToolTip(f"<p>{field.tooltip}</p>")
            edit.widget.setAccessibleName(field.label)
            if field.about.more:
                self._folded[field.name] = field.label
            (more if field.about.more else main).addRow(label, edit.widget)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(main)
        self.fold: Fold | None = None
        if self._folded:
            content = QWidget()
            content.setLayout(more)
            self.fold = Fold(_more_title(list(self._folded.values())), content)
            layout.addWidget(self.fold)

    def value(self, **given: Any) -> Any:
        """Return the settings the form shows.

        Parameters
        ----------
        **given
            Values of fields that are not in the form.

        Raises
        ------
        BadSetting
            If a value is missing or does not fit.
        """
        values = {**self._kept, **{name: edit.value() for name, edit in self.edits.items()}, **given}
        return self._class(**values)

    def error(self, **given: Any) -> UserError | None:
        """Return what is wrong with the values, or None."""
        try:
            self.value(**given)
        except UserError as error:
            return error
        return None

    def set_value(self, settings: Settings) -> None:
        """Show settings; fields that are not in the form are remembered for `value`."""
        self._quiet = True
        try:
            for field in settings.fields():
                value = getattr(settings, field.name)
                if field.name in self.edits:
                    self.edits[field.name].set_value(value)
                else:
                    self._kept[field.name] = value
        finally:
            self._quiet = False
        self.changed.emit()

    def set_field_visible(self, name: str, visible: bool) -> None:
        """Show or hide one row, e.g. because it does not apply to the chosen task."""
        widget = self.edits[name].widget
        layout = _layout_of(widget)
        if layout is not None:
            layout.setRowVisible(widget, visible)
        (self._gone.discard if visible else self._gone.add)(name)
        if self.fold is not None:
            shown = [label for field, label in self._folded.items() if field not in self._gone]
            self.fold.set_title(_more_title(shown))
            self.fold.setVisible(bool(shown))

    def set_field_label(self, name: str, text: str) -> None:
        """Call one row something else, e.g. to say for whom it holds."""
        widget = self.edits[name].widget
        layout = _layout_of(widget)
        label = layout.labelForField(widget) if layout is not None else None
        if isinstance(label, QLabel):
            label.setText(text)

    def _tell(self) -> None:
        if not self._quiet:
            self.changed.emit()


def _grid() -> QFormLayout:
    grid = QFormLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(8)
    grid.setVerticalSpacing(4)
    grid.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    grid.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return grid


def _layout_of(widget: QWidget) -> QFormLayout | None:
    parent = widget.parentWidget()
    if parent is None or parent.layout() is None:
        return None
    stack = [parent.layout()]
    while stack:
        layout = stack.pop()
        if isinstance(layout, QFormLayout) and layout.indexOf(widget) >= 0:
            return layout
        stack.extend(item.layout() for item in map(layout.itemAt, range(layout.count())) if item.layout())
    return None


def _more_title(labels: list[str]) -> str:
    shown = ", ".join(label.lower() if label[1:2].islower() else label for label in labels[:3])
    return f"More ({shown}{'…' if len(labels) > 3 else ''})"
