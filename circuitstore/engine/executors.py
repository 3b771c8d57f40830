"""Where batches of cells are computed: in this process, or in joblib's worker processes.

An executor is given all batches of one phase, which are independent, and yields their results in whatever
order they finish.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from circuitstore.engine.work import Batch, Progress, Result, run_batch
from circuitstore.errors import BuildError


class Executor(Protocol):
    """Computes batches."""

    def run(self, work: Sequence[Batch], progress: Progress) -> Iterator[Result]:
        """Yield the result of each batch.

        `progress` hears how many cells were dealt with since it was last called.
        """


class ThisProcess:
    """One batch after the other, here."""

    def run(self, work: Sequence[Batch], progress: Progress) -> Iterator[Result]:
        for batch in work:
            yield run_batch(batch, progress)


class Joblib:
    """Several batches at a time, each in a worker process of this machine."""

    def __init__(self, jobs: int):
        self.jobs = jobs

    def run(self, work: Sequence[Batch], progress: Progress) -> Iterator[Result]:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        running = Parallel(n_jobs=self.jobs, return_as="generator_unordered")
        try:
            for result in running(delayed(run_batch)(batch) for batch in work):
                progress(len(result.entries) + len(result.failures))
                yield result
        except TerminatedWorkerError as error:
            got = "a worker process that was killed, as systems do when memory runs out"
            remedy = "use fewer --jobs: each has a model of its own (see `circuitstore plan`)"
            raise BuildError(f"phase {work[0].task.name}", got=got, remedy=remedy) from error


def executor(jobs: int, batches: int) -> Executor:
    """The executor for so many jobs and batches: worker processes only where they can share the work."""
    return ThisProcess() if jobs == 1 or batches <= 1 else Joblib(jobs)
