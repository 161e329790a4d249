"""The commands, one function each: what they are called with, which job they run and what they say at the end."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from cyclopts import App, CycloptsError

from napari_sortingloss import __version__
from napari_sortingloss.cli import summaries
from napari_sortingloss.cli.console import BAD_INPUT, DONE, INTERRUPTED, drive, polite_termination, report, say
from napari_sortingloss.cli.options import (
    JSON,
    STUDY,
    command,
    flag,
    option,
    options_of,
    positional,
    settings_from,
)
from napari_sortingloss.errors import UserError

ABOUT = "Pre-train on unlabelled CT slices, find the specimen, annotate a few slices, segment the volume."


def run(argv: Sequence[str] | None = None) -> int:
    """Parse `argv`, run the command and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with polite_termination():
        try:
            app = build(arguments)
            outcome = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        except CycloptsError as error:
            say(f"{_one_line(str(error))} See 'napari-sortingloss {' '.join(arguments[:1])} --help'.")
            return BAD_INPUT
        except UserError as error:
            say(str(error))
            return BAD_INPUT
        except KeyboardInterrupt:
            say("Interrupted; what was done so far is kept in the study.")
            return INTERRUPTED
        except BrokenPipeError:
            return DONE
        except Exception:
            traceback.print_exc()
            say("This is a fault of the program, not of your data; please report it with the lines above.")
            return 1
    return outcome if isinstance(outcome, int) else DONE


def build(arguments: Sequence[str] = ()) -> App:
    """Assemble the command line; `arguments` tell which pretext task's options ``pretrain`` has."""
    from napari_sortingloss.pretext import TASKS, settings_for
    from napari_sortingloss.pretext.order_settings import OrderSettings
    from napari_sortingloss.study import AddSettings, ExportSettings

    app = App(name="napari-sortingloss", help=ABOUT, version=__version__)
    add_options = options_of(AddSettings, leave_out=("paths",))
    pretrain_class = settings_for(_task_in(arguments))
    pretrain_options = options_of(pretrain_class)
    order_options = options_of(OrderSettings)
    export_options = options_of(ExportSettings, leave_out=("volume",))

    def demo(study: Path | None = None, *, gui: bool = True, json: bool = False, **more: Any) -> int:
        from napari_sortingloss.cli.demo import DemoSettings, demo_job, show_in_napari

        result = drive(
            demo_job(DemoSettings(folder=study, **more)), as_json=json, summary=summaries.demo
        )
        if gui and not json:
            show_in_napari(Path(result["study"]))
        return DONE

    def new(study: Path, *, json: bool = False) -> int:
        from napari_sortingloss.study import Study

        with Study.create(study) as made:
            report({"study": str(made.path)}, as_json=json, summary=summaries.new)
        return DONE

    def add(study: Path, *paths: Path, json: bool = False, **values: Any) -> int:
        from napari_sortingloss.study import Study
        from napari_sortingloss.study.add import add as job

        if not paths:
            from napari_sortingloss.errors import BadInput

            raise BadInput("Cannot add volumes", "no file was named", "name at least one file or folder")
        settings = settings_from(AddSettings, values, add_options, paths=tuple(paths))
        with Study.open(study) as opened:
            result = drive(job(opened, settings), as_json=json, summary=summaries.add)
        for failure in result.get("failed", ()):
            say(failure["error"])
        return BAD_INPUT if result.get("failed") else DONE

    def show(study: Path, *, json: bool = False) -> int:
        from napari_sortingloss.study import Study

        with Study.open(study) as opened:
            report(summaries.contents(opened), as_json=json, summary=summaries.listing)
        return DONE

    def pretrain(
        study: Path, *, task: str = "sorting", resume: str | None = None, json: bool = False, **values: Any
    ) -> int:
        from napari_sortingloss.pretext.pretrain import pretrain as job
        from napari_sortingloss.study import Study

        given = set(values)
        with Study.open(study) as opened:
            if resume is None:
                settings = settings_from(pretrain_class, values, pretrain_options)
                events = job(opened, settings)
            else:
                events = job(opened, changes={k: values[k] for k in given}, resume=resume)
            drive(events, as_json=json, summary=summaries.pretrain)
        return DONE

    def order(study: Path, *, json: bool = False, **values: Any) -> int:
        from napari_sortingloss.pretext.order import order as job
        from napari_sortingloss.study import Study

        settings = settings_from(OrderSettings, values, order_options)
        with Study.open(study) as opened:
            drive(job(opened, settings), as_json=json, summary=summaries.order)
        return DONE

    def export(study: Path, volume: str, *, json: bool = False, **values: Any) -> int:
        from napari_sortingloss.study import Study
        from napari_sortingloss.study.export import export as job

        settings = settings_from(ExportSettings, values, export_options, volume=volume)
        with Study.open(study) as opened:
            drive(job(opened, settings), as_json=json, summary=summaries.export)
        return DONE

    from napari_sortingloss.cli.demo import DemoSettings

    demo_study = positional("study", Path | None, "Where to put the sample study; a folder in your data folder by default.")
    app.command(
        command(
            demo,
            "demo",
            "The whole job on a sample study of six phantom fish: pre-train, order the slices, write a report.",
            [
                demo_study.replace(default=None),
                *options_of(DemoSettings, leave_out=("folder",)),
                option("gui", bool, True, "Open napari on the result, where there is a display."),
                JSON,
            ],
        )
    )
    app.command(command(new, "new", "Make an empty study.", [STUDY, JSON]))
    app.command(
        command(
            add,
            "add",
            "Read files or folders of any supported format into 8-bit volumes of the study.",
            [STUDY, positional("paths", Path, "Files or folders.", many=True), *add_options, JSON],
        )
    )
    app.command(command(show, "list", "Say what is in a study.", [STUDY, JSON]))
    app.command(
        command(
            pretrain,
            "pretrain",
            "Pre-train an encoder on the unlabelled slices; killed or stopped runs go on with --resume.",
            [
                STUDY,
                option("task", Literal[tuple(TASKS)], "sorting", "The self-supervised task; it decides which options there are."),
                *pretrain_options,
                option("resume", str | None, None, "Go on with this run; its settings are taken over."),
                JSON,
            ],
        )
    )
    app.command(
        command(
            order,
            "order",
            "Predict the position of every slice of each volume; tells volumes that were stored upside down.",
            [STUDY, *order_options, JSON],
        )
    )
    app.command(
        command(
            export,
            "export",
            "Write a volume to a file; the suffix chooses the format (.ome.tif, .tif, .nii, .nii.gz, .ome.zarr).",
            [STUDY, positional("volume", str, "The volume's name."), *export_options, JSON],
        )
    )
    return app


def _task_in(arguments: Sequence[str]) -> str:
    """Find the pretext task among the arguments, before they are parsed."""
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if here == "--task":
            return following
        if here.startswith("--task="):
            return here.removeprefix("--task=")
    return "sorting"


def _one_line(text: str) -> str:
    return " ".join(text.split())
