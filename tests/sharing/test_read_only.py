"""A store that may only be read answers what it holds."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from faults import changes
from workspace import MODEL, TRANSCODERS, files

import circuitstore as cs
from circuitstore.errors import StoreError

TEXT = "the cat sat on"


def ask(store: Path, most: int):
    return cs.attribute(TEXT, model=MODEL, transcoders=TRANSCODERS, store=store, max_logits=most)


def test_an_answer_that_is_kept_is_given_though_its_name_cannot_move(tmp_path):
    """Two questions of one text share a name, which means the newer one; each is found by its key."""
    store = tmp_path / "store"
    first, second = ask(store, 2), ask(store, 3)
    before = files(store)
    with changes(store, fail_from=1, errno=errno.EROFS):
        again = [ask(store, 2), ask(store, 3)]
        with pytest.raises(StoreError, match="can be written"):
            ask(store, 4)
    assert [each.attrs["key"] for each in again] == [first.attrs["key"], second.attrs["key"]]
    assert again[0].identical(first) and again[1].identical(second)
    assert files(store) == before
    ask(store, 2)  # now the name moves
    assert files(store) != before


def test_a_store_below_and_one_of_my_own_above(tmp_path, monkeypatch):
    """What the one below holds is answered from there, and what it does not hold is kept above."""
    below, above = tmp_path / "below", tmp_path / "above"
    first = ask(below, 2)
    monkeypatch.setenv("CIRCUITSTORE_UPSTREAM", str(below))
    before = files(below)
    with changes(below, fail_from=1, errno=errno.EROFS):
        assert ask(above, 2).identical(first)
        ask(above, 3)
    assert files(below) == before
