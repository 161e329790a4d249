"""The current batch as a strip of slices or pairs of slices, each marked as the network is right or wrong about it."""

from __future__ import annotations

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_sortingloss.events import Snapshot
from napari_sortingloss.widgets.toolkit.theme import Colors

PER_ROW = 8
GAP = 3
POSITIONS = "Under each slice its true position, with ✓ where it stands at its place in the row and ✗ where it does not."


class BatchStrip(QWidget):
    """Draws a `Snapshot`: its tiles in rows of eight, with a caption and a sign under each group of them."""

    def __init__(self) -> None:
        super().__init__()
        self._image = QImage()
        self._snapshot: Snapshot | None = None
        self._colors: Colors | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName("The current batch")

    @property
    def tiles(self) -> int:
        """How many tiles are shown."""
        return self._snapshot.tiles if self._snapshot is not None else 0

    @property
    def title(self) -> str:
        """What is shown, and how much of it is right."""
        if self._snapshot is None:
            return ""
        correct = self._snapshot.correct
        judged = f" · {sum(correct)} of {len(correct)} right" if correct else ""
        return f"{self._snapshot.title}{judged}"

    def set_snapshot(self, snapshot: Snapshot | None, picture: bytes) -> None:
        """Take a snapshot with its PNG; there are no tiles to draw until both are there."""
        image = QImage.fromData(picture) if picture else QImage()
        if snapshot is None or image.isNull() or snapshot.tiles < 1:
            self._snapshot = None
            return
        self._snapshot, self._image = snapshot, image
        self.setToolTip(f"<p>Step {snapshot.step}: {self.title}. {snapshot.about or POSITIONS}</p>")
        self.setAccessibleDescription(self.title)
        self.updateGeometry()
        self.update()

    def apply_theme(self, colors: Colors) -> None:
        """Restyle."""
        self._colors = colors
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size for the width it has."""
        return QSize(360, self.heightForWidth(max(200, self.width())))

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """Tiles are square, so the height follows the width."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Return the height that `width` needs."""
        rows = max(1, -(-self.tiles // PER_ROW))
        return rows * (self._side(width) + self._caption_height() + GAP)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the tiles."""
        if self._snapshot is None or self._colors is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        side, caption = self._side(self.width()), self._caption_height()
        source = self._image.height()
        for i in range(self._snapshot.tiles):
            left = (i % PER_ROW) * (side + GAP)
            top = (i // PER_ROW) * (side + caption + GAP)
            box = QRect(left, top, side, side)
            painter.drawImage(box, self._image, QRect(i * source, 0, source, source))
        group = self._group
        for i in range(0, self._snapshot.tiles, group):
            left = (i % PER_ROW) * (side + GAP)
            top = (i // PER_ROW) * (side + caption + GAP)
            together = min(group, self._snapshot.tiles - i)
            box = QRect(left, top, together * side + (together - 1) * GAP, side)
            self._mark(painter, box, i // group, caption)
        painter.end()

    def _mark(self, painter: QPainter, box: QRect, index: int, height: int) -> None:
        assert self._snapshot is not None
        assert self._colors is not None
        snapshot, colors = self._snapshot, self._colors
        text = snapshot.captions[index] if index < len(snapshot.captions) else ""
        sign, colour = "", colors.muted
        if index < len(snapshot.correct):
            right = snapshot.correct[index]
            sign, colour = ("✓", colors.good) if right else ("✗", colors.error)
            painter.setPen(QPen(QColor(colour), 1.5 if right else 2.5))
            painter.drawRect(box.adjusted(0, 0, -1, -1))
        painter.setPen(QColor(colour))
        under = QRect(box.left() - GAP, box.bottom(), box.width() + 2 * GAP, height)
        painter.drawText(under, Qt.AlignmentFlag.AlignCenter, f"{text} {sign}".strip())

    @property
    def _group(self) -> int:
        """How many tiles share a frame; a group never goes over the end of a row."""
        group = max(1, self._snapshot.group) if self._snapshot is not None else 1
        return group if PER_ROW % group == 0 else 1

    def _side(self, width: int) -> int:
        return max(16, (width - GAP * (PER_ROW - 1)) // PER_ROW)

    def _caption_height(self) -> int:
        return self.fontMetrics().height()
