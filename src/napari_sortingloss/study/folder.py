"""The study folder: everything that lasts, in open formats, safe against crashes and against two writers at once."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_sortingloss.disk import atomic
from napari_sortingloss.disk.lock import exclusive
from napari_sortingloss.disk.mapped_shards import MAPS
from napari_sortingloss.disk.ome import group_metadata
from napari_sortingloss.disk.parts import remove_dead_parts, remove_folder, writing_now
from napari_sortingloss.disk.pyramid import level_factors
from napari_sortingloss.errors import BadSetting, StudyError, UserError, readable_os_errors
from napari_sortingloss.study.belongings import BELONGINGS
from napari_sortingloss.study.document import LOCK_FILE, LOCK_TIMEOUT, STUDY_FILE, StudyFile
from napari_sortingloss.study.runs.names import checked_name, find_run, write_name
from napari_sortingloss.study.runs.run import Run, list_runs
from napari_sortingloss.study.runs.writer import RunWriter, make_run
from napari_sortingloss.study.schema import (
    Axis,
    Direction,
    VolumeRecord,
    check_document,
    check_name,
    family,
    new_document,
    tidy_name,
)
from napari_sortingloss.study.volume import IMAGE, Volume, volume_path


class Study:
    """A study folder.

    Use `Study.create` and `Study.open`; the object holds no lock and no open file, so it may be kept for as long as
    one likes and shared among threads.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    path : Path
        The folder, absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = StudyFile(path)
        self._runs: dict[str, Run] = {}

    def __repr__(self) -> str:
        return f"Study({str(self.path)!r})"

    # ------------------------------------------------------------------------------------------ making and opening
    @classmethod
    def create(cls, path: Path | str) -> Study:
        """Make an empty study.

        Parameters
        ----------
        path : Path or str
            A folder that does not exist yet, or is empty; its parents are made.

        Raises
        ------
        StudyError
            If there is something at that place already.
        UserError
            If the folder cannot be written.
        """
        folder = Path(path).expanduser().absolute()
        what = f"Cannot make a study in '{folder}'"
        with readable_os_errors(what):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise StudyError(what, "there is a file of that name", "choose another name") from error
            with exclusive(folder / LOCK_FILE, what, LOCK_TIMEOUT):
                found = [entry.name for entry in folder.iterdir() if entry.name != LOCK_FILE]
                if STUDY_FILE in found:
                    raise StudyError(what, "there is a study already", "open it or choose another folder")
                if any(not name.startswith(".") for name in found):
                    with suppress(OSError):
                        (folder / LOCK_FILE).unlink()
                    raise StudyError(what, "the folder is not empty", "choose an empty folder or a new name")
                atomic.write_json(folder / STUDY_FILE, new_document())
        return cls(folder)

    @classmethod
    def open(cls, path: Path | str) -> Study:
        """Open a study and clear away what killed programs left in it.

        Raises
        ------
        StudyError
            If it is no study, is damaged, or was written by a newer program; nothing in it is touched then.
        """
        folder = Path(path).expanduser().absolute()
        if folder.name == STUDY_FILE and folder.is_file():
            folder = folder.parent
        study = cls(folder)
        study._file.read()
        with suppress(UserError):  # a study that cannot be written to can still be read
            study._tidy()
        return study

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def _tidy(self) -> None:
        """Finish a rename that was cut short and remove what dead writers left."""
        what = f"Cannot tidy up the study '{self.name}'"
        with readable_os_errors(what), self.transaction(timeout=2.0) as document:
            if "renaming" in document:
                self._finish_renaming(document)
            volumes = check_document(document)
            for belonging in BELONGINGS:
                if belonging.tidy is not None:
                    belonging.tidy(self.path, volumes)
            remove_dead_parts(self.path)

    @contextmanager
    def transaction(self, timeout: float = LOCK_TIMEOUT) -> Iterator[dict[str, Any]]:
        """Change study.json, alone and whole or not at all; see `StudyFile.transaction`."""
        with self._file.transaction(timeout) as document:
            yield document

    @property
    def settings(self) -> dict[str, Any]:
        """A copy of the study-wide settings; change them in a `transaction`."""
        return dict(self._file.read()[0]["settings"])

    @property
    def classes(self) -> list[Any]:
        """A copy of the list of label classes; change it in a `transaction`."""
        return list(self._file.read()[0]["classes"])

    def free_bytes(self) -> int:
        """Return how many bytes are free on the study's disk."""
        with readable_os_errors(f"Cannot look at the disk of '{self.path}'"):
            return shutil.disk_usage(self.path).free

    # ------------------------------------------------------------------------------------------------- the volumes
    @property
    def volumes(self) -> dict[str, VolumeRecord]:
        """The volumes by name, in the order in which they were added; always what the disk says now."""
        return dict(self._file.read()[1])

    def volume_path(self, name: str) -> Path:
        """Return where a volume's OME-Zarr image lies, whether or not it exists."""
        return volume_path(self.path, name)

    def volume(self, name: str) -> Volume:
        """Return a volume for reading.

        Raises
        ------
        StudyError
            If the study has none of that name.
        """
        return Volume(self.path, self._record(name))

    def _record(self, name: str) -> VolumeRecord:
        volumes = self.volumes
        if name not in volumes:
            raise self._unknown(name, list(volumes))
        return volumes[name]

    def _unknown(self, name: str, names: Sequence[str]) -> StudyError:
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return StudyError(
            f"Cannot find volume '{name}' in '{self.name}'",
            f"the study has {listed}" if names else "the study has no volumes yet",
            "choose one of these" if names else "add some first",
        )

    def select(self, names: Sequence[str] | None = None) -> list[Volume]:
        """Return volumes by name or shell pattern, each once, in the study's order; None means all.

        Raises
        ------
        StudyError
            If a name or pattern fits no volume.
        """
        volumes = self.volumes
        if names is None:
            return [Volume(self.path, record) for record in volumes.values()]
        chosen: set[str] = set()
        for name in names:
            fitting = [name] if name in volumes else [v for v in volumes if fnmatch.fnmatchcase(v, name)]
            if not fitting:
                raise self._unknown(name, list(volumes))
            chosen.update(fitting)
        return [Volume(self.path, record) for name, record in volumes.items() if name in chosen]

    def free_name(self, name: str) -> str:
        """Return `name`, tidied, or with the first free number behind it, e.g. ``"fish-2"``.

        Names of imports that are going on count as taken.
        """
        return tidy_name(name, [*self.volumes, *writing_now(self.path)])

    def update_volume(
        self,
        name: str,
        *,
        axis: Axis | None = None,
        direction: Direction | None = None,
        voxel_size: tuple[float, float, float] | None = None,
        unit: str | None = None,
    ) -> VolumeRecord:
        """Change what the study says about a volume; no voxel is copied.

        The size of a voxel is the scan's: it is changed for all volumes that were cut from the same one, which go on
        lying where they were cut from. The ordering axis and its direction are each volume's own.

        Parameters
        ----------
        name : str
        axis : {"z", "y", "x"}, optional
            The ordering axis.
        direction : {"+", "-"}, optional
            Flipping it turns the order of the slices round.
        voxel_size : tuple of float, optional
            (z, y, x) in `unit`.
        unit : str, optional

        Raises
        ------
        StudyError
            If there is no such volume.
        BadSetting
            If a value does not fit.
        """
        own = {k: v for k, v in (("axis", axis), ("direction", direction)) if v is not None}
        shared = {k: v for k, v in (("voxel_size", voxel_size), ("unit", unit)) if v is not None}
        with self.transaction() as document:
            self._record(name)
            records = check_document(document)
            for member in family(records, name) if shared else {name}:
                changes = {**shared, **(own if member == name else {})}
                records[member] = record = records[member].replace(**changes)
                document["volumes"][member].update({key: record.to_json()[key] for key in changes})
                if shared:
                    self._rewrite_metadata(record)
        return records[name]

    def _rewrite_metadata(self, record: VolumeRecord) -> None:
        """Bring the OME attributes of the stored image, and of what lies on it, up to the record."""
        path = self.volume_path(record.name)
        factors = level_factors(record.shape)
        provenance = {**Volume(self.path, record).provenance, **record.to_json()}
        metadata = group_metadata(record.name, record.voxel_size, record.unit, factors, provenance)
        with readable_os_errors(f"Cannot change volume '{record.name}'"):
            atomic.write_json(path / "zarr.json", metadata)
            self._place(record)

    def _place(self, record: VolumeRecord) -> None:
        for belonging in BELONGINGS:
            if belonging.place is not None:
                belonging.place(self.path, record)

    def _refuse_to_move(self, name: str, what: str) -> None:
        for belonging in BELONGINGS:
            if belonging.hold is not None:
                belonging.hold(belonging.path(self.path, name), what)

    def remove_volume(self, name: str) -> None:
        """Take a volume out of the study, with its reference, localizations and predictions.

        Volumes cut from it stay where they are, in the frame of the original; the volume that it was cut from itself, if
        any, becomes their parent. Their `VolumeRecord.source` goes on saying what they were cut from.

        Raises
        ------
        StudyError
            If there is no such volume, or somebody painted on it: that work is never removed in passing.
        """
        what = f"Cannot remove volume '{name}'"
        with self.transaction() as document:
            self._record(name)
            self._refuse_to_move(name, what)
            for belonging in BELONGINGS:
                if belonging.keep is not None:
                    belonging.keep(belonging.path(self.path, name), what)
            heir = document["volumes"].pop(name).get("parent")
            for values in document["volumes"].values():
                if values.get("parent") == name:
                    values["parent"] = heir
        with readable_os_errors(what):
            for path in (self.volume_path(name), *(b.path(self.path, name) for b in BELONGINGS)):
                MAPS.forget(path)
                remove_folder(path)

    def rename_volume(self, old: str, new: str) -> VolumeRecord:
        """Give a volume another name, with all that belongs to it.

        Raises
        ------
        StudyError
            If there is no such volume, the new name is taken, or somebody has its annotations open.
        BadSetting
            If the new name cannot be a folder's on every system.
        """
        what = f"Cannot rename volume '{old}' to '{new}'"
        check_name(new)
        with self.transaction() as document:
            self._record(old)
            if new.casefold() in {n.casefold() for n in document["volumes"] if n != old}:
                raise StudyError(what, "the study has a volume of that name", "choose another name")
            if new == old:
                return self._record(old)
            self._refuse_to_move(old, what)
            document["renaming"] = [old, new]
        with self.transaction() as document:
            return self._finish_renaming(document)

    def _finish_renaming(self, document: dict[str, Any]) -> VolumeRecord:
        """Do, or finish after a crash, the rename that study.json announces; every step may be repeated."""
        old, new = document["renaming"]
        MAPS.forget(self.volume_path(old))
        with readable_os_errors(f"Cannot rename volume '{old}' to '{new}'"):
            for pattern in (IMAGE, *(belonging.pattern for belonging in BELONGINGS)):
                source, target = self.path / pattern.format(old), self.path / pattern.format(new)
                if source.exists() and not (target.exists() and not target.samefile(source)):
                    source.rename(target)
        renamed = {
            (new if name == old else name): {**values, "name": new} if name == old else values
            for name, values in document["volumes"].items()
        }
        for values in renamed.values():
            for key in ("parent", "reference"):
                if values.get(key) == old:
                    values[key] = new
        document["volumes"] = renamed
        del document["renaming"]
        record = check_document(document)[new]
        with readable_os_errors(f"Cannot rename volume '{old}' to '{new}'"):
            self._place(record)  # some name the volume that they belong to
        return record

    # ---------------------------------------------------------------------------------------------------- the runs
    def runs(self) -> list[Run]:
        """Return the runs, the newest first; damaged ones too, with what is wrong in `Run.problem`."""
        found = list_runs(self.path / "runs", self._runs)
        self._runs = {run.id: run for run in found}
        return found

    def run(self, name: str) -> Run:
        """Return a run by its id, by the beginning of it that only one has, or by its name.

        Raises
        ------
        StudyError
            If none or several fit.
        """
        return find_run(self.runs(), name, self.path)

    def name_run(self, run: str, name: str) -> None:
        """Give a run a name that people can tell it by; its id and its folder stay. An empty one takes it away.

        Raises
        ------
        StudyError
            If there is no such run.
        BadSetting
            If another run has that name, or it stands for something else.
        OutOfSpace, UserError
            If it cannot be written.
        """
        found = self.run(run)
        write_name(found.path, checked_name(name, [other for other in self.runs() if other.id != found.id]))

    def new_run(self, kind: str, task: str, settings: Mapping[str, Any], name: str = "") -> RunWriter:
        """Begin a run and hold it for writing.

        Parameters
        ----------
        kind : str
            ``"pretrain"``, ``"finetune"``, ...
        task : str
            What it trains, e.g. ``"sorting"``; the id begins with it.
        settings : mapping
            JSON-ready, from `Settings.to_json`.
        name : str
            What a person calls it; empty for none.

        Raises
        ------
        BadSetting
            If the name is taken.
        OutOfSpace, UserError
            If the folder cannot be written.
        """
        if not task or task != tidy_name(task):
            raise BadSetting(
                f"Cannot begin a run '{task}'", "the name becomes a folder", "use letters and digits"
            )
        name = checked_name(name, self.runs()) if name else ""
        return make_run(self.path / "runs", kind, task, settings, name)
