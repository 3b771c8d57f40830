"""Worker processes of this machine, by joblib's pool (loky), which starts each as a fresh Python.

They share the cores: each is told by its environment how many threads it may use, unless the user's own
environment says so already. Weights are mapped from their files, so processes share them in memory.

Systems kill a process when memory runs out. Then the batches that were under way are computed again, by one
process less.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from itertools import chain, islice
from typing import Any
from weakref import WeakKeyDictionary

from circuitstore.engine.batch import Batch, Result
from circuitstore.engine.executors import Tell, ThisProcess
from circuitstore.engine.interruption import Relay, Worker
from circuitstore.engine.pool import Computed, compute
from circuitstore.engine.work import Progress, run_batch
from circuitstore.errors import BuildError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
AHEAD = 1  # batches that wait in the pool, so that no process waits for the next
IDLE_SECONDS = 3600  # more than between two phases


class Processes:
    """Several batches at a time, each in a worker process of this machine."""

    def __init__(self, jobs: int, libraries: tuple[str, ...], warn: Tell):
        self.jobs, self.libraries, self.warn = jobs, libraries, warn
        self.relay = Relay(_worker_processes)
        self._pools: WeakKeyDictionary[Computed, Any] = WeakKeyDictionary()
        self._pool = self._started()

    @property
    def width(self) -> int:
        return self.jobs

    @property
    def most(self) -> int:
        return self.jobs + AHEAD

    def run(self, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
        work = iter(work)
        first = list(islice(work, 2))
        if len(first) < 2:  # what it needs may be loaded here already
            yield from ThisProcess().run(first, progress)
            return
        self.relay = Relay(_worker_processes)
        with self.relay.relaying():
            try:
                yield from compute(self, chain(first, work), progress)
            finally:
                if self.relay.number:  # workers that were told to end begin no other batch
                    self.close()

    def submit(self, batch: Batch) -> Computed:
        try:
            future: Computed = self._pool.submit(_in_worker, batch)
        except BrokenExecutor:  # a worker died while none had a batch
            self._pool = self._started()
            future = self._pool.submit(_in_worker, batch)
        self._pools[future] = self._pool
        return future

    def lost(self, phase: str, future: Computed, error: BaseException | None) -> None:
        if self._pools[future] is not self._pool:  # one of several batches that were under way then
            return
        if error is not None and not isinstance(error, BrokenExecutor):
            raise error
        where = f"phase {phase}"
        got = "a worker process that was killed, as systems do when memory runs out"
        if self.jobs == 1:
            remedy = "`circuitstore plan` says how much it takes; use a larger machine, or ask for less"
            raise BuildError(where, got=f"{got}, also when it was the only one", remedy=remedy) from error
        self.close()
        self.jobs -= 1
        again = "what was under way is computed again"
        self.warn(f"{where}: {got}; {again}, with --jobs {self.jobs} from now on")
        self._pool = self._started()

    def look(self, batches: Iterable[Batch]) -> None:
        """Processes have nothing to say."""

    def ending(self) -> bool:
        return bool(self.relay.number)

    def close(self) -> None:
        self._pool.shutdown(wait=True, kill_workers=True)

    def _started(self) -> Any:
        """A pool whose processes import libraries while the build is still planned."""
        from joblib.externals.loky import ProcessPoolExecutor

        pool = ProcessPoolExecutor(
            self.jobs,
            timeout=IDLE_SECONDS,
            initializer=_begin,
            initargs=(self.libraries,),
            env=share_of_cores(self.jobs),
        )
        pool.submit(os.getpid)  # starts all of them
        return pool


def cores() -> int:
    """How many cores this process may use, by its affinity and the limits of its container."""
    from joblib import cpu_count

    return int(cpu_count())


def share_of_cores(processes: int) -> dict[str, str]:
    """The environment that gives each of some processes its share of the cores.

    What the user's environment says stays.
    """
    share = str(max(1, cores() // processes))
    return {name: os.environ.get(name, share) for name in THREADS}


_worker = Worker()


def _begin(libraries: Iterable[str]) -> None:
    """Make ready a worker that has just started: what it does about signals, and what phases will need.

    What cannot be imported fails in the phase, where it can be told.
    """
    _worker.prepare()
    for name in libraries:
        with suppress(ImportError):
            importlib.import_module(name)


def _in_worker(batch: Batch) -> Result | None:
    """The result of a batch; None when this process was told to end (what was finished is committed)."""
    result: Result | None = _worker.run(lambda: run_batch(batch))
    return result


def _worker_processes() -> list[int]:
    """The process ids of joblib's workers."""
    from multiprocessing import active_children

    from joblib.externals.loky.backend.process import LokyProcess

    return [child.pid for child in active_children() if isinstance(child, LokyProcess) and child.pid]
