"""How often the ordering axis that is proposed for a file is the right one.

Run it with ``python benchmarks/ordering_axis.py FOLDER --axis z`` on a folder of volumes that all run along one axis, as
they are read. Each volume is looked at as the window looks at it before an import, and then again with its axes exchanged in
the five other ways. Every second volume (in the order of their names) belongs to the half on which the threshold was
chosen; the others judge it.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from pathlib import Path

from napari_sortingloss.formats import find_sources, open_source
from napari_sortingloss.study.exchange.axis_proposal import propose_axis
from napari_sortingloss.study.exchange.preview_window import preview


def main() -> None:
    parser = argparse.ArgumentParser(description="How often the proposed ordering axis is the right one.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--axis", choices="zyx", default="z", help="the right one")
    given = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()
    for number, path in enumerate(find_sources([given.folder])):
        half = ("chosen on", "judged on")[number % 2]
        with open_source(path) as source:
            seen = preview(source)
        spacing = seen.spacing(source.geometry.voxel_size or (1.0, 1.0, 1.0))
        for order in itertools.permutations(range(3)):
            found = propose_axis(seen.voxels.transpose(order), [spacing[i] for i in order])
            right = "zyx"[order.index("zyx".index(given.axis))]
            what = "nothing stands out" if not found.sure else "right" if found.axis == right else "wrong"
            stored = "as stored" if order == (0, 1, 2) else "axes exchanged"
            counts[half, stored, what] += 1
            if stored == "as stored":
                counts[half, stored, "right or left at z"] += found.axis == right
    for (half, stored, what), count in sorted(counts.items()):
        total = sum(
            counts[key] for key in counts if key[:2] == (half, stored) and key[2] != "right or left at z"
        )
        print(f"{half}, {stored}: {what} {count} of {total}")


if __name__ == "__main__":
    main()
