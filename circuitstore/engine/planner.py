"""What is missing, and why, from declarations and hashes alone.

Planning imports no phase and opens no array.

A selection is planned once. A phase whose upstream phases must run first has neither key nor cells yet:
`Planner.complete` gives it both when they have run, from what was looked up before.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from circuitstore.engine.code_of import code_of
from circuitstore.engine.explain import changes
from circuitstore.engine.fingerprint import Code
from circuitstore.engine.holdings import Holdings
from circuitstore.engine.increment import Alignment, Label, align, comparable, reads, touched
from circuitstore.engine.lookup import Lookup, PlannedCell
from circuitstore.engine.task import Pipeline, Resource, Selection, Task
from circuitstore.errors import DamageError, UsageError
from circuitstore.memo import Memo, shared
from circuitstore.storage.actions import Copy, Entry
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.hold import hold
from circuitstore.storage.key import artifact_key
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components
from circuitstore.storage.refs import Name, read_ref, referred
from circuitstore.storage.tree import Kept

if TYPE_CHECKING:
    from circuitstore.storage.remote_upstream import Upstream

FRESH, STALE, MISSING = "fresh", "stale", "missing"


class Step(msgspec.Struct, frozen=True):
    """One phase of one selection, as far as it can be known before anything runs.

    `waits` names the upstream phase that must run first; then neither key nor cells are known yet. `artifact`
    is there when the phase is fresh. `kept` are leaves of the newest artifact that stand as they are, each
    with how many of `cells` come before it; `cells` are all others, in order.
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
    kept: list[tuple[int, Kept]] = []
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
            return len(self.cells) + sum(leaf.ref.count for _, leaf in self.kept)
        return self.artifact.count if self.task.per else 1


class Planner:
    """Plans phases of one pipeline against one store, and remembers what it has looked at."""

    def __init__(self, pipeline: Pipeline, store: Store, memo: Memo | None = None):
        self.pipeline, self.store = pipeline, store
        self.memo = memo or shared()
        self.code = Code(pipeline.package, self.memo)
        self.holdings = Holdings(store)
        self.holding = False  # a build that has something to write holds what it finds, from then on
        self.upstream: Upstream | None = None  # asked by builds alone (`engine.upstream`)

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
        key = artifact_key(task.name, task.declared, components)
        known = msgspec.structs.replace(
            step,
            components=components,
            key=key,
            upstream={name: artifact.key for name, artifact in upstream.items()},
            waits="",
        )
        artifact = self.intact_artifact(key)
        if artifact is None and self._came(lambda upstream: upstream.artifact(key)):
            artifact = self.intact_artifact(key)
        if artifact is not None:
            return msgspec.structs.replace(known, state=FRESH, why=[], artifact=artifact)
        previous = self._previous(known.name)
        known = self.planned(known, upstream, previous)
        wanted = [] if task.rows else [cell.key for cell in known.todo]
        if wanted and self._came(lambda upstream: upstream.cells(task.name, wanted)):
            known = self.planned(known, upstream, previous)
        why = changes(self.store, previous, components, upstream)
        if previous and not why:
            why = [f"{len(known.todo)} cells are missing or damaged in the store"]
        state = STALE if previous else MISSING
        return msgspec.structs.replace(known, state=state, why=why or ["never built"])

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
        self.holdings.learn(task.name, object_id, list(entries))

    def intact_artifact(self, key: str) -> Artifact | None:
        """The artifact of this key, if all its objects are there and of full size."""
        if self.holding and not hold(self.store.artifact(key)):
            return None
        try:
            artifact = read_artifact(self.store, key)
            whole = artifact is not None and all(map(self.holdings.intact, artifact.objects))
        except DamageError:
            return None
        return artifact if whole else None

    def _came(self, asked: Callable[[Upstream], bool]) -> bool:
        """Whether something was found upstream; it is here then."""
        came = self.upstream is not None and asked(self.upstream)
        if came:
            self.holdings = Holdings(self.store)
        return came

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
        components = Components(
            code=code_of(self.code, task, selection, used),
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

    def planned(self, step: Step, upstream: Mapping[str, Artifact], previous: Artifact | None = None) -> Step:
        """A step whose upstream phases are there, with its cells and what the store has of them.

        What stands as it stood in the `previous` artifact of this name is taken from there. Where a key has
        two contents, the one in that artifact counts, else the one that was published first.
        """
        task = step.task
        axes = [self._coordinates(step, axis, upstream) for axis in task.per]
        order: list[Label] = list(itertools.product(*axes))
        standing = Alignment([], list(range(len(order))), {})
        if previous is not None and comparable(task, step.components, previous):
            standing = self._aligned(step, upstream, previous, order) or standing
        anew = [at for at in standing.loose if order[at] not in standing.old]
        wanted = [order[at] for at in anew]
        read = {name: reads(artifact, task.per, wanted) for name, artifact in upstream.items()}
        find = Lookup(task, step.components, step.key, self.holdings, previous)
        cells = []
        for at in standing.loose:
            label = order[at]
            if (cell := standing.old.get(label)) is not None:
                copy = Copy(cell.content, cell.object, cell.row)
                cells.append(PlannedCell(cell.coords, "", {}, copy, cell.content))
            else:
                seen = {name: of.get(tuple([label[i] for i in on]), []) for name, (on, of) in read.items()}
                cells.append(find.cell(dict(zip(task.per, label, strict=True)), seen))
        return msgspec.structs.replace(step, cells=cells, kept=standing.kept)

    def _aligned(
        self, step: Step, upstream: Mapping[str, Artifact], previous: Artifact, order: list[Label]
    ) -> Alignment | None:
        """How the cells of a step lie on the previous artifact; None where only keys can tell."""
        contents, changed = previous.components.upstream, []
        try:
            for name, artifact in upstream.items():
                if contents[name] != artifact.content:
                    old = read_artifact(self.store, previous.upstream.get(name, "0" * 64))
                    if old is not None and old.content != contents[name]:  # its key has another one now
                        return None
                    found = touched(old, artifact, step.task.per)
                    if found is None:
                        return None
                    changed.append(found)
            return align(previous, step.task.per, order, changed, self.holdings.intact)
        except DamageError:
            return None

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
