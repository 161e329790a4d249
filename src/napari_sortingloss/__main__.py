"""Lets ``python -m napari_sortingloss`` be the command line."""

import sys

from napari_sortingloss.cli import main

sys.exit(main())
