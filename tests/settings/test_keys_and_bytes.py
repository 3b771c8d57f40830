"""Every setting of every phase: whether it moves keys, and whether it moves bytes.

`python -m pytest -m slow -n 0 -s tests/settings/test_keys_and_bytes.py` prints the table. No setting may move
bytes and no key: that would file two results under one key. One that moves a key and no bytes costs a
computation that gives what was there: each is listed here, with the reason.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from company import corpus
from small_store import Finished, build_all
from workspace import PIPELINE, Workspace, run

from circuitstore.engine.task import Task
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from tasks import SETTINGS

pytestmark = pytest.mark.slow

TRAINING = ("corpus.context=16", "corpus.shard=200", "training.features=32", "training.steps=20")
TRAINING += ("training.batch=64", "training.l0_start=8.0", "training.l0=4.0", "replacement.tokens=64")
# Values that could matter for a small model and few prompts, where half or one more of the default would not.
VALUES = {
    "prompts.train": "82",
    "prompts.test": "22",
    "prompts.prepend": "none",
    "baseline.gate": "0.99",
    "activations.layers": "0-1",
    "activations.positions": "2",
    "interpretation.min_prompts": "2",
    "interpretation.top_prompts": "2",
    "attribution.max_logits": "2",
    "attribution.logit_prob": "0.2",
    "attribution.max_feature_nodes": "20",
    "attribution.stage": "8",
    "attribution.memory": "64GB",
    "attribution.edge_top_k": "3",
    "attribution.edge_min_share": "0.05",
    "attribution.max_edges": "20",
    "circuit.min_prompts": "3",
    "interventions.control_caliper": "1.1",
    "interventions.swap_sizes": "[5]",
    "interventions.sizes": "[1]",
    "interventions.circuit_sizes": "[5]",
    "interventions.effect_pairs": "10",
    "interventions.effect_range": "0",
    "supernodes.sizes": "[5]",
    "supernodes.necessity": "-100",
    "supernodes.shuffles": "2",
    "supernodes.level": "0.9",
    "supernodes.control_caliper": "1.1",
    "supernodes.control_pool": "1",
    "supernodes.bootstrap": "3",
    "figures.graph_nodes": "5",
    "figures.graph_edges": "5",
    "figures.heatmap_features": "3",
    "figures.examples": "1",
    "corpus.context": "8",
    "corpus.tokens": "100",
    "corpus.shard": "100",
    "replacement.tokens": "16",
    "audit.tokens": "60",
    "audit.context": "8",
    "audit.hook_texts": "1",
    "audit.graphs": "1",
    "audit.nodes": "20",
}
ELSEWHERE = {
    "prompts.chat": "it needs a model with a chat template, and tests/inputs/test_chat.py tries it",
    "corpus_activations.layers": "it chooses cells, and tests/transcoders/test_some_layers.py tries it",
}
BY_GRADIENT = 'it is read by the methods "gradient" and "integrated" alone'
OF_ATTRIBUTION = "the phase shares the table of attribution, and explains the difference of the answers"
# PHASE.setting that moves a key and no bytes here, and why the key has it all the same.
ONLY_KEYS = {
    "prompts.train": "a file of prompts is taken whole; a declaration draws so many",
    "prompts.test": "a file of prompts is taken whole; a declaration draws so many",
    "prompts.seed": "a file of prompts is taken whole; a declaration draws with it",
    "prompts.misfits": "no answer is split by this tokenizer",
    "attribution.gradient_threshold": BY_GRADIENT,
    "attribution.gradient_top_k": BY_GRADIENT,
    "difference.gradient_threshold": BY_GRADIENT,
    "difference.gradient_top_k": BY_GRADIENT,
    "difference.targets": OF_ATTRIBUTION,
    "difference.max_logits": OF_ATTRIBUTION,
    "difference.logit_prob": OF_ATTRIBUTION,
    "supernodes.sufficiency": "no circuit of this model is as necessary as is asked, so the largest is taken",
    "transcoders.k": 'it is read by the kind "topk" alone',
}
OWN = [(task, field.name) for task in PIPELINE.every for field in msgspec.structs.fields(task.config)]

OF_ONE_TEXT = PIPELINE.serves.of_one_text


class Row(msgspec.Struct, frozen=True):
    """What one setting moved in one phase."""

    phase: str
    setting: str
    value: str
    key: bool
    bytes: bool


@pytest.fixture(scope="module")
def works(tmp_path_factory) -> dict[str, Workspace]:
    """What a phase is about → a workspace in which all such phases are built."""
    whole = Finished.create(Path(tmp_path_factory.mktemp("whole")))
    build_all(whole)
    training = corpus(Path(tmp_path_factory.mktemp("training")))
    build(training, PIPELINE.task("replacement"))
    return {"": whole, "corpus": training}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """What was found, for the table."""
    return []


def build(work: Workspace, task: Task, *settings: str) -> Artifact:
    """The output of a phase with these settings, upstream phases as they are."""
    prompts = [] if task.about else ["--prompts", work.prompts]
    every = (*(TRAINING if task.about else ()), *settings)
    words = [word for setting in every for word in ("--set", setting)]
    outcome = run("build", task.name, "--profile", work.profile, "--store", work.store, *prompts, *words)
    assert outcome.code == 0, outcome.err
    return named(Store(work.store), Name("small", task.about or "mine", task.name))


def value_of(task: Task, field: str, work: Workspace) -> str:
    """Another valid value of a setting than the one in use."""
    setting = f"{task.table or task.name}.{field}"
    if setting in VALUES:
        return VALUES[setting]
    kind = next(each for each in msgspec.structs.fields(task.config) if each.name == field)
    select = PIPELINE.serves.settings.select
    about = (None, TRAINING, (task.name,)) if task.about else (str(work.prompts), (), ())
    (selection,) = select(str(work.profile), (), *about)
    now, info = getattr(task.settings(selection), field), msgspec.inspect.type_info(kind.type)
    if isinstance(info, msgspec.inspect.LiteralType):
        return str(next(value for value in info.values if value != now))
    if isinstance(now, bool):
        return str(not now).lower()
    if isinstance(now, tuple):
        return json.dumps(now[1:])
    return str(now + 1) if isinstance(now, int) else str(now / 2 + 0.01)


@pytest.mark.parametrize(("task", "field"), OWN, ids=[f"{task.name}-{field}" for task, field in OWN])
def test_a_setting_that_moves_bytes_moves_keys(works, rows, task, field):
    """A phase with another setting is built: is its key another, and is its content?

    Where the key stays, that of the phase or that of each cell, the cells are computed again with the other
    setting, and are what is stored.
    """
    if task.name in OF_ONE_TEXT:
        pytest.skip("it needs a text, and tests/results/ tries its settings; attribute has attribution's")
    if reason := ELSEWHERE.get(f"{task.name}.{field}"):
        pytest.skip(reason)
    work = works[task.about]
    value = value_of(task, field, work)
    setting = f"{task.table or task.name}.{field}"
    before, after = build(work, task), build(work, task, f"{setting}={value}")
    moved = (after.content, after.summary) != (before.content, before.summary)
    rows.append(Row(task.name, setting, value, after.key != before.key, moved))
    if after.key == before.key or field in task.whole:
        assert after.key != before.key or field in task.bounds, f"{setting} is in no key, and no bound"
        words = ["--set", f"{setting}={value}", "--tolerance", 0, "--json"]
        again = run("verify", "--rebuild", 10_000, *work.selection, *words)
        assert again.code == 0, again.out
        assert again.json["rebuilt"]["equal"] == again.json["rebuilt"]["cells"]
    if after.key == before.key:
        return
    listed = f"{task.name}.{field}" in ONLY_KEYS
    if not moved:
        assert listed, f"{setting} = {value} computes {task.name} anew, to the same bytes"
    else:
        assert not listed, f"{setting} moves the bytes of {task.name}: take it off the list"


def test_print_the_table(rows):
    """After all the others."""
    assert {row.setting for row in rows} == {
        f"{task.table or task.name}.{field}" for task, field in OWN if task.name not in OF_ONE_TEXT
    } - set(ELSEWHERE)
    print("\n| phase | setting | tried | moves keys | moves bytes | why not |\n|---|---|---|---|---|---|")
    for row in rows:
        key, moved = ("yes" if each else "no" for each in (row.key, row.bytes))
        why = ONLY_KEYS.get(f"{row.phase}.{row.setting.partition('.')[2]}", "")
        print(f"| {row.phase} | `{row.setting}` | `{row.value}` | {key} | {moved} | {why} |")
    both = {row.setting for row in rows if row.key and row.bytes}
    print(f"{len({row.setting for row in rows})} settings; {len(both)} move keys and bytes of a phase")
    assert set(SETTINGS.tables) >= {row.setting.partition(".")[0] for row in rows}
