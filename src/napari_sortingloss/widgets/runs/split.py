"""Which volumes to train on, which to keep out for validation, and which to leave aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_sortingloss import wording

TRAIN, VALIDATE, ASIDE = "train", "validate", "leave out"
SIGNS = {TRAIN: "● train", VALIDATE: "◐ validate", ASIDE: "○ leave out"}

ONE_IN = 5
"""One volume in so many is proposed for validation."""


@dataclass(frozen=True)
class Split:
    """Two lists of volume names without a common member.

    Attributes
    ----------
    train, validate : tuple of str
    """

    train: tuple[str, ...] = ()
    validate: tuple[str, ...] = ()

    def of(self, name: str) -> str:
        """Return ``"train"``, ``"validate"`` or ``"leave out"``."""
        return TRAIN if name in self.train else VALIDATE if name in self.validate else ASIDE

    def said(self) -> str:
        """Return it as a person reads it, e.g. ``"30 train · 8 validate"``."""
        return f"{len(self.train)} train · {len(self.validate)} validate"


def split_to_json(split: Split, names: Sequence[str]) -> dict[str, list[str]]:
    """Return a split with the volumes that are left aside, JSON-ready."""
    return {use: [name for name in names if split.of(name) == use] for use in SIGNS}


def split_from_json(values: Any, names: Sequence[str]) -> Split | None:
    """Return a split that `split_to_json` wrote, carried over to the volumes there are now; None where it fits no more.

    Parameters
    ----------
    values : Any
    names : sequence of str
        New ones train.
    """
    if not isinstance(values, Mapping):
        return None
    uses = {use: values.get(use) for use in SIGNS}
    known = [name for of in uses.values() if isinstance(of, list) for name in of if isinstance(name, str)]
    chosen = {use: tuple(n for n in known if isinstance(of, list) and n in of) for use, of in uses.items()}
    found = adapt(Split(chosen[TRAIN], chosen[VALIDATE]), names, known)
    return found if found.train and known else None


def propose(names: Sequence[str]) -> Split:
    """Keep every fifth volume out for validation, spread evenly; none of fewer than four.

    Parameters
    ----------
    names : sequence of str
    """
    if len(names) < 4:
        return Split(tuple(names))
    kept_out = set(names[::-1][ONE_IN // 2 :: ONE_IN])
    return Split(tuple(n for n in names if n not in kept_out), tuple(n for n in names if n in kept_out))


def adapt(split: Split, names: Sequence[str], known: Sequence[str]) -> Split:
    """Carry a split over to a list of volumes that has changed: new ones train, gone ones go.

    Parameters
    ----------
    split : Split
    names : sequence of str
        The volumes there are now.
    known : sequence of str
        Those there were when `split` was made.
    """
    validate = tuple(n for n in names if n in split.validate)
    train = tuple(n for n in names if n in split.train or n not in known)
    return Split(train, validate)


class SplitDialog(QDialog):
    """Lets a person sort the volumes into train, validate and leave out.

    Parameters
    ----------
    names : sequence of str
    split : Split
        To begin with.
    parent : QWidget or None
    """

    def __init__(self, names: Sequence[str], split: Split, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Volumes to train on")
        self.resize(380, 460)
        self._names = tuple(names)
        note = QLabel(
            "Validation volumes are never trained on: only they tell whether the network has understood the anatomy "
            "or remembers these specimens. Select some and press a button below."
        )
        note.setWordWrap(True)
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["volume", "used to"])
        self.tree.setRootIsDecorated(False)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.header().setStretchLastSection(False)
        self.tree.itemDoubleClicked.connect(self._turn)
        self._said = QLabel()
        row = QHBoxLayout()
        for text, use in (("&Train", TRAIN), ("&Validate", VALIDATE), ("&Leave out", ASIDE)):
            button = QPushButton(text)
            button.setAutoDefault(False)
            button.clicked.connect(lambda *_, use=use: self.use_selected(use))
            row.addWidget(button)
        again = QPushButton("&Propose")
        again.setToolTip(f"Keep every {ONE_IN}th volume out for validation")
        again.setAutoDefault(False)
        again.clicked.connect(lambda *_: self.set_split(propose(self._names)))
        row.addStretch(1)
        row.addWidget(again)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(note)
        layout.addWidget(self.tree, 1)
        layout.addLayout(row)
        layout.addWidget(self._said)
        layout.addWidget(self.buttons)
        for name in self._names:
            self.tree.addTopLevelItem(QTreeWidgetItem([name, ""]))
        self.set_split(split)

    @property
    def said(self) -> str:
        """What the line under the list says."""
        return self._said.text()

    def split(self) -> Split:
        """Return what is chosen."""
        used = [(item.text(0), item.data(1, Qt.ItemDataRole.UserRole)) for item in self._items()]
        return Split(
            tuple(name for name, use in used if use == TRAIN),
            tuple(name for name, use in used if use == VALIDATE),
        )

    def set_split(self, split: Split) -> None:
        """Show a split."""
        for item in self._items():
            self._set(item, split.of(item.text(0)))
        self._say()

    def use_selected(self, use: str) -> None:
        """Use the selected volumes for ``"train"``, ``"validate"`` or ``"leave out"``."""
        for item in self.tree.selectedItems():
            self._set(item, use)
        self._say()

    def _turn(self, item: QTreeWidgetItem, column: int) -> None:
        uses = list(SIGNS)
        now = uses.index(item.data(1, Qt.ItemDataRole.UserRole))
        self._set(item, uses[(now + 1) % len(uses)])
        self._say()

    def _set(self, item: QTreeWidgetItem, use: str) -> None:
        item.setText(1, SIGNS[use])
        item.setData(1, Qt.ItemDataRole.UserRole, use)

    def _items(self) -> list[QTreeWidgetItem]:
        return [self.tree.topLevelItem(i) for i in range(self.tree.topLevelItemCount())]

    def _say(self) -> None:
        split = self.split()
        aside = len(self._names) - len(split.train) - len(split.validate)
        rest = f" · {wording.count(aside, 'volume')} left out" if aside else ""
        self._said.setText(split.said() + rest)
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        ok.setEnabled(bool(split.train))
        ok.setToolTip("" if split.train else "At least one volume must train")
