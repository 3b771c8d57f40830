"""What a declaration of phases says: which cells are computed together, and what each phase reads."""

from __future__ import annotations

import msgspec
from workspace import PIPELINE

from circuitstore.engine import work
from circuitstore.engine.planner import PlannedCell, Step
from circuitstore.engine.task import Task


def test_cells_that_share_work_stay_together():
    """A batch ends where the outermost coordinate changes, or where it is full if that never fits."""
    task = Task("any", msgspec.Struct, needs=(), per=("shard", "layer"), batch=5)

    def sizes(*counts: int) -> list[int]:
        cells = [
            PlannedCell({"shard": shard, "layer": layer}, "", {})
            for shard, count in enumerate(counts)
            for layer in range(count)
        ]
        step = Step(task, None, {}, None, "stale", [], cells=cells)
        return [len(batch.cells) for batch in work.batches("tasks", step, None, None)]

    assert sizes(2, 2, 2) == [4, 2]
    assert sizes(3, 3) == [3, 3]
    assert sizes(12, 1) == [5, 5, 3]
    assert sizes() == []


def test_a_phase_reads_what_stands_before_it():
    """`features` reads the resource `transcoders`; `replacement`, which comes after, reads the phase."""
    assert PIPELINE.resources_of(PIPELINE.task("features")) == ("transcoders",)
    assert PIPELINE.upstream(PIPELINE.task("replacement")) == ("corpus", "transcoders")
    assert [task.name for task in PIPELINE.closure(("transcoders",))] == [
        "corpus",
        "corpus_activations",
        "transcoders",
    ]
    assert not {task.name for task in PIPELINE.closure(())} & {task.name for task in PIPELINE.asked}
