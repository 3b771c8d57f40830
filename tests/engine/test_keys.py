"""Keys: different inputs never share one, the same inputs always do, on any machine and in every later
version.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import msgspec
import pytest
from workspace import MODEL, PIPELINE, ROOT, TRANSCODERS, Workspace

from bench.plain_phases import Nothing
from circuitstore.engine import fingerprint, loading
from circuitstore.engine.code_of import code_of
from circuitstore.engine.fingerprint import Code
from circuitstore.engine.planner import Planner, Step
from circuitstore.engine.task import Task
from circuitstore.errors import InputError, StaleCodeError
from circuitstore.memo import Memo, file_hash
from circuitstore.storage.artifact import Artifact, Cell, listed
from circuitstore.storage.key import artifact_key
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components
from tasks import SETTINGS
from tasks.parts import layers

PLACE = {
    (section, field) for section in ("model", "transcoders") for field in ("path", "repo", "revision")
}  # in keys by content
NOT_EFFECTIVE = PLACE | {
    ("transcoders", "subfolder"),
    ("transcoders", "trained_on"),
    ("model", "device"),
    ("model", "threads"),
    ("attribution", "memory"),
}
ANOTHER_TEXT = {("activations", "layers"): "0-1", ("transcoders", "k"): "8"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Workspace:
    """A profile and prompts; nothing is built."""
    return Workspace.create(tmp_path_factory.mktemp("keys"))


def planned(project: Workspace, *settings: str) -> dict[str, Step]:
    """Phase → its step in an empty store, as it is planned when all phases above it gave the same content
    every time.
    """
    planner = Planner(PIPELINE, Store(project.root / "empty"))
    select = PIPELINE.serves.settings.select
    (selection,) = select(str(project.profile), (), str(project.prompts), settings, ())
    above = {task.name: some_output(task) for task in PIPELINE.tasks}
    steps = planner.steps(selection, PIPELINE.tasks)
    return {step.task.name: planner.complete(step, above) for step in steps}


def some_output(task: Task) -> Artifact:
    """An artifact of a phase, with two values along each axis."""
    values = itertools.product(
        *([(axis, value) for value in ([0, 1] if axis == "layer" else ["a", "b"])] for axis in task.axes)
    )
    cells = [
        Cell(dict(coords), fingerprint.digest("some", [task.name, dict(coords)]), "0" * 64, row)
        for row, coords in enumerate(values)
    ]
    return listed(task.name, "any", task.axes, cells)


def another(section: str, field: msgspec.structs.FieldInfo) -> str:
    """A valid value of a setting, other than its default, as --set takes it."""
    kind = msgspec.inspect.type_info(field.type)
    if isinstance(kind, msgspec.inspect.LiteralType):
        return next(value for value in kind.values if value != field.default)
    if isinstance(kind, msgspec.inspect.IntType):
        return str(field.default + (kind.multiple_of or 1))
    if isinstance(kind, msgspec.inspect.FloatType):
        return str((field.default + (1 if field.default > 1 else 0.02)) / 2)
    if isinstance(kind, msgspec.inspect.BoolType):
        return str(not field.default).lower()
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return str(list(field.default[1:]))
    return ANOTHER_TEXT[section, field.name]


def readers(section: str) -> list[Task]:
    """The phases that a table of the profile is read by: its own, or those that need the resource of its
    name.
    """
    names = {task.name for task in PIPELINE.tasks}
    return [
        task
        for task in PIPELINE.tasks
        if (task.table or task.name) == section or (section in task.needs and section not in names)
    ]


FIELDS = [
    (table, field) for table, section in SETTINGS.tables.items() for field in msgspec.structs.fields(section)
]
EFFECTIVE = [
    (section, field)
    for section, field in FIELDS
    if (section, field.name) not in NOT_EFFECTIVE and readers(section)
]


@pytest.mark.parametrize(
    ("section", "field"), EFFECTIVE, ids=[f"{section}.{field.name}" for section, field in EFFECTIVE]
)
def test_every_setting_is_in_the_keys_of_what_it_affects(project, section, field):
    """A phase whose setting differs has another key, and so has each of its cells unless the setting only
    chooses cells.
    """
    before, after = planned(project), planned(project, f"{section}.{field.name}={another(section, field)}")
    for task in readers(section):
        assert after[task.name].key != before[task.name].key
        shared = {cell.key for cell in after[task.name].cells} & {
            cell.key for cell in before[task.name].cells
        }
        assert bool(shared) == (field.name in task.whole)


def test_settings_of_different_values_never_share_a_key(project):
    """Of all profiles that differ in one setting, no two have the same key for a phase that reads either."""
    usual = {step.key for step in planned(project).values()}
    changed = []
    for section, field in EFFECTIVE:
        after = planned(project, f"{section}.{field.name}={another(section, field)}")
        changed += [step.key for step in after.values() if step.key not in usual]
    assert len(changed) == len(set(changed)) >= len(EFFECTIVE)


@pytest.mark.parametrize(
    "setting",
    [
        "model.device=cuda",
        "model.device=auto",
        "model.threads=3",
        "transcoders.trained_on=other/model",
        "attribution.memory=64GB",
    ],
)
def test_where_it_is_computed_is_in_no_key(project, setting):
    """Device and threads are recorded with a result, but results are looked up without them.

    Nor does it matter what is said of transcoders, or how much memory a graph may take.
    """
    assert {phase: step.key for phase, step in planned(project, setting).items()} == {
        phase: step.key for phase, step in planned(project).items()
    }


@pytest.mark.parametrize(
    ("resource", "name"),
    [("model", "model.safetensors"), ("transcoders", "layer_0.safetensors"), ("transcoders", "config.yaml")],
)
def test_other_weights_are_in_the_keys_of_what_reads_them(project, tmp_path, resource, name):
    """One changed byte of a weight file, or of a configuration, changes the keys of all phases that need it,
    and no others.
    """
    folders = {"model": MODEL, "transcoders": TRANSCODERS}
    folders[resource] = shutil.copytree(folders[resource], tmp_path / resource)
    with open(folders[resource] / name, "ab") as file:
        file.write(b"scan: another\n" if name.endswith(".yaml") else b"\n")
    before, after = planned(project), planned(Workspace.create(tmp_path / "other", **folders))
    assert {phase for phase in before if before[phase].key != after[phase].key} == {
        task.name for task in readers(resource)
    }


def key_of(task: Task, components: Components) -> str:
    return artifact_key(task.name, task.declared, components)


def test_every_part_of_a_key_counts():
    """An artifact's key differs when its phase, code, configuration, resources or upstream content differ."""
    task, other = PIPELINE.tasks[:2]
    keys = {key_of(task, Components()), key_of(other, Components())}
    keys |= {key_of(task, Components(**{part: {"x": 1}})) for part in Components.__struct_fields__}
    declared = ({"per": ("prompt",), "rows": None}, {"rows": "layer"}, {"summary": True})
    keys |= {key_of(msgspec.structs.replace(task, **fields), Components()) for fields in declared}
    assert len(keys) == 9


def test_only_code_that_computes_is_in_a_key(project):
    """A key's code are modules of `tasks` and of the rooms of the library that compute.

    Never is it engine, storage, commands, settings or costs.
    """
    for step in planned(project).values():
        code = set(step.components.code) - {"coordinates"}
        assert step.task.module("tasks") in code
        assert all(fingerprint.computes(module, "tasks") for module in code)
        rooms = {".".join(module.split(".")[:2]) for module in code}
        assert rooms.isdisjoint({"tasks", "tasks.settings", "tasks.costs", "tasks.exports"})
        assert not any(module.startswith(("circuitstore.engine", "circuitstore.storage")) for module in code)


STALE = """
import sys
from circuitstore.engine import loading
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "watched":
    loading.watch("stale_phases")
import stale_phases.phase
print(stale_phases.phase.VALUE)
"""


def value_of_phase(folder, how: str) -> str:
    command = [sys.executable, "-c", STALE, str(folder), how]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    }
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_edit_within_the_same_second_runs_the_new_code(tmp_path):
    """Python takes bytecode of the same time stamp and size for current; phases are loaded from their source
    all the same.
    """
    module = tmp_path / "stale_phases" / "phase.py"
    module.parent.mkdir()
    (module.parent / "__init__.py").touch()
    module.write_text("VALUE = 1\n")
    assert value_of_phase(tmp_path, "plain") == "1"
    stamp = module.stat().st_mtime_ns
    module.write_text("VALUE = 2\n")
    os.utime(module, ns=(stamp, stamp))
    assert value_of_phase(tmp_path, "plain") == "1", "this Python does not show the problem"
    assert value_of_phase(tmp_path, "watched") == "2"


def test_file_that_changes_again_at_once_is_hashed_again(tmp_path, monkeypatch):
    """A file's hash is remembered by its time stamp, but not before the stamp must differ at the next change:
    some file systems count in steps of two seconds.
    """
    path, memory, age, real = tmp_path / "weights", {}, 0.0, os.stat
    remembers = SimpleNamespace(get=memory.get, put=memory.__setitem__)

    def coarse(path):
        stamp = int(time.time() - age) // 2 * 2
        return SimpleNamespace(
            st_size=8,
            st_ino=1,
            st_mtime=stamp,
            st_ctime=stamp,
            st_mtime_ns=stamp * 10**9,
            st_ctime_ns=stamp * 10**9,
        )

    def hash_of(content: bytes) -> str:
        path.write_bytes(content)
        monkeypatch.setattr(os, "stat", coarse)
        found = file_hash(str(path), remembers)
        monkeypatch.setattr(os, "stat", real)
        return found

    assert hash_of(b"version1") != hash_of(b"version2")
    assert memory == {}
    age = 60.0
    assert hash_of(b"version3") in memory.values()


def test_code_in_memory_that_is_not_the_code_of_the_key_is_refused():
    """A process that has loaded other source than the key was made from raises instead of filing its results
    there.
    """
    import tasks.inputs.own_prompts as loaded

    with open(loaded.__file__, "rb") as file:
        current = fingerprint.source_hash(file.read())
    loading.check_loaded({"tasks.inputs.own_prompts": current})
    with pytest.raises(StaleCodeError, match="restart this process"):
        loading.check_loaded({"tasks.inputs.own_prompts": fingerprint.source_hash(b"EDITED = True")})


class Odd(msgspec.Struct, frozen=True):
    """Settings that say more than their values."""

    size: int = 1

    @property
    def double(self) -> int:
        return 2 * self.size


def code_with(**declared: object) -> dict[str, str]:
    """The code in the key of a phase `prompts` that is declared so."""
    task = Task("prompts", **{"config": Nothing, "needs": (), **declared})
    return code_of(Code("tasks", Memo()), task, None, {})


def test_settings_have_nothing_but_fields():
    """They are in keys by value, and their code is in none."""
    assert code_with()
    with pytest.raises(InputError, match=r"settings of phase prompts.*got Odd\.double"):
        code_with(config=Odd)


def test_which_function_chooses_cells_is_in_the_key():
    """By its module's code and by its name, so it must have one, in a module that a key covers."""
    chosen = code_with(per=("layer",), coordinates=layers.of_activations)
    assert chosen["coordinates"] == "tasks.parts.layers.of_activations"
    assert chosen["tasks.parts.layers"]
    with pytest.raises(InputError, match="expected a function of a module, got <lambda>"):
        code_with(per=("layer",), coordinates=replaced(layers.of_activations, "<lambda>"))
    with pytest.raises(InputError, match=r"coordinates= of the Task of prompts.*got tests"):
        code_with(per=("layer",), coordinates=code_with)


def replaced(function: Callable[..., object], name: str) -> Callable[..., object]:
    """A function of the same module by another name."""

    def other(*arguments: object) -> object:
        return function(*arguments)

    other.__module__, other.__qualname__ = function.__module__, name
    return other
