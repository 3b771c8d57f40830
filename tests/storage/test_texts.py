"""Text comes back as it was, or is refused before anything is written."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace import prompt

import circuitstore as cs
from circuitstore.errors import StoreError
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader, write_object
from circuitstore.texts import text_array


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8") | st.just("\0"), max_size=4), max_size=4))
def test_any_text_comes_back(tmp_path_factory, texts):
    """NULs at the end included, which NumPy's arrays of fixed width drop."""
    store = Store(tmp_path_factory.mktemp("texts") / "store").create()
    cell = xr.Dataset({"text": ("n", text_array(texts)), "other": ("m", text_array(["plain"]))})
    read = ObjectReader(store, write_object(store, [({"prompt": "a"}, cell)]).object).cell(0)
    assert read.text.values.tolist() == texts
    assert read.other.dtype.kind == "U"


def test_half_a_character_is_refused(tmp_path):
    """A lone surrogate cannot be written; the error shows it, and nothing is stored."""
    store = Store(tmp_path / "store").create()
    with pytest.raises(StoreError, match="expected Unicode text"):
        write_object(store, [({"prompt": "a"}, xr.Dataset({"text": ((), np.array("x\ud800"))}))])
    assert not list((tmp_path / "store" / "objects").rglob("MANIFEST.json"))


def test_a_prompt_that_ends_in_nul(workspace):
    """Its text, and the texts of its tokens, open as they were given."""
    workspace.write_prompts({"a": "the keys\0", "b": "the dog"})
    assert workspace.build().code == 0
    opened = cs.open("prompts", behaviour="mine", profile=str(workspace.profile), store=str(workspace.store))
    assert opened.text.values.tolist() == ["the keys\0", "the dog"]
    assert prompt("a", "the keys\0")["text"] == opened.text.values[0]
