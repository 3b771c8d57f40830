"""The entry point of `circuitstore …`, `python -m circuitstore …` and `python cli.py …`."""

from __future__ import annotations

import sys

from circuitstore.command import main

if __name__ == "__main__":
    sys.exit(main())
