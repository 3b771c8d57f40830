"""What a phase says of its whole output, computed from the cells as the store has them."""

from __future__ import annotations

from circuitstore.engine.audit import watching
from circuitstore.engine.cover import cover
from circuitstore.engine.inputs import Cells
from circuitstore.engine.loading import check_loaded, load_module
from circuitstore.engine.planner import Planner, Step
from circuitstore.storage.tree import Tree


def summary_of(planner: Planner, step: Step, tree: Tree) -> dict[str, object]:
    """The summary of a step's output. Raises UndeclaredReadError, StaleCodeError, DamageError."""
    pipeline, store, task = planner.pipeline, planner.store, step.task
    name = task.module(pipeline.package)
    covered = cover(task, name, step.components, {}, store)
    with watching(task.name, covered) as watch, pipeline.machine.fixed():
        module = load_module(name, step.components.code)
        watch.check_remembered()
        watch.check_imports(step.components.code)
        every = Cells(store, task.name, tree.prove())
        summary: dict[str, object] = module.summary(every, task.settings(step.selection))
        check_loaded(step.components.code)
        if refused := watch.refused():
            raise refused
    return summary
