"""How a phase is declared. The phases themselves, and their order, stand in `tasks/__init__.py`.

A phase `baseline` is the function `baseline` of module `tasks.baseline`:

    def baseline(cells, config, prompts, model):        # cells, its own config, then `needs` in order
        for cell in cells:                              # {"prompt": "plural-3fa92c1b"}
            row = prompts.one(cell)                     # xarray.Dataset of the matching upstream cell, hash checked
            yield cell, xr.Dataset(…)                   # one labelled dataset a cell, in the order given

It is pure: what it yields depends only on these arguments, and a cell's result never on which others are in
the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from circuitstore.errors import UsageError

Coords = dict[str, str | int]


class Resource(msgspec.Struct, frozen=True):
    """An input that no phase computes: a model, transcoders, a behaviour's declaration.

    `identity()` is plain data that enters the key and must be cheap (no torch). `load()` gives what the phase
    receives. `modules` are code that `load` runs and a static reader cannot find. `check()` raises InputError
    for what `load` could not use, and returns what a user should know all the same, a line each; it is called
    before a build writes anything, and only if something is to be computed with it. `part()` is plain data
    that says how much of it `load` gives, where selections differ in that; it is no part of a key.
    """

    identity: Callable[[], dict[str, object]]
    load: Callable[[], Any]
    modules: tuple[str, ...] = ()
    check: Callable[[], Iterable[str]] | None = None
    part: Callable[[], object] | None = None

    @property
    def code(self) -> tuple[str, ...]:
        """The modules whose code decides what `load` gives."""
        return (getattr(self.load, "func", self.load).__module__, *self.modules)


class Task(msgspec.Struct, frozen=True):
    """Declaration of one phase.

    needs: upstream phases and resources, in the order of the function's parameters. after: phases that must
    be built, and whose gate must be passed, before this one; no part of its key. per: cell axes, outermost
    first; an axis takes its coordinates from the first upstream phase that has it, else from
        `config.coordinates(axis, resources)`. No axes: one cell, the whole.
    rows: for a phase without cell axes, the axis along which it yields its output, so that what reads single
    rows is
        keyed by single rows.
    whole: config fields that only choose cells, or judge the whole, and so are no part of a single cell's
    key. summary: its module has `summary(cells, config) -> dict`, plain data about the whole, cells
    (coordinates, dataset) being read as
        they are gone through, so that to keep none is to have one in memory; `{"gate": "…"}` in it, when not
        empty, stops the build with that text.
    batch: most cells committed together as one object.
    room: the folder of the package that its module lies in, when it is not the package itself.
    """

    name: str
    config: type[msgspec.Struct]
    needs: tuple[str, ...]
    after: tuple[str, ...] = ()
    per: tuple[str, ...] = ()
    rows: str | None = None
    coordinates: Callable[..., Any] | None = None
    whole: tuple[str, ...] = ()
    summary: bool = False
    batch: int = 64
    room: str = ""
    table: str = ""
    about: str = ""

    def settings(self, selection: Any) -> Any:
        """Its settings in a selection."""
        return selection.config(self.table or self.name)

    def module(self, package: str) -> str:
        """The module that has its function."""
        return ".".join(filter(None, (package, self.room, self.name)))

    @property
    def axes(self) -> tuple[str, ...]:
        return (self.rows,) if self.rows else self.per


class Pipeline(msgspec.Struct, frozen=True):
    """All phases in order, and where their resources come from.

    `resources(selection, store)` → name → Resource; `store` is the store's path, for inputs that lie in it. A
    selection is a picklable struct with `profile_name`, `behaviour` and `config(phase)`; `package` is the
    package of the phase modules, importable in every worker.
    """

    package: str
    tasks: tuple[Task, ...]
    resources: Callable[[Any, str], dict[str, Resource]]
    asked: tuple[Task, ...] = ()  # built only when named

    def task(self, name: str) -> Task:
        """The phase of this name. Raises UsageError."""
        for task in self.every:
            if task.name == name:
                return task
        raise UsageError(
            f"unknown phase {name!r}", expected="one of " + ", ".join(task.name for task in self.every)
        )

    @property
    def every(self) -> tuple[Task, ...]:
        """All phases, in order."""
        return (*self.tasks, *self.asked)

    def upstream(self, task: Task) -> tuple[str, ...]:
        """The phases that a phase reads, in order: what it needs of those before it. All else that it needs
        are resources.
        """
        before = set()
        for other in self.every:
            if other.name == task.name:
                break
            before.add(other.name)
        return tuple(need for need in task.needs if need in before)

    def resources_of(self, task: Task) -> tuple[str, ...]:
        """The resources that a phase reads, in order: a phase further down may have the name of one."""
        above = self.upstream(task)
        return tuple(need for need in task.needs if need not in above)

    def closure(self, goals: tuple[str, ...]) -> tuple[Task, ...]:
        """The named phases (all when none is named) and all they need, in order. Raises UsageError."""
        wanted = {self.task(goal).name for goal in goals} or {task.name for task in self.tasks}
        for task in reversed(self.every):  # declared in order: what a phase needs stands before it
            if task.name in wanted:
                wanted.update((*self.upstream(task), *task.after))
        return tuple(task for task in self.every if task.name in wanted)
