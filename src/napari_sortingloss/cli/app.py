"""The command line assembled from the table of commands, and how each way to end becomes an exit status."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from napari_sortingloss import __version__
from napari_sortingloss.cli.console import BAD_INPUT, DONE, INTERRUPTED, polite_termination, say
from napari_sortingloss.cli.options import JSON, command
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
    from napari_sortingloss.cli.table import entries

    app = App(name="napari-sortingloss", help=ABOUT, version=__version__, suppress_keyboard_interrupt=False)
    for entry in entries(task_in(arguments)):
        app.command(command(entry.body, entry.name, entry.about, [*entry.parameters, JSON]))
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
