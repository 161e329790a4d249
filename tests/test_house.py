"""The rooms of the house: nothing is imported in a circle, not even for types alone."""

from __future__ import annotations

import grimp
import pytest

PACKAGE = "napari_sortingloss"
WINDOW = f"{PACKAGE}.widgets"


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """For each module below the window what it imports of ours, within functions and for types too."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    modules = {name for name in graph.modules if not name.startswith(WINDOW)}
    return {name: graph.find_modules_directly_imported_by(name) & modules for name in modules}


def in_circles(imports: dict[str, set[str]]) -> set[str]:
    """Return the modules that are left when all are taken away whose imports are gone, and those nobody imports."""
    left = {name: set(others) for name, others in imports.items()}
    while True:
        imported = set().union(*left.values()) if left else set()
        gone = {name for name, others in left.items() if not others or name not in imported}
        if not gone:
            return set(left)
        left = {name: others - gone for name, others in left.items() if name not in gone}


def test_a_circle_is_found_whatever_hangs_on_it():
    hung = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert in_circles(hung) == {"b", "c"}
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()


def test_below_the_window_nothing_is_imported_in_a_circle(imports):
    assert len(imports) > 200
    assert in_circles(imports) == set()
