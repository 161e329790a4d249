"""Writes docs/cli.md from the command line itself: ``python docs/scripts/make_cli.py``."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from napari_sortingloss.cli.app import build
from napari_sortingloss.cli.table import entries

PAGE = Path(__file__).resolve().parents[1] / "cli.md"

INTRODUCTION = """\
<!-- Written by docs/scripts/make_cli.py; change the settings or the commands, not this page. -->

# Command line

Everything the widgets do can be done without a display:

```bash
napari-sortingloss new my-study
napari-sortingloss add my-study scans/*.nii.gz --axis z --window p1:p99.95
napari-sortingloss list my-study
napari-sortingloss pretrain my-study --steps 1000 --validate fish_05 fish_06
napari-sortingloss order my-study --run sorting-261121-093000
napari-sortingloss localize my-study --run sorting-261121-093000
napari-sortingloss crop my-study 'fish_*' --margin 4
napari-sortingloss annotate my-study --from-reference --slices 5 --volumes 'fish_0[1-3]_crop'   # or paint in napari
napari-sortingloss finetune my-study --init sorting-261121-093000
napari-sortingloss predict my-study --run segmentation-261121-101500
napari-sortingloss evaluate my-study --run segmentation-261121-101500 --volumes 'fish_0[4-6]_crop'
napari-sortingloss export my-study fish_04_crop --what labels --frame original --to fish_04.nii.gz
```

- Progress and notices go to standard error, the result to standard output.
- `--json` prints one JSON document on standard output and nothing else there.
- Exit status: **0** done, **2** wrong usage or bad input (one clear line on standard error), **130** interrupted; what was
  done is kept. Ctrl-C and a polite termination (SIGTERM, as a cluster sends it) are the same.
- Names of volumes may be patterns: `--validate 'fish_0[56]'`. A run may be named by the start of its id.
- A run that was stopped, killed or cut off goes on with `pretrain my-study --resume RUN`, or `finetune`; with more `--steps`
  it trains on, a fine-tuning also on what was painted since.
- `predict` goes on where it was interrupted. `learning-curve` does too, and adds to what it measured before.
- Several graphics cards: `--devices N`, or start the same command under `torchrun`.

"""


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for name in (entry.name for entry in sorted(entries("sorting"), key=lambda entry: entry.name == "demo")):
        parts.append(f"## {name}\n\n```text\n{help_of(name)}```\n\n")
    return "".join(parts).rstrip() + "\n"


def help_of(name: str) -> str:
    """Return what ``--help`` says of a command, 100 columns wide."""
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=False, color_system=None, legacy_windows=False)
    app = build([name])
    app.help_print([name], console=console)
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
