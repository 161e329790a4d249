"""Small grey pictures of slices with right proportions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget
from qtpy.QtWidgets import QLabel as _Label

MOST = 512


def shrink(image: np.ndarray, most: int = MOST) -> np.ndarray:
    """Return a view with at most about `most` pixels a side, for display only."""
    step = max(1, -(-max(image.shape) // most))
    return np.ascontiguousarray(image[::step, ::step])


class Picture(QWidget):
    """Shows one slice, as large as fits, on black.

    Parameters
    ----------
    height : int
        In pixels.
    """

    def __init__(self, height: int = 96) -> None:
        super().__init__()
        self._image: QImage | None = None
        self._aspect = 1.0
        self.text = ""
        self.setFixedHeight(height)
        self.setMinimumWidth(32)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def empty(self) -> bool:
        """Whether no picture is shown."""
        return self._image is None

    def set_image(self, image: np.ndarray | None, spacing: Sequence[float] = (1.0, 1.0)) -> None:
        """Show a slice.

        Parameters
        ----------
        image : ndarray of uint8, shape (h, w), or None
        spacing : sequence of float
            (h, w) distance of the pixels, for the proportions.
        """
        if image is None:
            self._image = None
        else:
            image = np.ascontiguousarray(image, np.uint8)
            h, w = image.shape
            self._image = QImage(image.tobytes(), w, h, w, QImage.Format.Format_Grayscale8).copy()
            self._aspect = (w * spacing[1]) / max(h * spacing[0], 1e-12)
        self.update()

    def set_text(self, text: str) -> None:
        """Say something while there is no picture."""
        self.text = text
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a square."""
        return QSize(self.height(), self.height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the slice in the middle."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("black"))
        if self._image is None:
            painter.setPen(QColor("#bbbbbb"))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.text)
            return
        width, height = self.width(), self.height()
        w, h = (
            (width, width / self._aspect)
            if width / self._aspect <= height
            else (height * self._aspect, height)
        )
        target = QRect(round((width - w) / 2), round((height - h) / 2), round(w), round(h))
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, self._image)


class Row(QWidget):
    """A few pictures side by side, each with a caption.

    Parameters
    ----------
    count : int
    height : int
        Of the pictures, in pixels.
    """

    def __init__(self, count: int, height: int) -> None:
        super().__init__()
        self.pictures = [Picture(height) for _ in range(count)]
        self.captions = [_Label() for _ in range(count)]
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for picture, caption in zip(self.pictures, self.captions, strict=True):
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
            caption.setProperty("muted", True)
            column = QVBoxLayout()
            column.setSpacing(1)
            column.addWidget(picture)
            column.addWidget(caption)
            layout.addLayout(column, 1)

    def set_images(
        self, images: Sequence[np.ndarray], captions: Sequence[str], spacing: Sequence[float]
    ) -> None:
        """Show slices with captions; places left over are hidden."""
        for index, (picture, caption) in enumerate(zip(self.pictures, self.captions, strict=True)):
            there = index < len(images)
            picture.set_image(images[index] if there else None, spacing)
            caption.setText(captions[index] if there else "")
            picture.setVisible(there)
            caption.setVisible(there)

    def clear(self, text: str) -> None:
        """Show no slices, and say why in the middle."""
        for index, (picture, caption) in enumerate(zip(self.pictures, self.captions, strict=True)):
            picture.set_image(None)
            picture.set_text(text if index == len(self.pictures) // 2 else "")
            picture.show()
            caption.setText("")
            caption.show()
