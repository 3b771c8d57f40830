"""The entry point of `circuitstore …`, `python -m circuitstore …` and `python cli.py …`."""

from __future__ import annotations

import gc
import sys

gc.disable()  # collecting while modules load is a fifth of the time of a build with nothing to do; `runner` turns it on to work

from circuitstore.command import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
