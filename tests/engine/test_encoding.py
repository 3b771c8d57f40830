"""Encodings of plain data and of source code: distinct inputs never share one, on any version of Python."""

from __future__ import annotations

import struct
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythons import interpreters
from workspace import ROOT

from circuitstore.engine import fingerprint, trees
from circuitstore.storage import encoding

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
    assert typed(decode(encoding.encode(value))) == typed(value)


@given(PLAIN, PLAIN)
def test_different_values_have_different_encodings(one, other):
    """Two encodings are equal exactly when the values are; a tuple is a list, and the order of names in a
    dict does not count.
    """
    assert (encoding.encode(one) == encoding.encode(other)) == (typed(one) == typed(other))


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
    assert encoding.encode(pair[0]) != encoding.encode(pair[1])


def test_struct_is_encoded_as_the_dict_of_its_fields():
    """So that a key can be recomputed from the components in a record."""
    assert encoding.encode(Example(1, "x")) == encoding.encode({"a": "x", "b": 1})


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), {1: 2}, [complex(1)]], ids=["set", "object", "number as name", "complex"]
)
def test_what_has_no_canonical_order_is_refused(value):
    """Anything but plain data raises TypeError instead of being encoded by chance."""
    with pytest.raises(TypeError):
        encoding.encode(value)


def test_known_encodings_and_digests_stay():
    """Keys of stores that exist: these bytes may never change."""
    assert {known: encoding.encode(value) for known, value in KNOWN_ENCODINGS.items()} == {
        e: e for e in KNOWN_ENCODINGS
    }
    assert [(kind, value, encoding.digest(kind, value)) for kind, value, _ in KNOWN_DIGESTS] == KNOWN_DIGESTS


def test_known_source_hash_stays():
    """Comments, docstrings, quotes and layout are no part of a source's hash, and the hash of given code
    never changes.
    """
    plain = b"def f(x):\n    return [x, 'a']\n"
    dressed = (
        b'"""Module."""\n\n# comment\ndef f(x):\n    """Docstring."""\n'
        b'    return [\n        x,  # first\n        "a",\n    ]\n'
    )
    assert fingerprint.source_hash(plain) == fingerprint.source_hash(dressed) == PLAIN_SOURCE


OTHER_PYTHON = """
import ast, hashlib, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("trees", sys.argv[1])
trees = importlib.util.module_from_spec(spec)
spec.loader.exec_module(trees)
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        tree = trees.plain_tree(ast.parse(file.read()))
    print(hashlib.sha256(json.dumps(tree, default=repr).encode()).hexdigest())
"""
F_STRINGS = """
a = f"{x['b']}" 'c' f'{y!r:>{w}}d' "e"
b = f"{f'{z}'}{{}}"
c = rf"\\d{n:03d}" u"text" if (n := 3) else b"raw"
"""


def test_every_version_of_python_sees_the_same_code(tmp_path):
    """All our files, and f-strings of every kind, are encoded alike by Python 3.11, 3.12 and 3.13."""
    (tmp_path / "f_strings.py").write_text(F_STRINGS)
    paths = [str(tmp_path / "f_strings.py")]
    paths += [str(path) for top in ("circuitstore", "tasks") for path in sorted((ROOT / top).rglob("*.py"))]
    found = {}
    for python in {sys.executable, *interpreters()}:
        command = [python, "-c", OTHER_PYTHON, trees.__file__, *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:  # a shim of a version that is not installed ends in an error
            found[python] = done.stdout.split()
    assert sys.executable in found
    assert all(hashes == found[sys.executable] for hashes in found.values())
    assert len(set(found[sys.executable])) > 100


@pytest.mark.parametrize(
    "other",
    ["x = 2", "x = 1.0", "x = '1'", "x = b'1'", "x = True", "y = 1", "x = -1", "x = f'{1}'", "x: int = 1"],
)
def test_other_code_has_another_hash(other):
    """Every constant, name and form counts, with its type."""
    assert fingerprint.source_hash(b"x = 1") != fingerprint.source_hash(other.encode())
