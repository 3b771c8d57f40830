"""A configuration that is odd, hostile or too large is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace import MODEL, TRANSCODERS, Workspace, one_line_error

from circuitstore.errors import ModelError
from circuitstore.models import config
from circuitstore.models.config import parse_config, parse_yaml

ALIASES = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
ODD = {
    "a date that is none": "date: 2020-13-45",
    "a date": "date: 2020-12-05",
    "a number that is none": "layers: !!int x",
    "a float that is none": "x: !!float x",
    "a binary that is none": "x: !!binary é",
    "a tag of Python": "x: !!python/object/apply:os.system [echo]",
    "aliases nine deep": ALIASES,
    "an alias to itself": "a: &a [*a]",
    "nested deep": "x: " + "[" * 5000 + "]" * 5000,
    "mappings nested deep": "{x: " * 3000 + "1" + "}" * 3000,
    "a key that is a list": "? [a]\n: b",
    "a key that is nothing": "~: b",
    "a key that is a truth": "true: b",
    "an integer of a thousand digits": "x: " + "9" * 1000,
    "an integer of ten thousand digits": "x: " + "9" * 10_000,
    "half a character": 'x: "\\ud800"',
    "not a number": "x: .nan",
    "infinity": "x: -.inf",
    "a set": "x: !!set {a, b}",
    "a list": "[a, b]",
    "a text": "a",
    "no YAML": "a: [",
    "a tab": "a:\n\t- b",
    "a control character": "a: \x01",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_yaml_that_is_odd(text):
    """The error names the file, in one line that is not long."""
    with pytest.raises(ModelError, match=r"^config\.yaml: expected ") as caught:
        parse_yaml(text.encode(), "config.yaml")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 400


@pytest.mark.parametrize("parse", [parse_yaml, parse_config])
def test_what_is_too_large_is_not_parsed(parse, monkeypatch):
    """Whatever it holds."""
    monkeypatch.setattr(config, "MOST_BYTES", 100)
    with pytest.raises(ModelError, match="at most"):
        parse(b'{"a": "' + b"x" * 100 + b'"}', "config")


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))))
def test_random_bytes_are_a_mapping_or_refused(source):
    """By both readers, and what they give is JSON."""
    for parse in (parse_yaml, parse_config):
        try:
            json.dumps(parse(source, "config"), allow_nan=False).encode()
        except ModelError as error:
            assert str(error).startswith("config: ")


@pytest.mark.parametrize("field", ["model_type", "num_hidden_layers", "hidden_size"])
@pytest.mark.parametrize("value", [{}, [], True, None, "", "x", -1, 0, 1.5, 10**12], ids=repr)
def test_a_model_whose_config_is_odd(tmp_path, field, value):
    """One line, before anything is written."""
    model = Path(shutil.copytree(MODEL, tmp_path / "model"))
    content = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**content, field: value}))
    workspace = Workspace.create(tmp_path / "work", model, TRANSCODERS)
    one_line_error(workspace.build(), code=1)
    assert not workspace.store.exists()
