"""One batch of cells, computed and committed: what a worker process does.

A batch is plain data, so that it can be sent anywhere; arrays never travel between processes, workers write
them to the store and return hashes. A cell that fails loses no other: the phase is called again with the
cells after it.
"""

from __future__ import annotations

import gc
import importlib
import os
import platform
import resource
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from circuitstore.engine.fingerprint import digest
from circuitstore.engine.inputs import Upstream
from circuitstore.engine.loading import check_loaded, load_module, watch
from circuitstore.engine.planner import PlannedCell
from circuitstore.engine.task import Coords, Task
from circuitstore.errors import BuildError, CircuitstoreError
from circuitstore.storage.actions import Entry, write_journal
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import write_object

PROVENANCE_PACKAGES = (
    "circuitstore",
    "torch",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "zarr",
    "xarray",
)
TOO_LARGE = "`circuitstore plan` says how much it takes; use a larger machine, or ask for less (attribution.memory, shorter prompts)"
RESOURCES_KEPT = 6  # a model and its transcoders, and those of another profile for comparison
_loaded: OrderedDict[str, Any] = OrderedDict()

# Matrix products of Intel's library else differ in their last bits with the number of threads and with where
# in memory, and so where in its batch, a cell lies (Intel oneMKL, "Obtaining numerically reproducible
# results"). Read at the first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


class Batch(msgspec.Struct, frozen=True):
    """What a worker needs to compute some cells of one phase."""

    package: str
    phase: str
    selection: Any
    store: str
    components: dict[str, Any]
    cells: list[PlannedCell]


class Failure(msgspec.Struct, frozen=True):
    """Why a cell could not be computed."""

    coords: Coords
    reason: str


class Result(msgspec.Struct, frozen=True):
    """What became of a batch: committed cells (key, content, object, row, coordinates) and failures."""

    object: str
    entries: list[Entry]
    failures: list[Failure]
    warnings: list[str] = []


def run_batch(batch: Batch, progress: Callable[[int], None] = lambda cells: None) -> Result:
    """Compute the cells of a batch and commit those that succeed, also when interrupted. Raises StoreError,
    StaleCodeError.
    """
    started = time.time()
    watch(batch.package)
    pipeline = importlib.import_module(batch.package).PIPELINE
    task = pipeline.task(batch.phase)
    module = load_module(task.module(batch.package), batch.components["code"])
    failures: list[Failure] = []
    warnings: list[str] = []
    finished: list[tuple[PlannedCell, Coords, Any]] = []
    try:
        for cell, coords, content in _outputs(task, module, batch, failures, warnings, progress):
            finished.append((cell, coords, content))
    finally:  # Ctrl-C keeps what is done
        check_loaded(batch.components["code"])
        result = _commit(batch, finished, failures, started)
    return msgspec.structs.replace(result, warnings=warnings)


def _outputs(
    task: Task, module, batch: Batch, failures: list[Failure], warnings: list[str], progress
) -> Iterator[tuple[PlannedCell, Coords, Any]]:
    """Every finished cell, its coordinates and content. When memory runs out, what is left is given to the
    phase half as many at a time: no cell depends on which others are given with it, so that changes no
    result.
    """
    function, config = getattr(module, task.name), task.settings(batch.selection)
    inputs = _inputs(task, batch)
    if task.rows:  # all rows or none
        try:
            rows = list(function([cell.coords for cell in batch.cells], config, **inputs))
        except CircuitstoreError:
            raise
        except Exception as error:
            failures.append(Failure({}, _reason(error)))
            return
        progress(1)
        yield from ((batch.cells[0], coords, content) for coords, content in rows)
        return
    waiting, most = list(batch.cells), len(batch.cells)
    while waiting:
        given, done, exhausted = waiting[:most], 0, False
        try:
            for coords, content in function([cell.coords for cell in given], config, **inputs):
                if done == len(given) or coords != given[done].coords:
                    raise _ContractError(
                        f"phase {task.name}", expected="the cells it was given, in order", got=coords
                    )
                yield given[done], coords, content
                done += 1
                progress(1)
            if done < len(given):
                raise _ContractError(f"phase {task.name}", expected=f"{len(given)} cells", got=done)
        except _ContractError:
            raise
        except Exception as error:
            exhausted = out_of_memory(error)
            if len(given) == 1 or not exhausted:
                failures.append(Failure(given[done].coords, _reason(error)))
                progress(1)
                done += 1
        if exhausted:  # only here, for until now the error held all that the phase had in memory
            free_memory()
            if len(given) > 1:
                most = len(given) // 2
                warnings.append(f"out of memory with {len(given)} cells at once, going on with {most}")
        waiting = waiting[done:]


class _ContractError(BuildError):
    """A phase does not do what its declaration says: a mistake in the phase, not in one cell."""


def _inputs(task: Task, batch: Batch) -> dict[str, Any]:
    """The arguments of a phase after `cells` and `config`."""
    store, upstream = Store(batch.store), {name for cell in batch.cells for name in cell.reads}
    inputs: dict[str, Any] = {}
    for name in task.needs:
        if name in upstream:
            inputs[name] = Upstream(store, name, [(cell.coords, cell.reads[name]) for cell in batch.cells])
        else:
            inputs[name] = _load(batch, name)
    return inputs


def _load(batch: Batch, name: str) -> Any:
    """A resource, loaded once in this process as long as its identity, and the part that is asked for, stay
    the same.
    """
    resource = importlib.import_module(batch.package).PIPELINE.resources(batch.selection, Store(batch.store))[
        name
    ]
    key = digest("resource", [name, batch.components["resources"][name], resource.part and resource.part()])
    if key not in _loaded:
        try:
            loaded = resource.load()
        except Exception as error:
            if not out_of_memory(error.__cause__ or error):
                raise
            raise BuildError(
                name, expected="enough memory to load it", got=_reason(error), remedy=TOO_LARGE
            ) from error
        if resource.identity() != batch.components["resources"][name]:
            raise BuildError(
                name,
                expected="the files that this build was planned with",
                got="files changed since",
                remedy="build again",
            )
        _loaded[key] = loaded
        if len(_loaded) > RESOURCES_KEPT:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the host or of an accelerator. torch says so in three ways, NumPy and Python
    in one.
    """
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "ALLOC_FAILED")
    )


def free_memory() -> None:
    """Give back what nothing uses any more, also to the accelerator, which keeps freed blocks in pieces."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _reason(error: Exception) -> str:
    if out_of_memory(error):
        return f"out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}; {TOO_LARGE}"
    if isinstance(error, CircuitstoreError):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})" if trace else ""
    return f"{type(error).__name__}: {error}{where}"


def _commit(batch: Batch, finished: list, failures: list[Failure], started: float) -> Result:
    if not finished:
        return Result("", [], failures)
    store = Store(batch.store).create()
    manifest = write_object(store, [(coords, content) for _, coords, content in finished])
    entries = []
    for row, (cell, coords, _) in enumerate(finished):
        upstream = {
            name: digest("reads", [[c.coords, c.content] for c in cells])
            for name, cells in cell.reads.items()
        }
        key = digest("row", [cell.key, coords]) if coords != cell.coords else cell.key
        entries.append(Entry(key, coords, manifest.cells[row], row, upstream))
    behaviour = batch.selection.behaviour
    write_journal(
        store, batch.phase, behaviour, manifest.object, entries, batch.components, provenance(started)
    )
    return Result(manifest.object, entries, failures)


def provenance(started: float) -> dict[str, object]:
    """Where and with what something was computed; recorded, but no part of any key."""
    from importlib import metadata

    versions = {}
    for name in PROVENANCE_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    torch = sys.modules.get("torch")
    return {
        "versions": {"python": platform.python_version(), **versions},
        "host": platform.node(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads() if torch else 1,
        "device": "cuda" if torch and torch.cuda.is_initialized() else "cpu",
        "seconds": round(time.time() - started, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
