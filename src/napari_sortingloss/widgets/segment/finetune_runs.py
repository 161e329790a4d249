"""How the Segment stage trains: runs of fine-tuning, in a thread of napari or in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from napari_sortingloss.events import Event
from napari_sortingloss.widgets.runs import training_jobs as actions
from napari_sortingloss.widgets.runs.run_actions import RunActions
from napari_sortingloss.widgets.session.jobs import MakeJob
from napari_sortingloss.widgets.toolkit.gentle_import import import_gently

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sortingloss.segment.settings import FinetuneSettings
    from napari_sortingloss.study import Study

FINETUNE = "finetune"


def finetune_job(study: Study, settings: FinetuneSettings, name: str = "") -> MakeJob:
    """Return what makes the job of a new run, which leaves one core to the viewer."""

    def make() -> Iterator[Event]:
        import_gently("napari_sortingloss.training.loop.loop", "napari_sortingloss.segment.finetune.job")
        from napari_sortingloss.segment.finetune.job import finetune

        wanted: Any = actions.leave_a_core(settings)
        return finetune(study, wanted, name=name)

    return make


def go_on_job(study: Study, run: str, steps: int) -> MakeJob:
    """Return what makes the job that goes on with a run up to `steps` steps."""

    def make() -> Iterator[Event]:
        import_gently("napari_sortingloss.training.loop.loop", "napari_sortingloss.segment.finetune.job")
        from napari_sortingloss.segment.finetune.job import finetune
        from napari_sortingloss.training.computer.devices import usable_cores

        changes = {"threads": max(1, usable_cores() - 1), "steps": steps}
        return finetune(study, resume=run, changes=changes)

    return make


class SegmentRuns(RunActions):
    """Starts, steers, resumes and deletes runs of fine-tuning."""

    kind: ClassVar[str] = FINETUNE

    def new_job(self, study: Study, settings: Any, name: str) -> tuple[str, MakeJob]:
        """Return the title and the maker of the job of a new run."""
        return "Fine-tuning on annotated slices", finetune_job(study, settings, name)

    def new_command(self, study: Path, settings: Any) -> list[str]:
        """Return the command that does the same in a process of its own."""
        return [FINETUNE, str(study), *actions.options(settings)]

    def job_to_go_on(self, study: Study, run: str, steps: int) -> MakeJob:
        """Return what makes the job that goes on with a run."""
        return go_on_job(study, run, steps)
