"""`python cli.py …` in a checkout is the installed command `circuitstore …`."""

import sys

from circuitstore.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
