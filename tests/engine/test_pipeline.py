"""What a declaration of phases says: which cells are computed together, and what each phase reads."""

from __future__ import annotations

import msgspec
import pytest
from workspace import PIPELINE, one_line_error, run_process

from circuitstore.engine.batch import batches
from circuitstore.engine.planner import PlannedCell, Step
from circuitstore.engine.task import Task


def test_cells_that_share_work_stay_together():
    """A batch ends where the outermost coordinate changes, or where it is full if that never fits."""
    task = Task("any", msgspec.Struct, needs=(), per=("shard", "layer"), batch=5)

    def sizes(*counts: int, width: int = 1) -> list[int]:
        cells = [
            PlannedCell({"shard": shard, "layer": layer}, "", {})
            for shard, count in enumerate(counts)
            for layer in range(count)
        ]
        step = Step(task, None, {}, None, "stale", [], cells=cells)
        return [len(batch.cells) for batch in batches("tasks", step, None, None, width)]

    assert sizes(2, 2, 2) == [4, 2]
    assert sizes(3, 3) == [3, 3]
    assert sizes(12, 1) == [5, 5, 3]
    assert sizes() == []
    assert sizes(12, width=2) == [3, 3, 3, 3]  # two for each of two workers
    assert sizes(100, width=2) == [5] * 20
    assert sizes(1, 1, 1, width=4) == [1, 1, 1]
    assert sizes(width=2) == []


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


WRONG = {  # what cannot be meant → a word of the error
    "no cells together": ({"batch": 0}, "batch is 0"),
    "rows and axes": ({"per": ("prompt",), "rows": "prompt"}, "rows and per"),
    "a setting that is none": ({"whole": ("nothing",)}, "nothing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_declarations_that_cannot_be_meant_are_refused(name):
    """At once, when the pipeline is put together."""
    fields, word = WRONG[name]
    with pytest.raises(ValueError, match=word):
        Task("any", PIPELINE.tasks[0].config, needs=(), **fields)


def test_pipelines_that_cannot_be_meant_are_refused():
    """Two phases of one name, or a phase after one that does not stand above it."""
    first, second = PIPELINE.tasks[:2]
    late = msgspec.structs.replace(first, after=(second.name,))
    for tasks, word in (((first, first), "two phases"), ((late, second), "no phase above")):
        with pytest.raises(ValueError, match=word):
            msgspec.structs.replace(PIPELINE, tasks=tasks, asked=())


def test_a_phase_that_imports_what_no_key_covers_is_refused(tree, built_once):
    """Code of the engine or the store is in no key, so a phase may import it for types only."""
    phase = tree / "tasks" / "baseline.py"
    text = phase.read_text()
    phase.write_text(text + "\nfrom circuitstore.memo import ENTRIES\n")
    error = one_line_error(run_process("status", *built_once.selection, tree=tree), code=1)
    assert "tasks/baseline.py" in error and "circuitstore.memo" in error
    phase.write_text(text + "\nif TYPE_CHECKING:\n    from circuitstore.memo import ENTRIES\n")
    assert run_process("status", *built_once.selection, tree=tree).code == 0


def test_a_summary_that_is_not_there_is_one_line(tree, new_workspace):
    """Declared but not written: said before anything is computed."""
    contents = tree / "tasks" / "__init__.py"
    line = 'needs=("prompts", "features"), rows="prompt"'
    text = contents.read_text()
    assert line in text
    contents.write_text(text.replace(line, line + ", summary=True"))
    outcome = run_process("build", "pairs", *new_workspace.selection, tree=tree)
    assert "a function summary in tasks.pairs" in one_line_error(outcome, code=1)
