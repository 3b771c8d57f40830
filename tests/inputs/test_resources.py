"""The table of inputs: every loader is code in the key, and can be called by another process."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import pytest

from circuitstore.engine.fingerprint import Code
from circuitstore.engine.task import Resource
from circuitstore.memo import Memo
from circuitstore.storage.layout import Store
from tasks import PIPELINE, SETTINGS
from tasks.inputs import architecture
from tasks.inputs.places import Folder
from tasks.inputs.resources import resources
from tasks.settings.selection import Text, select, select_text

ROWS = '{"text": "The keys near the cabinet", "correct": " are", "incorrect": " is"}\n'


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, dict[str, Resource]]:
    """The inputs of a declared behaviour, of a user's own prompts, and of one text."""
    store = Store(tmp_path / "store")
    (tmp_path / "mine.jsonl").write_text(ROWS)
    selections = {
        "declared": select(SETTINGS, "tiny", ("plural",))[0],
        "own": select(SETTINGS, "tiny", prompts_file=str(tmp_path / "mine.jsonl"))[0],
        "text": select_text(SETTINGS, "tiny", None, Text(text="The keys", targets=(" are",))),
    }
    return {name: resources(selection, store) for name, selection in selections.items()}


def test_every_input_that_a_phase_needs_is_there(tables):
    """And no other."""
    needed = {name for task in PIPELINE.every for name in PIPELINE.resources_of(task)}
    assert [set(table) for table in tables.values()] == [needed] * 3


def test_a_loader_is_a_public_function_of_plain_arguments(tables):
    """Of a module of this folder. It can be sent to another process, and does the same there."""
    for table in tables.values():
        for name, resource in table.items():
            assert isinstance(resource.load, partial), name
            function = resource.load.func
            assert function.__module__.startswith("tasks.inputs."), name
            assert not function.__name__.startswith("_") and "<" not in function.__qualname__, name
            sent = pickle.loads(pickle.dumps(resource.load))
            assert (sent.func, repr(sent.args)) == (function, repr(resource.load.args)), name


def test_the_code_of_a_loader_is_in_the_key(tables, tmp_path):
    """Its own module and all it imports that computes, but not what only finds, downloads or stores files."""
    code = Code("tasks", Memo(str(tmp_path / "memo.json")))
    modules = {name: set(code.closure(*resource.code)) for name, resource in tables["declared"].items()}
    assert {"tasks.inputs.model", "tasks.inputs.tokenizer", "circuitstore.models.load"} <= modules["model"]
    assert "tasks.inputs.model" not in modules["tokenizer"] | modules["transcoders"]
    assert {"tasks.inputs.transcoders", "circuitstore.transcoders.formats"} <= modules["transcoders"]
    assert "tasks.parts.layers" in modules["transcoders"]
    assert {"tasks.behaviours.plural", "tasks.behaviours"} <= modules["behaviour"]
    assert modules["texts"] == {"tasks.inputs", "tasks.inputs.texts"}
    everything = set().union(*modules.values())
    assert everything.isdisjoint({"tasks.inputs.places", "tasks.inputs.resources", "tasks.inputs.trained_on"})
    assert not [name for name in everything if name.startswith(("tasks.settings", "circuitstore.hub"))]


def test_own_prompts_are_what_they_say(tables, tmp_path):
    """Not how the file is laid out. What is loaded is what was identified, whatever becomes of the file."""
    resource, path = tables["own"]["behaviour"], tmp_path / "mine.jsonl"
    before, loaded = resource.identity(), resource.load()
    path.write_text("\n" + ROWS.replace(": ", ":").replace("\n", "\r\n"))
    assert resource.identity() == before
    path.write_text(ROWS.replace("cabinet", "cabinets"))
    assert resource.identity() != before
    assert [row.text for row in loaded(None, None)] == ["The keys near the cabinet"]


def test_a_text_is_explained_with_all_layers(tables):
    """A behaviour is explained with those that the profile keeps."""
    assert tables["text"]["transcoders"].part() is None
    assert tables["declared"]["transcoders"].part() == [0, 1, 2, 3, 4, 5]


def test_what_a_model_is_stands_in_its_config(tables, tmp_path):
    """Its architecture by the name that transformers gives it, or by its type, and its size."""
    assert tables["declared"]["architecture"].load() == {"name": "Qwen3", "layers": 6, "d_model": 128}
    (tmp_path / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8}')
    folder = Folder(str(tmp_path), Store(tmp_path / "store"))
    assert architecture.identity(folder) == {"name": "llama", "layers": 2, "d_model": 8}
    assert architecture.sources(folder).consulted == [str(tmp_path / "config.json")]


def test_where_to_compute_is_in_no_identity(tables):
    """A device and a number of threads are recorded with results, and results are found without them."""
    assert tables["declared"]["device"].identity() == {}
    model = tables["declared"]["model"].identity()
    assert set(model) == {"files", "layers", "dtype"} and "tokenizer.json" in model["files"]
