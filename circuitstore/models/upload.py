"""Send a large matrix from its file to an accelerator, part by part, while the parts before are in use.

A file that is mapped into memory reaches an accelerator only by way of memory that the system keeps in place
(pinned memory). A few pieces of it take turns: threads fill them from the file, because one cannot keep up
with the accelerator, while it reads those that are full and works on what came before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from circuitstore.models.raising import READERS

Part = tuple[int, Tensor]  # the number of the first row, and the rows (row, column)


def uploaded(parts: Iterable[Part], device: torch.device) -> Iterator[Part]:
    """The same parts with their rows on ``device``, in their own dtype.

    ``parts`` lie in the memory of the host, and none is larger than the first. Later rows overwrite those of
    a part, so a user is done with a part when it asks for the next.
    """
    filling: deque[tuple[_Slot, Future[Part]]] = deque()
    with ThreadPoolExecutor(READERS) as readers:
        for part in parts:
            if len(filling) <= READERS:
                slot = _Slot(part[1], device)
            else:
                slot, filled = filling.popleft()
                yield slot.arrived(filled.result())
                slot.release()
            filling.append((slot, readers.submit(slot.fill, part)))
        for slot, filled in filling:
            yield slot.arrived(filled.result())


class _Slot:
    """Pinned memory for one part, and its place on the accelerator."""

    def __init__(self, rows: Tensor, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
        self.there = torch.empty(rows.shape, dtype=rows.dtype, device=device)
        self.there.record_stream(self.stream)
        self.sent, self.free = torch.cuda.Event(), torch.cuda.Event()
        self.release()

    def fill(self, part: Part) -> Part:
        """Read the rows from the host's memory and send them off. Runs in a thread of its own."""
        first, rows = part
        self.sent.synchronize()  # the part before has left the pinned memory
        self.host[: len(rows)].copy_(rows)
        there = self.there[: len(rows)]
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.free)
            there.copy_(self.host[: len(rows)], non_blocking=True)
            self.sent.record()
        return first, there

    def arrived(self, part: Part) -> Part:
        """The part, once what is computed from here on waits for its rows."""
        torch.cuda.current_stream(self.device).wait_event(self.sent)
        return part

    def release(self) -> None:
        """Let the next rows overwrite these when everything computed so far is done."""
        self.free.record(torch.cuda.current_stream(self.device))
