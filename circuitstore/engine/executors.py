"""Where batches of cells are computed: in this process, by worker processes, or by the workers of a cluster.

An executor lives as long as a build. It is given all batches of one phase, which are independent, and yields
their results in whatever order they finish. No result depends on which executor computed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from circuitstore.engine.batch import Batch, Result
from circuitstore.engine.work import Progress, run_batch

Tell = Callable[[str], None]


class Executor(Protocol):
    """Computes batches."""

    @property
    def width(self) -> int:
        """How many batches it computes at a time."""

    def run(self, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
        """Yield the result of each batch.

        Batches are taken one by one, as they can be computed.

        `progress` hears how many cells were dealt with since it was last called. Raises BuildError when
        workers are lost again and again.
        """

    def close(self) -> None:
        """Leave no worker behind that was started for this build."""


class ThisProcess:
    """One batch after the other, here."""

    width = 1

    def run(self, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
        for batch in work:
            yield run_batch(batch, progress)

    def close(self) -> None:
        """Nothing was started."""


def executor(jobs: int, dask: str, libraries: Iterable[str], proof: str, warn: Tell, note: Tell) -> Executor:
    """The executor for so many worker processes, or for a scheduler of Dask; its workers begin to start.

    `jobs` 0 is one process here, and with `dask` "local" one a core. Processes import `libraries` as
    they start. `proof` is a file of the store, which only who has this very store can see. `warn` and `note`
    are told what a user should know. Raises UsageError for a scheduler that cannot be used.
    """
    if dask:
        from circuitstore.engine.cluster import Dask

        return Dask(dask, jobs, proof, warn, note)
    if jobs > 1:
        from circuitstore.engine.processes import Processes

        return Processes(jobs, tuple(libraries), warn)
    return ThisProcess()
