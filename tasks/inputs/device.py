"""Where to compute. The device is no part of any key: it is recorded with a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitstore.models.device import choose, limit_threads

if TYPE_CHECKING:
    import torch


def load(name: str, threads: int) -> torch.device:
    """The device of a name, with so many threads of torch (0: its own choice)."""
    import torch

    limit_threads(threads)
    return torch.device(choose(name))
