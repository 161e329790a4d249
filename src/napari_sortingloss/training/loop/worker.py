"""A further process of a run: rebuilds the task from its order and trains along silently until the first one ends."""

from __future__ import annotations

import json
import logging
import sys
from importlib import import_module
from pathlib import Path

from napari_sortingloss.errors import UserError
from napari_sortingloss.training.computer.processes import own_place
from napari_sortingloss.training.loop.loop import fit


def main(order_file: str) -> int:
    """Do what an order written by the first process says.

    Parameters
    ----------
    order_file : str
        JSON: ``study`` (path), ``task`` (``module:Class``), ``settings``, ``train`` and ``validation`` (names of
        volumes), ``rank``, ``size``, ``port`` and ``ready`` (a file to make once everything is built).

    Returns
    -------
    int
        The exit status; the last line on standard error says what went wrong.
    """
    from napari_sortingloss.study import Study

    logging.basicConfig(format="%(message)s")
    order = json.loads(Path(order_file).read_text(encoding="utf-8"))
    module, _, name = order["task"].partition(":")
    task_class = getattr(import_module(module), name)
    try:
        task = task_class(task_class.settings_class.from_json(order["settings"]))
        study = Study.open(Path(order["study"]))
        train = [study.volume(v) for v in order["train"]]
        validation = [study.volume(v) for v in order["validation"]]
        place = own_place(order["rank"], order["size"], order["port"])
        Path(order["ready"]).touch()
        for _ in fit(task, study, None, train, validation, place=place):
            pass
    except UserError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
