"""Keys: different inputs never share one, the same inputs always do, on any machine and in every later
version.
"""

from __future__ import annotations

import itertools
import os
import shutil
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace import MODEL, PIPELINE, ROOT, TRANSCODERS, Workspace

from circuitstore.engine import fingerprint, loading
from circuitstore.engine.planner import Planner, Step, artifact_key, content_of
from circuitstore.engine.task import Task
from circuitstore.errors import StaleCodeError
from circuitstore.memo import file_hash
from circuitstore.storage.artifact import Artifact, Cell
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components
from tasks import SETTINGS

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
KNOWN_ENCODINGS = {
    b"N": None,
    b"T": True,
    b"F": False,
    b"i\x02\0\0\0\0\0\0\0-7": -7,
    b"f\x14\0\0\0\0\0\0\x000x1.8000000000000p+0": 1.5,
    b"s\x02\0\0\0\0\0\0\0\xc3\xa9": "é",
    b"b\x01\0\0\0\0\0\0\0\xff": b"\xff",
    b"l\x0b\0\0\0\0\0\0\0Ni\x01\0\0\0\0\0\0\x001": [None, 1],
    b"d\x16\0\0\0\0\0\0\0s\x01\0\0\0\0\0\0\0aTs\x01\0\0\0\0\0\0\0bF": {"b": False, "a": True},
}
KNOWN_DIGESTS = [
    ("artifact", ["phase", [], {}, 0], "3ba85b35c6943465fe61cdcb8cc7877d277ae84d5450d1053cce58a9789c2bd6"),
    (
        "cell",
        {"prompt": "plural-3fa92c1b", "layer": 3},
        "19f9ff13363cd93c28ec259b7be380159c7660a884b6cf041c6bce629d4c2026",
    ),
    (
        "cell",
        [1, 1.0, "1", b"1", True, None],
        "62dfef8b971d462f9eed85b8a27ce7d12e904caea21f615c125907341c5a3f2d",
    ),
]
PLAIN_SOURCE = "4a7bc15823d5ccda512161b2339f2f1714ca741c45bd5cf8dd3d8a49a2c6711f"
PLACE = {
    (section, field) for section in ("model", "transcoders") for field in ("path", "repo", "revision")
}  # in keys by content
NOT_EFFECTIVE = PLACE | {
    ("transcoders", "subfolder"),
    ("transcoders", "trained_on"),
    ("model", "device"),
    ("model", "threads"),
}
ANOTHER_TEXT = {("attribution", "memory"): "2GB", ("activations", "layers"): "0-1"}


class Example(msgspec.Struct):
    b: int
    a: str


def decode(data: bytes) -> object:
    """The value that an encoding stands for, read back without any knowledge of how it was written."""
    value, rest = _decode(data)
    assert rest == b""
    return value


def _decode(data: bytes) -> tuple[object, bytes]:
    tag, rest = data[:1], data[1:]
    if tag in (b"N", b"T", b"F"):
        return {b"N": None, b"T": True, b"F": False}[tag], rest
    (size,) = struct.unpack("<Q", rest[:8])
    body, rest = rest[8 : 8 + size], rest[8 + size :]
    if tag in (b"l", b"d"):
        items = []
        while body:
            item, body = _decode(body)
            items.append(item)
        return (items if tag == b"l" else dict(zip(items[::2], items[1::2], strict=True))), rest
    return {b"i": int, b"f": lambda text: float.fromhex(text.decode()), b"s": bytes.decode, b"b": bytes}[tag](
        body
    ), rest


def typed(value: object) -> object:
    """Plain data with every type spelled out, so that == tells 1 from 1.0 and True, and 0.0 from -0.0."""
    if isinstance(value, (list, tuple)):
        return ["list", *map(typed, value)]
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    return type(value).__name__, value.hex() if isinstance(value, float) else value


@given(PLAIN)
def test_an_encoding_stands_for_one_value(value):
    """Every plain value can be read back from its bytes alone, type included: so no two values share an
    encoding.
    """
    assert typed(decode(fingerprint.encode(value))) == typed(value)


@given(PLAIN, PLAIN)
def test_different_values_have_different_encodings(one, other):
    """Two encodings are equal exactly when the values are; a tuple is a list, and the order of names in a
    dict does not count.
    """
    assert (fingerprint.encode(one) == fingerprint.encode(other)) == (typed(one) == typed(other))


@pytest.mark.parametrize(
    "pair",
    [
        (1, True),
        (1, 1.0),
        (0, False),
        (0.0, -0.0),
        ("1", 1),
        ("a", b"a"),
        ([], {}),
        ("", None),
        (["ab"], ["a", "b"]),
    ],
)
def test_values_that_python_confuses_have_different_encodings(pair):
    """Equal in Python, or equal as text, but not the same parameter."""
    assert fingerprint.encode(pair[0]) != fingerprint.encode(pair[1])


def test_struct_is_encoded_as_the_dict_of_its_fields():
    """So that a key can be recomputed from the components in a record."""
    assert fingerprint.encode(Example(1, "x")) == fingerprint.encode({"a": "x", "b": 1})


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), {1: 2}, [complex(1)]], ids=["set", "object", "number as name", "complex"]
)
def test_what_has_no_canonical_order_is_refused(value):
    """Anything but plain data raises TypeError instead of being encoded by chance."""
    with pytest.raises(TypeError):
        fingerprint.encode(value)


def test_known_encodings_and_digests_stay():
    """Keys of stores that exist: these bytes may never change."""
    assert {encoding: fingerprint.encode(value) for encoding, value in KNOWN_ENCODINGS.items()} == {
        e: e for e in KNOWN_ENCODINGS
    }
    assert [
        (kind, value, fingerprint.digest(kind, value)) for kind, value, _ in KNOWN_DIGESTS
    ] == KNOWN_DIGESTS


def test_known_source_hash_stays():
    """Comments, docstrings, quotes and layout are no part of a source's hash, and the hash of given code
    never changes.
    """
    plain = b"def f(x):\n    return [x, 'a']\n"
    dressed = b'"""Module."""\n\n# comment\ndef f(x):\n    """Docstring."""\n    return [\n        x,  # first\n        "a",\n    ]\n'
    assert fingerprint.source_hash(plain) == fingerprint.source_hash(dressed) == PLAIN_SOURCE


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
    return Artifact(
        task.name,
        "any",
        "0" * 64,
        content_of(cells),
        list(task.axes),
        len(cells),
        ["0" * 64],
        Components(),
        table=msgspec.Raw(msgspec.json.encode(cells)),
    )


def another(section: str, field: msgspec.structs.FieldInfo) -> str:
    """A valid value of a setting, other than its default, as --set takes it."""
    kind = msgspec.inspect.type_info(field.type)
    if isinstance(kind, msgspec.inspect.LiteralType):
        return next(value for value in kind.values if value != field.default)
    if isinstance(kind, msgspec.inspect.IntType):
        return str(field.default + 1)
    if isinstance(kind, msgspec.inspect.FloatType):
        return str(field.default / 2 + 0.01)
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
    ["model.device=cuda", "model.device=auto", "model.threads=3", "transcoders.trained_on=other/model"],
)
def test_where_it_is_computed_is_in_no_key(project, setting):
    """Device and threads are recorded with a result, but results are looked up without them; nor does it
    matter what is said of it.
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
        file.write(b"# told apart by what it says\nother: 1\n" if name.endswith(".yaml") else b"\n")
    before, after = planned(project), planned(Workspace.create(tmp_path / "other", **folders))
    assert {phase for phase in before if before[phase].key != after[phase].key} == {
        task.name for task in readers(resource)
    }


def test_every_part_of_a_key_counts():
    """An artifact's key differs when its phase, code, configuration, resources or upstream content differ."""
    task, other = PIPELINE.tasks[:2]
    keys = {artifact_key(task, Components()), artifact_key(other, Components())}
    keys |= {artifact_key(task, Components(**{part: {"x": 1}})) for part in Components.__struct_fields__}
    assert len(keys) == 6


def test_only_code_that_computes_is_in_a_key(project):
    """A key's code are modules of `tasks` and of the rooms of the library that compute.

    Never is it engine, storage, commands, settings or costs.
    """
    for step in planned(project).values():
        code = set(step.components.code)
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
