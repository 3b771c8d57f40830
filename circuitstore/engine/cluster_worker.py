"""What a worker of a cluster does with a batch: it refuses what it cannot do right, and then computes it.

A worker may have been started days ago, on another machine, from another checkout. So it must show first that
it carries the same code of the store and the engine, that it sees the same store, and that it has the
settings that are in the key. The code of the phases and the identity of what is loaded are compared with the
key by whoever computes (`circuitstore/engine/work.py`), before a result is written.

A batch comes as bytes, so that nothing of it is read before that.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from circuitstore.engine.batch import Batch, Result
from circuitstore.engine.interruption import InterruptedBy
from circuitstore.engine.services import later
from circuitstore.engine.work import run_batch
from circuitstore.errors import StaleCodeError, StoreError

PIPELINE = "circuitstore.pipeline:load"  # the phases of this installation, in whose modules batches are made
CARRYING_ROOMS = ("engine", "hub", "storage")
APPEARS_SECONDS = 10.0  # until a file that was just written is seen on a shared file system


def _carrying() -> str:
    """The sha256 of the library's code that carries results, and that no key covers."""
    top = Path(__file__).parent.parent
    sources = [top / "errors.py", top / "memo.py"]
    sources += sorted(file for room in CARRYING_ROOMS for file in (top / room).glob("*.py"))
    every = hashlib.sha256()
    for file in sources:
        every.update(file.relative_to(top).as_posix().encode() + b"\0")
        every.update(hashlib.sha256(file.read_bytes()).digest())
    return every.hexdigest()


CARRYING = _carrying()  # as this process has it in memory, and not as the files are later


def compute(code: str, folder: str, proof: str, sent: bytes) -> Result | None:
    """Compute a pickled batch, commit it, and return hashes; None when it is not wanted any more.

    `code` is the submitter's `CARRYING`, `folder` its working directory, by which relative names of files are
    meant, and `proof` a file in its store. Raises StaleCodeError, StoreError, and what `run_batch` raises.
    """
    _check_code(code)
    _check_store(proof)
    _go_to(folder)
    later(PIPELINE)()
    batch: Batch = pickle.loads(sent)
    _check_settings(batch)
    try:
        return run_batch(batch, _until_unwanted())
    except InterruptedBy:
        return None


def _check_code(code: str) -> None:
    if code != CARRYING:
        raise StaleCodeError(
            f"worker {_name()}",
            expected="the code of circuitstore that the build has",
            got="other code in memory",
            remedy="install the same code for all workers, start them again, and build again",
        )


def _check_settings(batch: Batch) -> None:
    """The code of settings is in no key, so what it makes of the selection here must be what the key has."""
    here = batch.task.settings(batch.selection)
    effective = {
        name: getattr(here, name) for name in here.__struct_fields__ if name not in batch.task.bounds
    }
    if effective != batch.components.config:
        raise StaleCodeError(
            f"worker {_name()}",
            expected=f"the settings of {batch.task.name} that are in the key",
            got="others, by other code of settings",
            remedy="start the workers again, and build again",
        )


def _check_store(proof: str) -> None:
    """Wait for a file of the submitter's store. Raises StoreError if it does not appear."""
    deadline = time.monotonic() + APPEARS_SECONDS
    while not os.path.exists(proof):
        if time.monotonic() > deadline:
            raise StoreError(
                f"worker {_name()}",
                expected=f"the store of the build, with its file {proof}",
                got="no such file",
                remedy="put the store where all workers see it by the same path (--store)",
            )
        time.sleep(APPEARS_SECONDS / 50)


def _go_to(folder: str) -> None:
    if os.getcwd() != folder:
        try:
            os.chdir(folder)
        except OSError as error:
            raise StoreError(
                f"worker {_name()}",
                expected=f"the folder {folder}, in which the build was started",
                got=error.strerror,
                remedy="start the build in a folder that all workers see",
            ) from error


def _until_unwanted() -> Callable[[int], None]:
    """Hears of each cell, and ends the batch when the build is gone, or when the worker is told to end."""
    from distributed import get_worker
    from distributed.core import Status

    worker: Any = get_worker()
    key = worker.get_current_task()

    def look(cells: int) -> None:
        task = worker.state.tasks.get(key)
        wanted = task is not None and task.state != "cancelled"
        if not wanted or worker.status not in (Status.running, Status.paused, Status.closing_gracefully):
            raise InterruptedBy(signal.SIGTERM)

    return look


def _name() -> str:
    return f"{platform.node()}, process {os.getpid()}"
