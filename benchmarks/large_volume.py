"""How much memory localising a large volume takes: ``python benchmarks/large_volume.py [SIDE_Z SIDE_Y SIDE_X]``.

A phantom fish is enlarged to 2000 x 1000 x 1000 voxels (2 GB), imported beside the six fish of the sample study, and localised
on the command line with a short run on these; the memory of that process is watched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np

from napari_sortingloss.events import Result
from napari_sortingloss.formats import array_source
from napari_sortingloss.pretext import settings_for
from napari_sortingloss.pretext.jobs.pretrain import pretrain
from napari_sortingloss.samples import sample_study
from napari_sortingloss.samples.phantoms import make_phantom
from napari_sortingloss.study import AddSettings, Study
from napari_sortingloss.study.exchange.add import add


def main() -> None:
    """Make the study, localise the large volume and print what it took."""
    shape = tuple(map(int, sys.argv[1:4])) or (2000, 1000, 1000)
    with tempfile.TemporaryDirectory(prefix="sortingloss-large-") as folder:
        path = Path(folder) / "study"
        for _ in sample_study(path):
            pass
        study = Study.open(path)
        run = result_of(pretrain(study, settings_for("sorting")(steps=400, validate=("fish_02", "fish_05"))))[
            "run"
        ]
        phantom = make_phantom(0)
        factors = [new / old for new, old in zip(shape, phantom.voxels.shape, strict=True)]
        source = array_source(
            enlarged(phantom.voxels, shape),
            "large",
            tuple(size / factor for size, factor in zip(phantom.voxel_size, factors, strict=True)),
            phantom.unit,
        )
        began = time.monotonic()
        result_of(add(study, AddSettings(), [source]))
        print(f"import of {np.prod(shape) / 1e9:.1f} GB: {time.monotonic() - began:.0f} s")
        command = [
            sys.executable,
            "-m",
            "napari_sortingloss",
            "localize",
            str(path),
            "--run",
            run,
            "--volumes",
            "large",
        ]
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        own, all_ = watch(process)
        seconds = time.monotonic() - began
        found = json.loads(process.stdout.read())["volumes"][0]
        truth = [[round(v * f) for v in span] for span, f in zip(phantom.box, factors, strict=True)]
        error = np.mean(
            [
                abs(a - b) / n
                for f, t, n in zip(found["box"], truth, shape, strict=True)
                for a, b in zip(f, t, strict=True)
            ]
        )
        print(
            f"localize: {seconds:.0f} s, {own / 2**20:.2f} GB of its own at most, {all_ / 2**20:.2f} GB with mapped files"
        )
        print(
            f"box {found['box']}, true {truth}: {100 * error:.2f} % of the side; removes {found['removed_fraction']:.0%}"
        )


def enlarged(voxels: np.ndarray, shape: tuple[int, ...]) -> da.Array:
    """Repeat voxels until the shape is reached, lazily."""
    found = da.from_array(voxels, chunks=(8, -1, -1))
    for axis, size in enumerate(shape):
        index = np.arange(size) * voxels.shape[axis] // size
        found = da.take(found, index, axis=axis)
    return found.rechunk((16, -1, -1))


def watch(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Return the most memory a process held, in KB: what is its own, and with the pages of mapped files."""
    own = everything = 0
    while process.poll() is None:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
        values = {key: value for key, _, value in (line.partition(":") for line in lines)}
        if "RssAnon" in values:
            own = max(own, int(values["RssAnon"].split()[0]))
            everything = max(everything, int(values["VmHWM"].split()[0]))
        time.sleep(0.02)
    return own, everything


def result_of(job) -> dict:
    """Run a job and return its result."""
    return next(dict(event.value) for event in job if isinstance(event, Result))


if __name__ == "__main__":
    main()
