"""Workers of a cluster, by Dask's `distributed`: those of a running scheduler, or some started here.

Workers write what they compute to the store, which lies on a file system that all of them share, and return
hashes. The scheduler gives the batches of a lost worker to another one. Each worker checks that it has the
code that the keys were made from, and this very store (`circuitstore/engine/cluster_worker.py`).
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from typing import Any

from circuitstore.engine import cluster_worker
from circuitstore.engine.batch import Batch, Result
from circuitstore.engine.executors import Tell
from circuitstore.engine.pool import LOOK_SECONDS, Computed, compute
from circuitstore.engine.processes import cores, share_of_cores
from circuitstore.engine.work import Progress
from circuitstore.errors import BuildError, UsageError, first_line

LOCAL = "local"
EACH, FEWEST = 2, 4  # batches under way for each thread of a worker, and in all
PATIENCE_SECONDS, TELL_SECONDS = 10.0, 60.0  # without a worker that could compute
CONNECT_SECONDS = 30.0


class Dask:
    """Batches computed by the workers of a Dask scheduler."""

    def __init__(self, address: str, jobs: int, proof: str, warn: Tell, note: Tell):
        """Connect to `address`, or start `jobs` workers here if it is "local". Raises UsageError."""
        self.proof, self.warn, self.note = proof, warn, note
        self._cluster, self._client = _connected(address, jobs)
        self._where = f"scheduler {self._client.scheduler.address}"
        self._pools: dict[tuple[str, ...], Any] = {}
        self._events: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._client.subscribe_topic("all", lambda event: self._events.put(event[1]))
        self._threads, self._offered = 0, set[str]()
        self._asked, self._served, self._told = 0.0, time.monotonic(), 0.0

    @property
    def width(self) -> int:
        return max(1, self._count_threads())

    @property
    def most(self) -> int:
        return max(FEWEST, EACH * self._count_threads())

    def run(self, work: Iterable[Batch], progress: Progress) -> Iterator[Result]:
        yield from compute(self, work, progress)

    def submit(self, batch: Batch) -> Computed:
        tags = _tags(batch)
        if tags not in self._pools:
            wanted = dict.fromkeys(tags, 1) or None
            self._pools[tags] = self._client.get_executor(pure=False, resources=wanted)
        sent = pickle.dumps(batch, protocol=pickle.HIGHEST_PROTOCOL)
        code = cluster_worker.CARRYING
        pool = self._pools[tags]
        return pool.submit(cluster_worker.compute, code, os.getcwd(), self.proof, sent)  # type: ignore[no-any-return]

    def lost(self, phase: str, future: Computed, error: BaseException | None) -> None:
        from distributed import KilledWorker

        if error is None:  # its worker was told to end, as at the end of a job's time
            return
        where = f"phase {phase}"
        if isinstance(error, KilledWorker):
            got = f"a batch whose workers were lost {error.allowed_failures + 1} times"
            remedy = "give workers more memory (`circuitstore plan` says how much), and look at their logs"
            raise BuildError(where, got=got, remedy=remedy) from error
        if isinstance(error, CancelledError):
            got, remedy = f"no answer from {self._where} any more", "start it again, and build again"
            raise BuildError(where, got=got, remedy=f"what finished is kept; {remedy}") from error
        raise error

    def look(self, batches: Iterable[Batch]) -> None:
        """Tell of workers that were lost with our batches, and of batches that no worker can compute."""
        while not self._events.empty():
            event = self._events.get()
            if event.get("action") == "remove-worker" and not event.get("expected"):
                ours = set(event.get("processing-tasks") or ()) & set(self._client.futures)
                if ours:
                    lost = f"worker {event['worker']} was lost with {len(ours)} batches"
                    self.warn(f"{lost}; they are computed again by others")
        now, threads = time.monotonic(), self._count_threads()
        lacking = {tag for batch in batches for tag in _tags(batch)} - self._offered
        if threads and not lacking:
            self._served = now
        elif now - self._served > PATIENCE_SECONDS and now - self._told > TELL_SECONDS:
            self._told = now
            wanted = f" with the resource {min(lacking)}" if threads else ""
            self.note(f"waiting for a worker{wanted} of {self._where}")

    def ending(self) -> bool:
        """A build that is told to end is interrupted where it waits."""
        return False

    def close(self) -> None:
        """Leave the cluster; one that was started here ends, after its workers committed what is finished."""
        self._client.unsubscribe_topic("all")
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _count_threads(self) -> int:
        """How many batches the workers compute at a time. Asked anew each second, as what they offer."""
        if time.monotonic() - self._asked >= LOOK_SECONDS:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            self._threads = sum(worker["nthreads"] for worker in workers)
            self._offered = {tag for worker in workers for tag in worker.get("resources", ())}
            self._asked = time.monotonic()
        return self._threads


def _tags(batch: Batch) -> tuple[str, ...]:
    """The tags of the resources of Dask that a worker must have to compute a batch."""
    return tuple(sorted({tag for resource in batch.resources.values() for tag in resource.tags}))


def _connected(address: str, jobs: int) -> tuple[Any, Any]:
    """A cluster, if one had to be started here, and a client of its scheduler. Raises UsageError."""
    try:
        import distributed
    except ImportError as error:
        got, remedy = "no such package", "pip install 'circuitstore[dask]'"
        raise UsageError("--dask", expected="Dask's distributed", got=got, remedy=remedy) from error
    dask: Any = distributed  # which has no types
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)  # what matters is told or raised
    cluster = _started(dask, jobs) if address == LOCAL else None
    try:
        return cluster, dask.Client(cluster or address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        expected = "local, or the address of a Dask scheduler that answers, as tcp://host:8786"
        remedy = "start one with `dask scheduler`, and workers with `dask worker ADDRESS`"
        got = f"{address} ({first_line(error)})"
        raise UsageError("--dask", expected=expected, got=got, remedy=remedy) from error


def _started(dask: Any, jobs: int) -> Any:
    """A scheduler in this process with worker processes beside it: so many, or for 0 one a core."""
    from dask import config

    count = jobs or cores()
    with config.set({"distributed.worker.profile.enabled": False}):  # its samples take time, for no one
        return dask.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=0,  # in Dask's count of memory, mapped weights would be a worker's own
            dashboard_address="127.0.0.1:0",  # a port that is free
            silence_logs=logging.CRITICAL + 1,
            env=share_of_cores(count),
        )
