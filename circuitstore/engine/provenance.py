"""Where and with what a batch was computed: recorded with the batch, and no part of any key."""

from __future__ import annotations

import platform
import resource
import time
from importlib import metadata

from circuitstore.engine.task import Machine

PACKAGES = (
    "circuitstore",
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "zarr",
    "xarray",
)


def provenance(machine: Machine, started: float) -> dict[str, object]:
    """What is recorded of a batch that was `started` (seconds since the epoch) and has just ended."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "versions": {"python": platform.python_version(), **versions},
        "host": platform.node(),
        "platform": platform.platform(),
        **machine.description(),
        "seconds": round(time.time() - started, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
