"""Where to compute. The device is no part of any key: it is recorded with a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def load(name: str, threads: int) -> torch.device:
    """The device of a name, with so many threads of torch (0: its own choice)."""
    import torch

    limit_threads(threads)
    return torch.device(choose(name))


def choose(name: str) -> str:
    """The name of a device: as given, or for "auto" a GPU if there is one, else the CPU."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def limit_threads(count: int) -> None:
    """Let torch use so many threads; 0 leaves it as it is."""
    if count:
        import torch

        torch.set_num_threads(count)
