"""Sets up everything on a new machine: ``python3 dev.py demo`` runs the demo, ``python3 dev.py test`` all the tests.

It needs nothing but Python 3.11 or newer and makes its environment in ``.venv`` beside this file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

# What Qt and a virtual display need on Debian and Ubuntu, beyond a bare system.
SYSTEM_PACKAGES = (
    "xvfb libegl1 libgl1 libopengl0 libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
    "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1"
).split()


def main(arguments: list[str]) -> int:
    """Run ``demo`` or ``test``, handing further arguments on, and return the exit status."""
    if sys.version_info < (3, 11):
        print(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    if not arguments or arguments[0] not in ("demo", "test", "env"):
        print("Usage: python3 dev.py demo | test | env   (further arguments are handed on)", file=sys.stderr)
        return 2
    what, rest = arguments[0], arguments[1:]
    try:
        if what == "test":
            system_packages()
            environment("tox>=4.23")
            return subprocess.call([PYTHON, "-m", "tox", *rest], cwd=HERE)
        if os.environ.get("DISPLAY") or what == "env":
            system_packages()
        environment("-e", ".[all,cluster,docs,test]" if what == "env" else ".[all]")
        if what == "env":
            print(f"Ready: {PYTHON}")
            return 0
        return subprocess.call([PYTHON, "-m", "napari_sortingloss", "demo", *rest], cwd=HERE)
    except subprocess.CalledProcessError as error:
        print(f"This step failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1


def environment(*requirements: str) -> None:
    """Make ``.venv`` if it is missing and install `requirements` into it under the tested versions."""
    if not PYTHON.exists():
        print("Making the environment in .venv …", flush=True)
        try:
            venv.create(VENV, with_pip=True, clear=VENV.exists())
        except (subprocess.CalledProcessError, SystemExit):
            shutil.rmtree(VENV, ignore_errors=True)
            print(
                "Python's venv module is not complete here; on Debian or Ubuntu type: sudo apt install python3-venv"
            )
            raise
    inputs = (HERE / "constraints.txt", HERE / "pyproject.toml")
    state = hashlib.sha256(b"".join(p.read_bytes() for p in inputs) + repr(requirements).encode()).hexdigest()
    stamp = VENV / f"installed-{state[:16]}"
    if stamp.exists():
        return
    print("Installing (once; a few minutes on a slow line) …", flush=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    subprocess.run([*pip, *requirements], check=True, cwd=HERE)
    stamp.touch()


def system_packages() -> None:
    """Install the libraries Qt needs on a bare Debian or Ubuntu, or say the one line that does."""
    if not sys.platform.startswith("linux") or shutil.which("dpkg-query") is None:
        return
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *SYSTEM_PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    present = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    missing = [name for name in SYSTEM_PACKAGES if name not in present]
    if not missing:
        return
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
    if os.geteuid() == 0:
        print(f"Installing system libraries: {' '.join(missing)}", flush=True)
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "--quiet"], check=True, **quiet)
        subprocess.run(install, check=True, **quiet)
        return
    print(
        "Qt needs system libraries that are missing here. Type this line, then start again:", file=sys.stderr
    )
    print(f"  sudo apt-get update && sudo {' '.join(install)}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
