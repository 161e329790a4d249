"""The page about the command line says what the command line says."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_command_line_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "scripts" / "make_cli.py"))["page"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == made, "run python docs/scripts/make_cli.py"
