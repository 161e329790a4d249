"""Going back to an earlier version of annotations: what was done since is taken back slab by slab, as one new action."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sortingloss.boxes import NO_BOX, size_of
from napari_sortingloss.disk.slabs import slab_height, steps
from napari_sortingloss.errors import BadSetting
from napari_sortingloss.study.annotations.actions import Action
from napari_sortingloss.study.annotations.bulk import BulkAction
from napari_sortingloss.study.annotations.change import hull
from napari_sortingloss.study.annotations.files import Key, Status
from napari_sortingloss.study.annotations.journal import Version

if TYPE_CHECKING:
    from napari_sortingloss.study.annotations.open_annotations import OpenAnnotations

_SLAB_BYTES = 16 << 20


def versions(held: OpenAnnotations) -> list[Version]:
    """Return the moments to which one can go back; see `AnnotationEditor.versions`."""
    with held.lock:
        marks = [Version(0, "", "the beginning"), *held.journal.marks]
    found: dict[int, Version] = {}
    for mark in marks:
        found.setdefault(mark.count, mark)
    return [found[count] for count in sorted(found)]


def restore(held: OpenAnnotations, version: Version) -> Action:
    """Bring labels and statuses back; see `AnnotationEditor.restore`."""
    if version not in versions(held):
        raise BadSetting(
            f"Cannot bring back a version of '{held.volume}'",
            "there is no such version",
            "choose one of those that are listed",
        )
    moment = f" of {version.time}" if version.time else ""
    with held.lock:
        held.must_be_free()
        return _go_back(held, version, BulkAction(held, f"back to {version.text}{moment}", held.about.axis))


def _go_back(held: OpenAnnotations, version: Version, action: BulkAction) -> Action:
    with action as bulk:
        journal = held.journal
        since = journal.entries[version.count :]
        box = hull([entry.action.box for entry in since])
        if box != NO_BOX:
            (low, high), y, x = box
            for start, stop in steps(high - low, slab_height(size_of(box), 1, budget=_SLAB_BYTES)):
                slab = ((low + start, low + stop), y, x)
                origin = [first for first, _ in slab]
                values = np.array(held.view(slab))
                for entry in reversed(since):
                    (first, last), *_ = entry.action.box
                    if first >= low + stop or last <= low + start:
                        continue
                    parts = journal.entry(entry.of).parts
                    again = entry.kind == "undo"  # what was undone since was there then
                    for changes in journal.changes(parts, backwards=not again):
                        for change in changes if again else reversed(changes):
                            change.put_into(values, origin, change.new if again else change.old)
                bulk.write(origin, values)
        statuses: dict[Key, Status] = {}
        for entry in since:
            for one in entry.action.statuses:
                statuses.setdefault((one.axis, one.index), one.before)
        bulk.set_statuses(statuses)
        return bulk.commit()
