"""Where batches of cells are computed: in this process, or in joblib's worker processes.

An executor is given all batches of one phase, which are independent, and yields their results in whatever
order they finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Protocol

from circuitstore.engine.batch import Batch, Result
from circuitstore.engine.interruption import Relay, Worker
from circuitstore.engine.work import Progress, run_batch
from circuitstore.errors import BuildError


class Executor(Protocol):
    """Computes batches."""

    def run(self, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
        """Yield the result of each batch.

        Batches are taken one by one, as they can be computed.

        `progress` hears how many cells were dealt with since it was last called.
        """


class ThisProcess:
    """One batch after the other, here."""

    def run(self, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
        for batch in work:
            yield run_batch(batch, progress)


class Joblib:
    """Several batches at a time, each in a worker process of this machine."""

    def __init__(self, jobs: int, phase: str):
        self.jobs, self.phase = jobs, phase

    def run(self, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
        from joblib import Parallel, delayed
        from joblib.externals.loky import get_reusable_executor
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        running = Parallel(n_jobs=self.jobs, return_as="generator_unordered")
        relay = Relay(_worker_processes)
        with relay.relaying():
            try:
                wanted = takewhile(lambda batch: not relay.number, work)
                for result in running(delayed(_in_worker)(batch) for batch in wanted):
                    if result is None:
                        continue
                    progress(len(result.entries) + len(result.failures))
                    yield result
            except TerminatedWorkerError as error:
                if not relay.number:
                    got = "a worker process that was killed, as systems do when memory runs out"
                    remedy = "use fewer --jobs: each has a model of its own (see `circuitstore plan`)"
                    raise BuildError(f"phase {self.phase}", got=got, remedy=remedy) from error
            finally:
                if relay.number:  # workers that were told to end begin no other batch
                    get_reusable_executor().shutdown(wait=True, kill_workers=True)


_worker = Worker()


def _in_worker(batch: Batch) -> Result | None:
    """The result of a batch; None when this process was told to end (what was finished is committed)."""
    result: Result | None = _worker.run(lambda: run_batch(batch))
    return result


def _worker_processes() -> list[int]:
    """The process ids of joblib's workers."""
    from multiprocessing import active_children

    from joblib.externals.loky.backend.process import LokyProcess

    return [child.pid for child in active_children() if isinstance(child, LokyProcess) and child.pid]


def executor(jobs: int, batches: int, phase: str) -> Executor:
    """The executor for so many jobs and batches: worker processes only where they can share the work."""
    if jobs == 1 or batches <= 1:
        return ThisProcess()
    return Joblib(min(jobs, batches), phase)  # a worker without work would not know when to end
