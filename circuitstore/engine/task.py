"""How a phase is declared. The phases themselves, and their order, stand in `tasks/__init__.py`.

A phase `baseline` is the function `baseline` of module `tasks.baseline`:

    def baseline(cells, config, prompts, model):        # cells, its own settings, then `needs` in order
        for cell in cells:                              # {"prompt": "plural-3fa92c1b"}
            row = prompts.one(cell)                     # xarray.Dataset of the matching upstream cell
            yield cell, xr.Dataset(…)                   # one labelled dataset a cell, in the order given

It is pure: what it yields depends only on these arguments. A cell's result never depends on which other cells
are in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import msgspec

from circuitstore.errors import unknown
from circuitstore.storage.layout import Store


class Selection(Protocol):
    """What one build is about. It is plain data that can be sent to other processes."""

    @property
    def profile_name(self) -> str: ...

    @property
    def behaviour(self) -> str: ...

    def config(self, table: str) -> msgspec.Struct:
        """The settings in one table of the profile."""


class Sources(NamedTuple):
    """What a resource is read from.

    files: the files that its identity tells the content of. folders: the folders that they are chosen from,
    in which nothing else may be read. consulted: files that only decide what the identity tells, or whether
    the resource can be used. They may be read while it is loaded, and not by the phase.
    """

    files: Sequence[str]
    folders: Sequence[str] = ()
    consulted: Sequence[str] = ()


class Resource(msgspec.Struct, frozen=True):
    """An input that no phase computes: a model, transcoders, a behaviour's declaration.

    identity: gives plain data that enters the key. It is cheap: it imports no torch and reads no weights.
    load: gives what the phase receives. It is a `functools.partial` of a public function with picklable
        arguments, so that another process can call it. The module of this function, and all that it imports,
        are code in the key.
    modules: further code in the key that `load` runs but that a static reader cannot find, by name.
    check: raises InputError for what `load` could not use. It returns a line for each thing that a user
        should know all the same. It is called before a build writes anything, and only if something is to be
        computed with the resource.
    part: says which part `load` reads, some layers for instance, so that another part is loaded anew. It is
        no part of a key.
    sources: the files that may be read for it while cells are computed, if there are any.
    tags: what a worker of a cluster must have to load it, as names of Dask's resources, such as "GPU".
    keep: writes into the store what a result must remember of it, such as the commit of a branch. It is
        called when cells are computed with it, also if it was loaded before, for another store.
    """

    identity: Callable[[], dict[str, Any]]
    load: Callable[[], Any]
    modules: tuple[str, ...] = ()
    check: Callable[[], Iterable[str]] | None = None
    part: Callable[[], object] | None = None
    sources: Callable[[], Sources] | None = None
    keep: Callable[[], None] | None = None
    tags: tuple[str, ...] = ()

    @property
    def code(self) -> tuple[str, ...]:
        """The modules whose code decides what `load` gives."""
        return (getattr(self.load, "func", self.load).__module__, *self.modules)


Coordinates = Callable[[str, Any, Mapping[str, Resource]], Iterable[str | int]]


class Task(msgspec.Struct, frozen=True):
    """Declaration of one phase.

    needs: upstream phases and resources, in the order of the function's parameters.
    after: phases that must be built, and whose gate must be passed, before this one. They are in no key.
    per: cell axes, outermost first. An axis takes its coordinates from the first upstream phase that has it,
        else from `coordinates(axis, config, resources)`. A phase without axes has one cell, the whole.
    rows: the axis along which a phase without cell axes yields its output. A phase that reads one row is then
        recomputed only when that row changes.
    whole: settings that only choose cells, or judge the whole. They are no part of a single cell's key.
    bounds: settings that only say how much a cell may take. A cell that would take more is refused. No result
        depends on them, and they are in no key.
    undefined: variables that may hold NaN where a value does not exist, as patterns of names such as
        "single_*". NaN anywhere else, and infinity anywhere, fails the cell.
    rounding: variables that measure rounding itself, as shares. On another machine they are other numbers,
        which count as equal as long as their difference is within the tolerance as it stands.
    ranked: variables that follow from the order of many numbers, such as what a ranking keeps. Where two
        numbers are nearly equal, another machine can order them otherwise, and a few entries are others.
    summary: its module has `summary(cells, config) -> dict`, plain data about the whole. It is given
        (coordinates, dataset) of each cell, read as they are gone through. A text under "gate", when not
        empty, stops the build.
    batch: most cells committed together as one object.
    room: the folder of the package that holds its module, when that is not the package itself.
    table: the table of a profile that holds its settings, when that is not the phase's name.
    about: what it is about, when that is not a behaviour. Such phases are built by themselves.
    files: files that its code reads, by their paths from the folder of its module. Their content is in the
    key.
    modules: modules of the package that its code imports by a name that it makes at run time. Their code is
    in the key.
    """

    name: str
    config: type[msgspec.Struct]
    needs: tuple[str, ...]
    after: tuple[str, ...] = ()
    per: tuple[str, ...] = ()
    rows: str | None = None
    coordinates: Coordinates | None = None
    whole: tuple[str, ...] = ()
    bounds: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()
    rounding: tuple[str, ...] = ()
    ranked: tuple[str, ...] = ()
    summary: bool = False
    batch: int = 64
    room: str = ""
    table: str = ""
    about: str = ""
    files: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a declaration that cannot be meant. Raises ValueError."""
        if self.batch < 1:
            raise ValueError(f"phase {self.name}: batch is {self.batch}, not a number of cells")
        if self.rows and self.per:
            raise ValueError(f"phase {self.name}: rows and per, where only one can say what a cell is")
        if unknown := set(self.whole) - set(self.config.__struct_fields__):
            raise ValueError(
                f"phase {self.name}: whole names {', '.join(sorted(unknown))}, which is no setting"
            )

    @property
    def declared(self) -> list[object]:
        """What the declaration says of the output, for keys: axes, rows, and whether there is a summary."""
        return [self.per, self.rows, self.summary]

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of its output."""
        return (self.rows,) if self.rows else self.per

    def module(self, package: str) -> str:
        """The module that has its function."""
        return ".".join(filter(None, (package, self.room, self.name)))

    def settings(self, selection: Selection) -> msgspec.Struct:
        """Its settings in a selection."""
        return selection.config(self.table or self.name)


class Machine(Protocol):
    """What the engine asks of the library that computes, without importing it."""

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether memory ran out, of the host or of an accelerator."""

    def free_memory(self) -> None:
        """Give back what nothing uses any more."""

    def fixed(self) -> AbstractContextManager[Callable[[], None]]:
        """Fix what could change results beyond their last bits inside a block, and set it back at its end.

        The function that the block gets is called once more code has been imported.
        """

    def description(self) -> dict[str, object]:
        """What is recorded of threads, devices and numerical settings."""


class Pipeline(msgspec.Struct, frozen=True):
    """All phases in order, and where their resources come from.

    `resources(selection, store)` gives name → Resource. `package` is the package of the phase modules,
    importable in every worker. `machine` answers for the library that computes. `asked` are phases that are
    built only when named. `serves` is what commands need beside the phases (`circuitstore.engine.services`).
    `libraries` are modules of others that most phases need and that take long to import: workers import them
    as they start.
    """

    package: str
    tasks: tuple[Task, ...]
    resources: Callable[[Any, Store], dict[str, Resource]]
    machine: Machine
    asked: tuple[Task, ...] = ()
    serves: Any = None
    libraries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse phases of one name, or after a phase that does not stand before them. Raises ValueError."""
        before: set[str] = set()
        for task in self.every:
            if task.name in before:
                raise ValueError(f"two phases are called {task.name}")
            if missing := set(task.after) - before:
                raise ValueError(
                    f"phase {task.name} is after {', '.join(missing)}, which is no phase above it"
                )
            before.add(task.name)

    def task(self, name: str) -> Task:
        """The phase of this name. Raises UsageError."""
        for task in self.every:
            if task.name == name:
                return task
        raise unknown("phase", name, [task.name for task in self.every])

    @property
    def every(self) -> tuple[Task, ...]:
        """All phases, in order."""
        return (*self.tasks, *self.asked)

    def upstream(self, task: Task) -> tuple[str, ...]:
        """The phases that a phase reads, in order: those of its needs that stand before it.

        Its other needs are resources.
        """
        before = set()
        for other in self.every:
            if other.name == task.name:
                break
            before.add(other.name)
        return tuple(need for need in task.needs if need in before)

    def resources_of(self, task: Task) -> tuple[str, ...]:
        """The resources that a phase reads, in order.

        A name can be both: `transcoders` is a resource to `features` and a phase to `replacement`.
        """
        above = self.upstream(task)
        return tuple(need for need in task.needs if need not in above)

    def closure(self, goals: tuple[str, ...]) -> tuple[Task, ...]:
        """The named phases (all when none is named) and all they need, in order. Raises UsageError."""
        wanted = {self.task(goal).name for goal in goals} or {task.name for task in self.tasks}
        for task in reversed(self.every):  # declared in order: what a phase needs stands before it
            if task.name in wanted:
                wanted.update((*self.upstream(task), *task.after))
        return tuple(task for task in self.every if task.name in wanted)
