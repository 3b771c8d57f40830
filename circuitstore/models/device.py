"""The machine that models run on: which device, how many threads, and what to do when memory runs out.

The module itself does not import torch, so that a build with nothing to compute stays fast. It looks for
torch among the modules that the process has already loaded. No result depends on what is chosen here, apart
from its last bits.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from circuitstore.models import numerics

# Without this setting, products of Intel's library differ in their last bits with the number of threads and
# with the address of a matrix in memory, which follows from the other cells of a batch (Intel oneMKL,
# "Obtaining numerically reproducible results"). The library reads the variable at its first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


@dataclass(frozen=True)
class Machine:
    """The machine as a builder sees it. The object holds nothing, so it can be sent to other processes."""

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that the memory of the host or of an accelerator ran out.

        NumPy and Python raise MemoryError. torch raises OutOfMemoryError, or RuntimeError with one of two
        texts.
        """
        torch = sys.modules.get("torch")
        if isinstance(error, MemoryError) or (
            torch is not None and isinstance(error, torch.OutOfMemoryError)
        ):
            return True
        return isinstance(error, RuntimeError) and any(
            words in str(error) for words in ("can't allocate memory", "ALLOC_FAILED")
        )

    def free_memory(self) -> None:
        """Give unused memory back, also that of an accelerator, which keeps freed blocks for later."""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def fixed(self) -> AbstractContextManager[Callable[[], None]]:
        """Fix what torch computes with inside the block (`circuitstore.models.numerics.fixed`)."""
        return numerics.fixed()

    def description(self) -> dict[str, object]:
        """What provenance records of the machine.

        That is `threads` of torch, `device` ("cuda" or "cpu"), and `numerics`, the settings of torch.
        """
        torch = sys.modules.get("torch")
        if torch is None:
            return {"threads": 1, "device": "cpu"}
        device = "cuda" if torch.cuda.is_initialized() else "cpu"
        return {"threads": torch.get_num_threads(), "device": device, "numerics": numerics.current()}


def choose(name: str) -> str:
    """The device to compute on: for "auto" a GPU if there is one, else the CPU; any other name as given."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def limit_threads(count: int) -> None:
    """Let torch use this many threads for one operation; 0 leaves the number as it is."""
    if count:
        import torch

        torch.set_num_threads(count)
