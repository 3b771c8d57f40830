"""The entry point of `circuitstore …`, `python -m circuitstore …` and `python cli.py …`."""

from __future__ import annotations

import gc
import sys

# collecting while modules load is a fifth of the time of a build with nothing to do; `runner` turns it on to
# work
gc.disable()

from circuitstore import command  # noqa: E402
from circuitstore.command import streams  # noqa: E402

__all__ = ["main"]


def main() -> int:
    """Run the command of `sys.argv` as this process's only one; returns the exit code."""
    streams.prepare()
    code = command.main()
    # the interpreter's last collection would look at everything once more, which costs as much as planning
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(main())
