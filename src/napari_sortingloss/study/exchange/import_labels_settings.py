"""What a person decides about an import of labels; light enough to build a form from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from napari_sortingloss.formats.options import ReadOptions
from napari_sortingloss.settings import Field, Setting


@dataclass(frozen=True, kw_only=True)
class ImportLabelsSettings(ReadOptions):
    """Which labels are read, and what becomes of those that are there; the reading options are among its fields."""

    volume: Annotated[str, Setting("The volume that the labels belong to.", hidden=True)]
    path: Annotated[
        Path, Setting("A file or folder with labels of this very volume, in any format.", hidden=True)
    ]
    merge: Annotated[
        Literal["keep", "replace", "only-empty"],
        Setting(
            help="What happens where something is painted: keep it, replace it where the file has a label, or leave "
            "alone all slices that are not empty.",
            when="Replace when the file is newer than what is painted.",
        ),
    ] = "keep"
    status: Annotated[
        Literal["partial", "complete"],
        Setting(
            help="What the slices with labels become: partial (unpainted is unknown) or complete (it is background).",
            when="Choose complete for files in which everything was labelled. A complete slice never becomes partial.",
        ),
    ] = "partial"

    @classmethod
    def fields(cls) -> tuple[Field, ...]:
        """Describe every field, those that matter for any file first."""
        reading = {field.name for field in ReadOptions.fields()}
        return tuple(sorted(super().fields(), key=lambda field: field.name in reading))
