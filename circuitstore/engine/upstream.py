"""Planning a build whose store has an upstream: what is missing here is looked for there first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from circuitstore.engine.planner import FRESH, Planner, Step
from circuitstore.engine.task import Selection, Task
from circuitstore.errors import CircuitstoreError

Steps = dict[str, list[Step]]  # by behaviour


def plan_steps(
    planner: Planner, selections: Sequence[Selection], tasks: Sequence[Task], note: Callable[[str], None]
) -> Steps:
    """The steps of a build, with what could be had upstream in the store.

    Where nothing is missing, no upstream is asked. `note` hears of what is there and cannot be taken. Raises
    InputError, UsageError for what can never run, StoreError for an upstream that cannot be reached.
    """
    every = planner.store.upstream if planner.upstream is None else ()  # asked already, planning goes on
    try:
        steps = {selection.behaviour: planner.steps(selection, tasks) for selection in selections}
        if not every or all(step.state == FRESH for each in steps.values() for step in each):
            return steps
    except CircuitstoreError:  # the revision of a repository that nobody here knows may be pinned upstream
        if not every:
            raise
    from circuitstore.storage.remote_upstream import Upstream

    planner.upstream = Upstream(planner.store, note)
    planner.upstream.inputs()
    return {selection.behaviour: planner.steps(selection, tasks) for selection in selections}
