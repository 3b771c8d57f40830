"""docs/schema.md, made from built stores: `python tests/support/schema.py` writes it.

Every phase is built once, of the test model, and opened as a script opens it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr
from small_store import Finished, build_all
from trained import TRAINING, Trained
from workspace import BEHAVIOUR, PIPELINE, PROFILE, ROOT, TEXTS, run

import circuitstore as cs

PAGE = ROOT / "docs" / "schema.md"
HEAD = """# What each phase holds

The variables and coordinates of each phase, as `cs.open` gives them, with their dims, types and units. Each
has its text as the attribute `long_name`, and each number its unit as `units`; 1 stands for none. Dims of the
cells come first. A phase that opens as a tree has one dataset a cell, without these dims. Text has no unit.

This page is made from built stores by `python tests/support/schema.py`, and a test compares the two.
"""
EDIT = (0, 2, 1)  # layer, position, feature


def build_rest(made: Finished) -> None:
    """Build what a build of all phases leaves out: what is asked for by name, and of one text."""
    for phase in ("difference", "supernodes"):
        outcome = run("build", phase, *made.selection)
        assert outcome.code == 0, outcome.err
    where: dict[str, Any] = {"store": made.store, "profile": made.profile}
    cs.attribute(TEXTS["a"], model=where["profile"], store=where["store"])
    cs.intervene(TEXTS["a"], {EDIT: 1.0}, model=where["profile"], store=where["store"])
    asked = {"model": where["profile"], "store": where["store"]}
    cs.generate(TEXTS["a"], {EDIT: 1.0}, max_new_tokens=2, **asked)
    cs.attention(TEXTS["a"], 1, 0, -1, 1, **asked)
    graph = cs.attribute(TEXTS["a"], **asked)
    cs.heads(graph, [(int(graph.edge_source[0]), int(graph.edge_target[0]))], **asked)
    texts = made.root / "texts.txt"
    texts.write_text("\n".join(TEXTS.values()))
    cs.audit(texts, profile=made.profile, store=made.store)


def opened(made: Finished, trained: Trained) -> Iterator[tuple[str, xr.Dataset]]:
    """(phase, what it opens as), of a tree its first dataset; all phases in order."""
    built = cs.refs(store=made.store, profile=PROFILE)
    for task in PIPELINE.every:
        if task.name in TRAINING:
            where: dict[str, Any] = {"store": trained.store, "profile": "mine"}
            result = cs.open(task.name, behaviour="corpus", **where)
        else:
            names = [behaviour for behaviour, phase in built if phase == task.name]
            behaviour = BEHAVIOUR if BEHAVIOUR in names else names[0]
            result = cs.open(task.name, behaviour=behaviour, store=made.store, profile=PROFILE)
        if isinstance(result, xr.DataTree):
            result = next(iter(result.children.values())).to_dataset()
        yield task.name, result


def page(made: Finished, trained: Trained) -> str:
    """The page. Stores have every phase built."""
    return "\n".join([HEAD, *(line for phase, each in opened(made, trained) for line in _part(phase, each))])


def _part(phase: str, dataset: xr.Dataset) -> Iterator[str]:
    task = PIPELINE.task(phase)
    axes = ", ".join(f"`{axis}`" for axis in task.per)
    cells = f"One cell for each {axes}" if axes else "Computed as a whole"
    cells += f", a row for each `{task.rows}`" if task.rows else ""
    opens = ". Opens as a tree" if dataset.attrs.get("structure") == "tree" and task.axes else ""
    yield f"## {phase}\n\n{cells}{opens}.\n"
    yield "| name | dims | type | unit | what it is |\n|---|---|---|---|---|"
    for name in (*sorted(map(str, dataset.coords)), *sorted(map(str, dataset.data_vars))):
        variable = dataset[name].variable
        kind = "text" if variable.dtype.kind in "UTO" else str(variable.dtype)
        dims = ", ".join(map(str, variable.dims))
        shown = "label_NAME" if phase == "prompts" and name.startswith("label_") else name
        units, text = variable.attrs.get("units", ""), variable.attrs.get("long_name", "")
        yield f"| `{shown}` | {dims} | {kind} | {units} | {text} |"
    yield ""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        finished = Finished.create(Path(folder) / "finished")
        build_all(finished)
        build_rest(finished)
        (Path(folder) / "trained").mkdir()
        corpus = Trained(Path(folder) / "trained").write()
        assert corpus.build().code == 0
        PAGE.write_text(page(finished, corpus), encoding="utf-8")
