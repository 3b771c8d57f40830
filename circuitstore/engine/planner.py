"""What is missing, and why: from declarations and hashes alone, without importing a phase or opening an
array.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from circuitstore.engine.fingerprint import Code, digest
from circuitstore.engine.task import Coords, Pipeline, Resource, Task
from circuitstore.errors import DamageError
from circuitstore.memo import Memo, shared
from circuitstore.storage.artifact import Artifact, Cell, read_artifact, read_ref
from circuitstore.storage.layout import Store
from circuitstore.storage.manifest import intact

if TYPE_CHECKING:
    from circuitstore.storage.actions import Place

FRESH, STALE, MISSING = "fresh", "stale", "missing"


class PlannedCell(msgspec.Struct, frozen=True):
    """A cell to be had: its key, what it reads of each upstream phase, and where its content lies if it is
    there already.
    """

    coords: Coords
    key: str
    reads: dict[str, list[Cell]]
    place: Any = None  # storage.actions.Place


class Step(msgspec.Struct):
    """One phase of one behaviour, as far as it can be known before anything runs.

    `waits` names the upstream phase that must run first; then neither key nor cells are known yet.
    """

    task: Task
    selection: Any
    state: str
    why: list[str]
    components: dict[str, Any]
    key: str = ""
    upstream: dict[str, str] = {}  # phase → key of the artifact it reads
    artifact: Artifact | None = None
    cells: list[PlannedCell] = []
    waits: str = ""

    @property
    def todo(self) -> list[PlannedCell]:
        return [cell for cell in self.cells if cell.place is None]

    @property
    def count(self) -> int:
        """Cells of the phase as its declaration counts them: one for the whole when it has no cell axes."""
        if self.artifact is None:
            return len(self.cells)
        return self.artifact.count if self.task.per else 1


class Planner:
    """Plans phases of one pipeline against one store; remembers what it has looked at."""

    def __init__(self, pipeline: Pipeline, store: Store, memo: Memo | None = None):
        self.pipeline, self.store = pipeline, store
        self.memo = memo or shared()
        self.code = Code(pipeline.package, self.memo)
        self._intact: dict[str, bool] = {}

    def steps(self, selection: Any, tasks: tuple[Task, ...]) -> list[Step]:
        """Plan these phases (in order) for one behaviour. Raises InputError, UsageError for what can never
        run.
        """
        done: dict[str, Artifact] = {}
        resources = self._resources(selection)
        steps = []
        for task in tasks:
            step = self.step(selection, task, done, resources)
            if step.artifact is not None:
                done[task.name] = step.artifact
            steps.append(step)
        return steps

    def step(
        self, selection: Any, task: Task, done: dict[str, Artifact], resources: dict | None = None
    ) -> Step:
        """Plan one phase, given the artifacts of the phases above it."""
        resources = self._resources(selection) if resources is None else resources
        config = task.settings(selection)
        used = {name: resources[name] for name in self.pipeline.resources_of(task) if name in resources}
        components = {
            "code": self.code.closure(
                task.module(self.pipeline.package),
                *(module for resource in used.values() for module in resource.code),
            ),
            "config": {name: getattr(config, name) for name in config.__struct_fields__},
            "resources": {name: resource.identity() for name, resource in used.items()},
        }
        waits = next((name for name in self.pipeline.upstream(task) if name not in done), "")
        if waits:
            self._check_axes(task, config, resources)
            previous = self._previous(selection, task)
            why = [*self._changes(previous, components), f"{waits} must run first"]
            return Step(task, selection, STALE if previous else MISSING, why, components, waits=waits)
        upstream = {name: done[name] for name in self.pipeline.upstream(task)}
        components["upstream"] = {name: artifact.content for name, artifact in upstream.items()}
        keys = {name: artifact.key for name, artifact in upstream.items()}
        key = artifact_key(task, components)
        artifact = self._intact_artifact(key)
        if artifact is not None:
            return Step(task, selection, FRESH, [], components, key, keys, artifact)
        previous = self._previous(selection, task)
        cells = self._cells(task, config, components, upstream, resources, key)
        why = self._changes(previous, components, upstream)
        if previous and not why:
            why = [f"{sum(c.place is None for c in cells)} cells are missing or damaged in the store"]
        return Step(
            task,
            selection,
            STALE if previous else MISSING,
            why or ["never built"],
            components,
            key,
            keys,
            None,
            cells,
        )

    def check(self, steps: list[Step]) -> list[str]:
        """Ask every resource that something will be computed with whether it can be used; what it warns of.
        Raises InputError.
        """
        if all(step.state == FRESH for step in steps):
            return []
        from circuitstore.engine.loading import watch

        watch(self.pipeline.package)  # what is loaded from here on must be known by its source
        notes: dict[str, None] = {}  # a profile's are the same for every behaviour
        for selection in {step.selection.behaviour: step.selection for step in steps}.values():
            mine = [step.task for step in steps if step.state != FRESH and step.selection is selection]
            needed = {name for task in mine for name in self.pipeline.resources_of(task)}
            for name, resource in self._all_resources(selection).items():
                if name in needed and resource.check is not None:
                    notes.update(dict.fromkeys(resource.check()))
        return list(notes)

    def _resources(self, selection: Any) -> dict[str, Resource]:
        """The resources of a selection, each asked for its identity once."""
        found = self._all_resources(selection)
        return {
            name: msgspec.structs.replace(resource, identity=cache(resource.identity))
            for name, resource in found.items()
        }

    def _all_resources(self, selection: Any) -> dict[str, Resource]:
        from circuitstore.engine.loading import watch

        watch(self.pipeline.package)
        return self.pipeline.resources(selection, self.store)

    def locate(self, task: Task, keys: list[str]) -> dict[str, Place]:
        """Where finished cells lie, for those of these keys that do."""
        from circuitstore.storage.actions import places  # journals matter only when something is missing

        known = places(self.store, task.name) if keys else {}
        found = {}
        for key in keys:
            for place in known.get(key, ()):
                if self._object_intact(place.object):
                    found[key] = place
                    break
        return found

    def forget(self) -> None:
        """Look at the store afresh."""
        self._intact.clear()

    def _cells(
        self, task: Task, config, components, upstream: dict[str, Artifact], resources, whole_key: str
    ) -> list[PlannedCell]:
        axes = [
            [(axis, value) for value in self._coordinates(task, axis, config, upstream, resources)]
            for axis in task.per
        ]
        by_axes = {name: _index(artifact, task.per) for name, artifact in upstream.items()}
        drafts = []
        for combination in itertools.product(*axes):
            coords: Coords = dict(combination)
            reads = {}
            for name, (common, index) in by_axes.items():
                reads[name] = index.get(tuple(coords[axis] for axis in common), [])
            drafts.append((coords, cell_key(task, components, coords, reads), reads))
        if task.rows:  # one computation, many rows: it is there only as a whole, as an artifact
            return [PlannedCell(coords, whole_key, reads) for coords, _, reads in drafts]
        found = self.locate(task, [key for _, key, _ in drafts])
        return [PlannedCell(coords, key, reads, found.get(key)) for coords, key, reads in drafts]

    def _coordinates(self, task: Task, axis: str, config, upstream: dict[str, Artifact], resources) -> list:
        for artifact in upstream.values():
            if axis in artifact.axes:
                return artifact.coordinates(axis)
        return task.coordinates(axis, config, resources)

    def _check_axes(self, task: Task, config, resources) -> None:
        """Coordinates that the configuration gives are asked for before anything runs, so that a wrong one
        stops here.
        """
        given = {axis for name in self.pipeline.upstream(task) for axis in self.pipeline.task(name).axes}
        for axis in task.per:
            if axis not in given:
                task.coordinates(axis, config, resources)

    def _intact_artifact(self, key: str) -> Artifact | None:
        try:
            artifact = read_artifact(self.store, key)
        except DamageError:
            return None
        complete = artifact is not None and all(self._object_intact(name) for name in artifact.objects)
        return artifact if complete else None

    def _object_intact(self, name: str) -> bool:
        if name not in self._intact:
            self._intact[name] = intact(self.store, name)
        return self._intact[name]

    def _previous(self, selection, task: Task) -> Artifact | None:
        try:
            ref = read_ref(self.store, selection.profile_name, selection.behaviour, task.name)
            return read_artifact(self.store, ref.artifact) if ref else None
        except DamageError:
            return None

    def _changes(
        self, previous: Artifact | None, now: dict, upstream: dict[str, Artifact] | None = None
    ) -> list[str]:
        """Which inputs differ from those of the newest artifact, from what to what."""
        if previous is None:
            return []
        found = []
        for kind in ("config", "code", "resources"):
            old, new = previous.components.get(kind, {}), now[kind]
            found += [_change(kind, path, a, b) for path, a, b in differences(old, new)]
        old_contents = previous.components.get("upstream", {})
        for name, artifact in (upstream or {}).items():
            if old_contents.get(name) != artifact.content:
                found.append(f"{name}: {self._upstream_change(previous, name, artifact)}")
        return found

    def _upstream_change(self, previous: Artifact, name: str, artifact: Artifact) -> str:
        try:
            old = read_artifact(self.store, str(previous.upstream.get(name, "0" * 64)))
        except DamageError:
            old = None
        if old is None:
            return "content changed"
        before = {tuple(sorted(cell.coords.items())): cell.content for cell in old.cells}
        after = {tuple(sorted(cell.coords.items())): cell.content for cell in artifact.cells}
        groups = {
            "changed": [c for c in after if c in before and after[c] != before[c]],
            "added": [c for c in after if c not in before],
            "removed": [c for c in before if c not in after],
        }
        parts = [f"{len(cells)} {what} ({_some(cells)})" for what, cells in groups.items() if cells]
        return f"of {len(after)} cells " + ", ".join(parts) if parts else "order changed"


def artifact_key(task: Task, components: dict) -> str:
    """Key of a phase's whole output."""
    return digest(
        "artifact", [task.name, *(components[kind] for kind in ("code", "config", "resources", "upstream"))]
    )


def cell_key(task: Task, components: dict, coords: Coords, reads: dict[str, list[Cell]]) -> str:
    """Key of one cell: as the artifact's, but of upstream only the cells it reads, and no field that only
    chooses cells.
    """
    config = {name: value for name, value in components["config"].items() if name not in task.whole}
    contents = {name: [[cell.coords, cell.content] for cell in cells] for name, cells in reads.items()}
    return digest("cell", [task.name, components["code"], config, components["resources"], coords, contents])


def assemble(step: Step, cells: list[Cell], summary: dict[str, object]) -> Artifact:
    """The artifact of a step whose cells all lie in the store."""
    task, behaviour = step.task, step.selection.behaviour
    return Artifact(
        task.name,
        behaviour,
        step.key,
        content_of(cells),
        list(task.axes),
        len(cells),
        list(dict.fromkeys(cell.object for cell in cells)),
        step.components,
        step.upstream,
        summary,
        msgspec.Raw(msgspec.json.encode(cells)),
    )


def content_of(cells: list[Cell]) -> str:
    """Content hash of an artifact, over its cells in order."""
    return digest("content", [[cell.coords, cell.content] for cell in cells])


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted path, old, new) of every leaf in which two nested dicts differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*new, *(name for name in old if name not in new)]
        return [
            d
            for name in names
            for d in differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
        ]
    same = msgspec.json.encode(old) == msgspec.json.encode(
        new
    )  # what was read back has lists where there were tuples
    return [] if same else [(path, old, new)]


def _change(kind: str, path: str, old: Any, new: Any) -> str:
    if kind == "code":
        verb = "no longer used" if new is None else "newly used" if old is None else "changed"
        return f"code: {path} {verb} ({_short(old)} → {_short(new)})"
    return f"{kind}: {path} {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:12] + "…"
    return text if len(text) <= 60 else text[:57] + "…"


def _some(cells: list[tuple]) -> str:
    names = ["/".join(str(value) for _, value in cell) for cell in cells[:5]]
    return ", ".join(names) + (", …" if len(cells) > 5 else "")


def _index(artifact: Artifact, per: tuple[str, ...]) -> tuple[tuple[str, ...], dict[tuple, list[Cell]]]:
    """The axes that an artifact shares with a phase, and its cells by their coordinates on these."""
    shared = tuple(axis for axis in per if axis in artifact.axes)
    index: dict[tuple, list[Cell]] = {}
    for cell in artifact.cells:
        index.setdefault(tuple(cell.coords[axis] for axis in shared), []).append(cell)
    return shared, index
