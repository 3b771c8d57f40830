"""Where and with what a batch was computed: recorded with the batch, and no part of any key."""

from __future__ import annotations

import os
import platform
import resource
import time
from functools import lru_cache
from importlib import metadata

from circuitstore.engine.task import Machine

PACKAGES = (
    "circuitstore",
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "numcodecs",
    "xarray",
)
# By these, libraries choose how they multiply matrices.
VARIABLES = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")


def provenance(machine: Machine, started: float) -> dict[str, object]:
    """What is recorded of a batch that was `started` (seconds since the epoch) and has just ended."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": _processor(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        **machine.description(),
        "seconds": round(time.time() - started, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


@lru_cache
def _version(package: str) -> str:
    """What is installed of a package; finding out takes a millisecond."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@lru_cache
def _processor() -> str:
    """The name of the processor, on which the last bits of a product depend. Linux tells it in a file."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            named = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
            return next(named, platform.processor())
    except OSError:
        return platform.processor()
