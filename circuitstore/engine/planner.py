"""What is missing, and why, from declarations and hashes alone.

Planning imports no phase and opens no array.

A selection is planned once. A phase whose upstream phases must run first has neither key nor cells yet:
`Planner.complete` gives it both when they have run, from what was looked up before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from circuitstore.engine.explain import changes
from circuitstore.engine.fingerprint import Code
from circuitstore.engine.holdings import Holdings
from circuitstore.engine.keys import artifact_key, cell_key
from circuitstore.engine.task import Pipeline, Resource, Selection, Task
from circuitstore.errors import DamageError, InputError, UsageError
from circuitstore.memo import Memo, shared
from circuitstore.storage.actions import Copy, Entry, add_copy, copies
from circuitstore.storage.artifact import Artifact, Cell, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components, Coords
from circuitstore.storage.refs import Name, read_ref, referred

FRESH, STALE, MISSING = "fresh", "stale", "missing"


class PlannedCell(msgspec.Struct, frozen=True):
    """A cell to be had: its coordinates, its key, and the cells it reads of each upstream phase.

    `copy` is an intact copy of its content, if the store holds one. `first` is the content that counts for
    its key, lost or not, "" if there was none.
    """

    coords: Coords
    key: str
    reads: dict[str, list[Cell]]
    copy: Copy | None = None
    first: str = ""


class Step(msgspec.Struct, frozen=True):
    """One phase of one selection, as far as it can be known before anything runs.

    `waits` names the upstream phase that must run first; then neither key nor cells are known yet. `artifact`
    is there when the phase is fresh.
    """

    task: Task
    selection: Selection
    resources: dict[str, Resource]
    components: Components
    state: str
    why: list[str]
    key: str = ""
    upstream: dict[str, str] = {}  # phase → key of the artifact it reads
    artifact: Artifact | None = None
    cells: list[PlannedCell] = []
    waits: str = ""

    @property
    def name(self) -> Name:
        """The human name of the phase's output."""
        return Name(self.selection.profile_name, self.selection.behaviour, self.task.name)

    @property
    def todo(self) -> list[PlannedCell]:
        """The cells that must be computed."""
        return [cell for cell in self.cells if cell.copy is None]

    @property
    def count(self) -> int:
        """Cells of the phase as its declaration counts them: one, the whole, when it has no cell axes."""
        if self.artifact is None:
            return len(self.cells)
        return self.artifact.count if self.task.per else 1


class Planner:
    """Plans phases of one pipeline against one store, and remembers what it has looked at."""

    def __init__(self, pipeline: Pipeline, store: Store, memo: Memo | None = None):
        self.pipeline, self.store = pipeline, store
        self.memo = memo or shared()
        self.code = Code(pipeline.package, self.memo)
        self._holdings = Holdings(store)
        self._copies: dict[str, dict[str, list[Copy]]] = {}  # phase → cell key → copies

    def steps(self, selection: Selection, tasks: Sequence[Task]) -> list[Step]:
        """Plan these phases (in order) for one selection.

        Raises InputError, UsageError for what can never run.
        """
        resources = self.pipeline.resources(selection, self.store)
        identities: dict[str, dict[str, object]] = {}
        done: dict[str, Artifact] = {}
        steps = []
        for task in tasks:
            step = self._step(selection, task, resources, identities, done)
            if step.artifact is not None:
                done[task.name] = step.artifact
            steps.append(step)
        return steps

    def complete(self, step: Step, done: Mapping[str, Artifact]) -> Step:
        """The same step once the phases it waited for have run."""
        task = step.task
        upstream = {name: done[name] for name in self.pipeline.upstream(task)}
        contents = {name: artifact.content for name, artifact in upstream.items()}
        components = msgspec.structs.replace(step.components, upstream=contents)
        key = artifact_key(task, components)
        known = msgspec.structs.replace(
            step,
            components=components,
            key=key,
            upstream={name: artifact.key for name, artifact in upstream.items()},
            waits="",
        )
        artifact = self.intact_artifact(key)
        if artifact is not None:
            return msgspec.structs.replace(known, state=FRESH, why=[], artifact=artifact)
        previous = self._previous(known.name)
        cells = self.cells(known, upstream, previous)
        why = changes(self.store, previous, components, upstream)
        if previous and not why:
            why = [f"{sum(cell.copy is None for cell in cells)} cells are missing or damaged in the store"]
        state = STALE if previous else MISSING
        return msgspec.structs.replace(known, state=state, why=why or ["never built"], cells=cells)

    def check(self, steps: Iterable[Step]) -> list[str]:
        """Check each resource that an unbuilt phase reads; returns a line for each warning.

        Raises InputError.
        """
        notes: dict[str, None] = {}  # a profile's are the same for every behaviour
        asked = set()
        for step in (step for step in steps if step.state != FRESH):
            for name, resource in step.resources.items():
                if resource.check is not None and (step.selection.behaviour, name) not in asked:
                    asked.add((step.selection.behaviour, name))
                    notes.update(dict.fromkeys(resource.check()))
        return list(notes)

    def learn(self, task: Task, object_id: str, entries: Iterable[Entry]) -> None:
        """Take note of cells that were just committed, so that nobody has to look for them in the store."""
        entries = list(entries)
        self._holdings.learn(object_id, (entry.content for entry in entries))
        if task.name in self._copies:
            for entry in entries:
                add_copy(self._copies[task.name], entry, object_id)

    def intact_artifact(self, key: str) -> Artifact | None:
        """The artifact of this key, if all its objects are there and of full size."""
        try:
            artifact = read_artifact(self.store, key)
        except DamageError:
            return None
        complete = artifact is not None and all(self._holdings.intact(name) for name in artifact.objects)
        return artifact if complete else None

    def _step(
        self,
        selection: Selection,
        task: Task,
        resources: Mapping[str, Resource],
        identities: dict[str, dict[str, object]],
        done: Mapping[str, Artifact],
    ) -> Step:
        used = {name: _resource(task, name, resources) for name in self.pipeline.resources_of(task)}
        for name in used:
            if name not in identities:
                identities[name] = used[name].identity()
        config = task.settings(selection)
        module = task.module(self.pipeline.package)
        components = Components(
            code=self.code.closure(*self._modules(task, used)) | self.code.declared(module, task.files),
            config={
                name: getattr(config, name) for name in config.__struct_fields__ if name not in task.bounds
            },
            resources={name: identities[name] for name in used},
        )
        step = Step(task, selection, used, components, MISSING, [])
        waits = next((name for name in self.pipeline.upstream(task) if name not in done), "")
        if not waits:
            return self.complete(step, done)
        self._check_axes(step)
        previous = self._previous(step.name)
        why = [*changes(self.store, previous, components), f"{waits} must run first"]
        return msgspec.structs.replace(step, state=STALE if previous else MISSING, why=why, waits=waits)

    def _modules(self, task: Task, resources: Mapping[str, Resource]) -> list[str]:
        """The modules whose code, with all they import, is in the key of a phase."""
        choosing = [task.coordinates.__module__] if task.coordinates else []
        loading = [module for resource in resources.values() for module in resource.code]
        named = [*task.modules, *(module for each in resources.values() for module in each.modules)]
        for module in named:  # nobody would miss it, for a name that is no module is not in a closure
            if self.code.locate(module) is None:
                expected = f"a module of {self.pipeline.package} that computes"
                raise InputError(f"module {module}, which is declared", expected=expected, got="none")
        return [task.module(self.pipeline.package), *choosing, *task.modules, *loading]

    def cells(
        self, step: Step, upstream: Mapping[str, Artifact], previous: Artifact | None = None
    ) -> list[PlannedCell]:
        """All cells of a step whose upstream phases are there, with what the store has of them.

        Where a key has two contents, the one that the `previous` artifact of this name has counts, else the
        one that was published first.
        """
        task, standing = step.task, _of_cells(previous)
        axes = [[(axis, at) for at in self._coordinates(step, axis, upstream)] for axis in task.per]
        by_axes = {name: _index(artifact, task.per) for name, artifact in upstream.items()}
        cells = []
        for combination in itertools.product(*axes):
            coords: Coords = dict(combination)
            reads = {
                name: index.get(tuple(coords[axis] for axis in common), [])
                for name, (common, index) in by_axes.items()
            }
            if task.rows:  # one computation, many rows: it is there only as a whole, as an artifact
                cells.append(PlannedCell(coords, step.key, reads))
                continue
            key = cell_key(task, step.components, coords, reads)
            known = self._known_copies(task).get(key, [])
            if len(known) > 1:
                kept = standing.get(frozenset(combination))
                known = sorted(known, key=lambda copy: copy.content != kept)
            copy = next(filter(self._holdings.holds, known), None)
            cells.append(PlannedCell(coords, key, reads, copy, known[0].content if known else ""))
        return cells

    def _coordinates(self, step: Step, axis: str, upstream: Mapping[str, Artifact]) -> list[str | int]:
        for artifact in upstream.values():
            if axis in artifact.axes:
                return artifact.coordinates(axis)
        if step.task.coordinates is None:
            raise UsageError(
                f"axis {axis} of phase {step.task.name}", expected="coordinates=… in its Task", got="none"
            )
        config = step.task.settings(step.selection)
        return list(step.task.coordinates(axis, config, step.resources))

    def _check_axes(self, step: Step) -> None:
        """Ask for the coordinates that settings give, so that a wrong setting stops before anything runs."""
        above = self.pipeline.upstream(step.task)
        given = {axis for name in above for axis in self.pipeline.task(name).axes}
        for axis in step.task.per:
            if axis not in given:
                self._coordinates(step, axis, {})

    def _known_copies(self, task: Task) -> dict[str, list[Copy]]:
        if task.name not in self._copies:
            self._copies[task.name] = copies(self.store, task.name)
        return self._copies[task.name]

    def _previous(self, name: Name) -> Artifact | None:
        try:
            ref = read_ref(self.store, name)
            return referred(self.store, name, ref) if ref else None
        except DamageError:
            return None


def _resource(task: Task, name: str, resources: Mapping[str, Resource]) -> Resource:
    if name not in resources:
        known = ", ".join(resources)
        raise UsageError(f"phase {task.name} needs {name!r}", expected=f"a phase above it, or one of {known}")
    return resources[name]


def _of_cells(artifact: Artifact | None) -> dict[frozenset[tuple[str, str | int]], str]:
    """Coordinates → content of the cells of an artifact; none of one that is damaged."""
    try:
        return {frozenset(cell.coords.items()): cell.content for cell in artifact.cells} if artifact else {}
    except DamageError:
        return {}


def _index(
    artifact: Artifact, per: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[tuple[str | int, ...], list[Cell]]]:
    """The axes that an artifact shares with a phase, and its cells by their coordinates on these."""
    common = tuple(axis for axis in per if axis in artifact.axes)
    index: dict[tuple[str | int, ...], list[Cell]] = {}
    for cell in artifact.cells:
        index.setdefault(tuple(cell.coords[axis] for axis in common), []).append(cell)
    return common, index
