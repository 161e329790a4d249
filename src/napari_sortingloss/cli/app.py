"""The command line assembled: which commands there are and which settings each takes its options from."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cyclopts import App, CycloptsError

from napari_sortingloss import __version__
from napari_sortingloss.cli.console import BAD_INPUT, DONE, INTERRUPTED, polite_termination, say
from napari_sortingloss.cli.options import JSON, STUDY, command, option, options_of, positional
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
            name = f"napari-sortingloss {arguments[0]}" if arguments else "napari-sortingloss"
            say(f"{' '.join(str(error).split())} See '{name} --help'.")
            return BAD_INPUT
        except UserError as error:
            say(str(error))
            return BAD_INPUT
        except KeyboardInterrupt:
            say("Interrupted; what was done so far is kept in the study.")
            return INTERRUPTED
        except Exception:
            traceback.print_exc()
            say("This is a fault of the program, not of your data; please report it with the lines above.")
            return 1
    return outcome if isinstance(outcome, int) else DONE


def build(arguments: Sequence[str] = ()) -> App:
    """Assemble the command line.

    Parameters
    ----------
    arguments : sequence of str
        What will be parsed: it tells which task's options ``pretrain`` has.
    """
    from napari_sortingloss.cli import commands
    from napari_sortingloss.cli.demo import DemoSettings
    from napari_sortingloss.localize import LocalizeSettings
    from napari_sortingloss.pretext import TASKS, settings_for
    from napari_sortingloss.pretext.order import OrderSettings
    from napari_sortingloss.study.add_settings import AddSettings
    from napari_sortingloss.study.crop_settings import CropSettings
    from napari_sortingloss.study.export import ExportSettings

    task = task_in(arguments)
    app = App(name="napari-sortingloss", help=ABOUT, version=__version__)
    for body, name, about, parameters in (
        (
            commands.demo,
            "demo",
            "The whole job on a sample study of six phantom fish: pre-train, order the slices, find and crop the fish, "
            "write a report.",
            [
                positional("study", Path | None, "Where to put the sample study; ./demo-study if not given.", default=None),
                *options_of(DemoSettings),
                option("gui", bool, True, "Open napari on the result, where there is a display."),
            ],
        ),
        (commands.new, "new", "Make an empty study.", [STUDY]),
        (
            commands.add,
            "add",
            "Read files or folders of any supported format into 8-bit volumes of the study.",
            [STUDY, positional("paths", Path, "Files or folders.", many=True), *options_of(AddSettings)],
        ),
        (commands.show, "list", "Say what is in a study.", [STUDY]),
        (
            commands.pretrain,
            "pretrain",
            "Pre-train an encoder on the unlabelled slices. A stopped or killed run goes on with --resume.",
            [
                STUDY,
                option("task", Literal[tuple(TASKS)], task, "The self-supervised task; it decides which options there are."),
                *options_of(settings_for(task)),
                option("resume", str | None, None, "Go on with this run from its last checkpoint, with its settings."),
            ],
        ),
        (
            commands.order,
            "order",
            "Predict the position of every slice of each volume; tells volumes that were stored upside down.",
            [STUDY, *options_of(OrderSettings)],
        ),
        (
            commands.localize,
            "localize",
            "Find the specimen in each volume, without labels: uncertainty, region, hull and box.",
            [STUDY, *options_of(LocalizeSettings)],
        ),
        (
            commands.crop,
            "crop",
            "Cut volumes to the boxes of their specimens: new volumes that remember where they were cut from.",
            [
                STUDY,
                positional("volumes", str, "The volumes to cut, by name or pattern.", many=True),
                *options_of(CropSettings, without=("volumes",)),
            ],
        ),
        (
            commands.export,
            "export",
            "Write a volume, the part in its box or its uncertainty to a file; the suffix chooses the format "
            "(.tif, .ome.tif, .nii, .nii.gz, .ome.zarr).",
            [STUDY, positional("volume", str, "The volume's name."), *options_of(ExportSettings)],
        ),
    ):  # fmt: skip
        app.command(command(body, name, about, [*parameters, JSON]))
    return app


def task_in(arguments: Sequence[str]) -> str:
    """Find the pretext task among the arguments, before they are parsed; the first task there is by default."""
    from napari_sortingloss.pretext import TASKS

    found = next(iter(TASKS))
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        value = following if here == "--task" else here.removeprefix("--task=") if "=" in here else ""
        if value in TASKS:
            found = value
    return found
