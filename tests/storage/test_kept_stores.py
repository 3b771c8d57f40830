"""A store of each format version, made by the code of its time, opens for ever.

These files are never made again (`tests/support/kept_store.py`).
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from kept_store import BATCH, ITEMS, VERSIONS, kept
from workspace import PHASES, ROOT, files

import circuitstore as cs
from bench.plain_phases import Items, build_plain
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import ObjectReader
from circuitstore.storage.refs import Name, named, names
from circuitstore.storage.verify import verify

CONTENTS = {
    "small/mine/prompts": "1045252ae586d25fa0f1ee5a001e68c4b1c9a66f606275cc6b29930d8ba717c3",
    "small/mine/baseline": "8f921fba442ef6a00a21280a6aa99b73f93f7b3bb56d98e34b99fe262d2e3682",
    "small/mine/activations": "c56c6d18909b2c220c8e58742f9f7983e79c67fa432b5d04af9ca99dcbe84857",
    "small/mine/features": "3aa4edd79a34b173eadb903cb75f892a242697a16f79df675fd9bdbd12dc4d12",
    "small/mine/attribution": "0cf710cc09a22d0418cbf819f69017cf50d432d95eed1e3054bd25476fc71f77",
    "plain/plain/first": "bd02245b11805b7217d48322a0c8fd33634b698a8ea0101158c5327d50d21b5b",
    "plain/plain/second": "c36b19a33bb24e74a4873dbb19f126fb0db05b75ae8607fd5eef8cc833d4646b",
}


@pytest.fixture(params=VERSIONS)
def store(request, tmp_path) -> Path:
    """The store of a version; nobody may write to it."""
    found = kept(request.param, tmp_path)
    assert json.loads((found / "format.json").read_text())["version"] == request.param
    return found


def test_every_result_is_read_and_none_is_damaged(store):
    """Reading changes nothing."""
    before, opened = files(store), Store(store).check()
    assert {str(name): named(opened, name).content for name in names(opened)} == CONTENTS
    assert verify(opened, deep=True).damaged == []
    for phase in PHASES:
        dataset = cs.open(phase, behaviour="mine", store=store, profile="small").load()
        assert len(dataset.children if phase == "attribution" else dataset.data_vars)
    first = cs.open("first", behaviour="plain", store=store, profile="plain")
    assert first.number.values.tolist() == list(range(ITEMS))
    assert files(store) == before


def computed(folder: Path, store: Path, items: Items) -> list[int]:
    """Build the plain phases; how many cells of each were computed."""
    return [done.computed for done in build_plain(folder / "source", store, items, BATCH).values()]


def test_a_build_finds_what_is_there(store, tmp_path):
    """All of it when nothing changed, all but one when one item did; that build makes it version 2."""
    before = files(store)
    assert computed(tmp_path, store, Items(ITEMS)) == [0, 0] and files(store) == before
    assert computed(tmp_path, store, Items(ITEMS, (7,))) == [1, 1]
    assert computed(tmp_path, store, Items(ITEMS)) == [0, 0]
    assert json.loads((store / "format.json").read_text())["version"] == 2
    assert verify(Store(store)).damaged == []


def independent(store: Path, name: Name) -> int:
    """Compare every array of a result with what `examples/read_store.py` reads; how many there are."""
    reader = runpy.run_path(str(ROOT / "examples" / "read_store.py"))
    opened, count = Store(store), 0
    ref = reader["record"](Path(opened.ref(*name)))
    found = list(reader["cells"](store, reader["record"](Path(opened.artifact(ref["artifact"])))))
    expected = named(opened, name).cells
    assert found == [(cell.coords, cell.content, cell.object, cell.row) for cell in expected]
    for _, _, object_id, row in found:
        import zarr

        group = zarr.open_group(opened.object(object_id), mode="r")
        values = {each: (dims, array) for each, dims, array in reader["variables"](group, row)}
        cell = ObjectReader(opened, object_id).cell(row)
        assert values.keys() == set(map(str, cell.variables))
        for each, (dims, array) in values.items():
            theirs = cell[each]
            assert dims == theirs.dims and array.shape == theirs.shape
            if theirs.attrs.get("encoding") == "bfloat16":
                assert array.view(np.uint32).tolist() == (theirs.values.astype(np.uint32) << 16).tolist()
            else:
                equal_nan = array.dtype.kind == "f"
                assert np.array_equal(array.astype(theirs.dtype), theirs.values, equal_nan=equal_nan)
            count += 1
    return count


def test_another_reader_reads_the_same(store):
    """Written from `store/README.md` alone."""
    assert all(independent(store, name) for name in names(Store(store)))


def test_another_reader_reads_every_phase(built):
    """Of a store in which every phase is built."""
    from workspace import PIPELINE

    found = {name.phase: independent(built.store, name) for name in names(Store(built.store))}
    assert found.keys() >= {task.name for task in PIPELINE.tasks} and all(found.values())
