"""What questions to a store of features cost at the size of a 4B model.

    python bench/queries.py [--prompts 400] [--layers 36] [--tree DIR]… [--folder DIR]

A store of random features is made (5 positions, 163,840 features, about 70 active at each layer and
position). Then each question is asked in a process of its own, first cold, which includes opening, then three
times warm. The table gives CPU milliseconds: cold, the best warm one, and what NumPy takes for the same
answer from the entries as plain arrays in memory. `--tree` asks other checkouts too, in turn with this one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

ROOT = Path(__file__).parent.parent
POSITIONS, FEATURES, ACTIVE, D_MODEL, BATCH = 5, 163_840, 70, 2560, 100
PHASE, PROFILE, BEHAVIOUR = "features", "tiny", "random"
QUESTIONS = {
    "one feature, one layer, all prompts": "ds.activation.sel(layer=3, feature=981).values",
    "1,000 features, one layer, all prompts": "ds.activation.sel(layer=3, feature=some).values",
    "5 prompts, one layer, all features": "ds.activation.isel(layer=3, prompt=slice(0, 5)).values",
    "one prompt, 10 layers, all features": "ds.activation.isel(layer=slice(0, 10), prompt=7).values",
    "L0 of everything": "ds.l0.values",
    "all entries (sparse=True)": "cs.open(phase, sparse=True, **where)",
}
ASK = """
import json, sys, time
import numpy as np, xarray, networkx
import circuitstore as cs
question, store, phase, profile, behaviour = sys.argv[1:]
where = dict(behaviour=behaviour, store=store, profile=profile)
some = np.random.default_rng(1).choice(163_840, 1000, replace=False)
took = []
for turn in range(4):
    started = time.process_time()
    if turn == 0:
        ds = cs.open(phase, **where)
    found = eval(question)
    took.append(time.process_time() - started)
print(json.dumps(took))
"""


def entries(number: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pointer, feature and value of one cell."""
    rows = [np.unique(number.integers(0, FEATURES, ACTIVE)) for _ in range(POSITIONS)]
    pointer = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    feature = np.concatenate(rows).astype(np.int32)
    return pointer, feature, number.random(len(feature), dtype=np.float32) + 0.1


def make(folder: Path, prompts: int, layers: int) -> None:
    """A store with one artifact of phase `features`, as the phase writes it."""
    from circuitstore.storage.artifact import Artifact, Cell, write_artifact
    from circuitstore.storage.key import artifact_key
    from circuitstore.storage.layout import Store
    from circuitstore.storage.objects import write_object
    from circuitstore.storage.records import Components
    from circuitstore.storage.refs import Name, write_ref
    from circuitstore.storage.tree import Writer

    store, number = Store(folder).create(), np.random.default_rng(0)
    cells: list[Cell] = []
    for layer in range(layers):
        for start in range(0, prompts, BATCH):
            batch: list[tuple[dict[str, str | int], xr.Dataset]] = []
            for prompt in range(start, min(start + BATCH, prompts)):
                pointer, feature, value = entries(number)
                l0 = np.diff(pointer).astype(np.float32)
                content: dict[str, Any] = {
                    "activation.pointer": ("row", pointer),
                    "activation.feature": ("entry", feature),
                    "activation.value": ("entry", value),
                    "l0": ("position", l0),
                    "output_sum": ("d_model", number.standard_normal(D_MODEL)),
                    "feature_count": ((), np.int32(FEATURES)),
                }
                batch.append(({"layer": layer, "prompt": f"p{prompt:04}"}, xr.Dataset(content)))
            made = write_object(store, batch)
            rows = zip(made.coords, made.cells, strict=True)
            cells += [Cell(coords, content, made.object, row) for row, (coords, content) in enumerate(rows)]
    axes, components = ["layer", "prompt"], Components()
    key = artifact_key(PHASE, [axes, None, False], components)
    tree = Writer(store, axes, store.artifact(key)).write(cells)
    artifact = Artifact(
        phase=PHASE,
        behaviour=BEHAVIOUR,
        key=key,
        content=tree.content,
        axes=axes,
        count=tree.count,
        components=components,
        table=tree,
        upstream={},
        summary={},
        profile=PROFILE,
    )
    write_artifact(store, artifact)
    write_ref(store, Name(PROFILE, BEHAVIOUR, PHASE), artifact, time.time_ns())


def bare(prompts: int) -> dict[str, float]:
    """Milliseconds of NumPy for the first three questions, from the entries of one layer in memory."""
    number = np.random.default_rng(0)
    cells = [entries(number) for _ in range(prompts)]
    feature = np.concatenate([cell[1] for cell in cells])
    value = np.concatenate([cell[2] for cell in cells])
    row = np.repeat(np.arange(prompts * POSITIONS), np.concatenate([np.diff(cell[0]) for cell in cells]))
    some = np.sort(np.random.default_rng(1).choice(FEATURES, 1000, replace=False))
    first = row < 5 * POSITIONS

    def one() -> None:
        hit = feature == 981
        np.zeros(prompts * POSITIONS, np.float32)[row[hit]] = value[hit]

    def many() -> None:
        at = np.minimum(np.searchsorted(some, feature), 999)
        hit = some[at] == feature
        np.zeros((prompts * POSITIONS, 1000), np.float32)[row[hit], at[hit]] = value[hit]

    def dense() -> None:
        np.zeros((5 * POSITIONS, FEATURES), np.float32)[row[first], feature[first]] = value[first]

    took = (1e3 * min(_timed(work) for _ in range(5)) for work in (one, many, dense))
    return dict(zip(QUESTIONS, took, strict=False))  # the other questions have no such short answer


def _timed(work: Any) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def ask(tree: Path, question: str, store: Path) -> list[float]:
    """CPU milliseconds of the first and of the later answers, in a process with the code of a tree."""
    command = [sys.executable, "-c", ASK, question, store, PHASE, PROFILE, BEHAVIOUR]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    words = list(map(str, command))
    done = subprocess.run(words, env=environment, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return [1e3 * seconds for seconds in json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--tree", action="append", default=[])
    parser.add_argument("--folder", help="where the store is made, and kept for the next time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(options.folder or scratch, f"queries-{options.prompts}-{options.layers}")
        if not (store / "refs").exists() or not any((store / "refs").iterdir()):
            make(store, options.prompts, options.layers)
        limit = bare(options.prompts)
        print("| question | code | cold ms | warm ms | NumPy ms |\n|---|---|---|---|---|")
        for question, code in QUESTIONS.items():
            for tree in [*map(Path, options.tree), ROOT]:
                cold, *warm = ask(tree, code, store)
                name = "this" if tree == ROOT else str(tree)
                beside = f"{limit[question]:.2f}" if question in limit else ""
                print(f"| {question} | {name} | {cold:.0f} | {min(warm):.1f} | {beside} |", flush=True)


if __name__ == "__main__":
    main()
