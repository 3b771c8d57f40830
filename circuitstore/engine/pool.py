"""Batches computed by a pool of workers: so many under way at a time, and those of a lost worker again.

Joblib's processes and a cluster of Dask both are an `Executor` of `concurrent.futures`, so one loop serves
both. What differs stands in `Workers`: how many batches to have under way, and what a lost worker means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import Protocol

from circuitstore.engine.batch import Batch, Result
from circuitstore.engine.work import Progress

LOOK_SECONDS = 1.0  # between two looks at the workers while none of them finishes

Computed = Future[Result | None]


class Workers(Protocol):
    """A pool of workers."""

    @property
    def most(self) -> int:
        """How many batches to have under way: enough that no worker waits for the next."""

    def submit(self, batch: Batch) -> Computed:
        """Have a batch computed. It gives None where the worker was told to end before it was done."""

    def lost(self, phase: str, future: Computed, error: BaseException | None) -> None:
        """A batch of this phase has no result: it ended with an error, or with None. It is submitted again.

        Raises BuildError if that is no use, and `error` itself if no worker was lost.
        """

    def look(self, batches: Iterable[Batch]) -> None:
        """Say what there is to say about these batches, which are under way."""

    def ending(self) -> bool:
        """Whether the build was told to end, so that no other batch may begin."""


def compute(workers: Workers, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
    """Yield the result of each batch, in whatever order they finish. Raises what `Workers.lost` raises."""
    under_way: dict[Computed, Batch] = {}
    coming = iter(work)
    again: list[Batch] = []
    try:
        while True:
            while not workers.ending() and len(under_way) < workers.most:
                batch = again.pop() if again else next(coming, None)
                if batch is None:
                    break
                under_way[workers.submit(batch)] = batch
            if not under_way:
                return
            done, _ = wait(under_way, LOOK_SECONDS, FIRST_COMPLETED)
            workers.look(under_way.values())
            for batch, result in _finished(workers, done, under_way, again):
                progress(1 if batch.task.rows else len(result.entries) + len(result.failures))
                yield result
    finally:
        for future in under_way:
            future.cancel()


def _finished(
    workers: Workers, done: Iterable[Computed], under_way: dict[Computed, Batch], again: list[Batch]
) -> Iterator[tuple[Batch, Result]]:
    """The results of these futures, with their batches. Those of lost workers are put among `again`."""
    lost: list[tuple[Computed, Batch, BaseException | None]] = []
    for future in done:
        batch = under_way.pop(future)
        error = CancelledError() if future.cancelled() else future.exception()
        result = None if error else future.result()
        if result is not None:
            yield batch, result
        else:
            lost.append((future, batch, error))
    for future, batch, error in lost:
        if not workers.ending():
            workers.lost(batch.task.name, future, error)
            again.append(batch)
