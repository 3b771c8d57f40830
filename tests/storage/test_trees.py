"""Artifacts as trees: the same cells are the same pieces, a change writes few, hashes are as specified."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from forged import as_version_1

from circuitstore.engine.increment import align
from circuitstore.errors import DamageError
from circuitstore.storage.artifact import Artifact, listed, read_artifact, write_artifact
from circuitstore.storage.catalog import records
from circuitstore.storage.encoding import digest
from circuitstore.storage.key import artifact_key
from circuitstore.storage.layout import Store
from circuitstore.storage.leaf import Cell
from circuitstore.storage.records import Components, read_record, seal
from circuitstore.storage.tree import Kept, Tree, Writer, content_of

MADE_FROM = [Components(config={"number": number}) for number in (1, 2)]
KEY, NEW = (artifact_key("first", [("item",), None, False], each) for each in MADE_FROM)
SEED = 42


def cells_of(labels: list[int], edited: dict[int, int] | None = None) -> list[Cell]:
    """Cells with these labels; some have another content than usual."""
    edited = edited or {}
    return [
        Cell({"item": f"i{label}"}, digest("c", [label, edited.get(label, 0)]), digest("o", label // 64), at)
        for at, label in enumerate(labels)
    ]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store").create()


def artifact(
    store: Store, cells: list[Cell], key: str = KEY, parts: list | None = None, base: Tree | None = None
) -> Artifact:
    """Published cells."""
    tree = Writer(store, ["item"], store.artifact(key), base).write(cells if parts is None else parts)
    made_from = MADE_FROM[(KEY, NEW).index(key)]
    made = Artifact("first", "b", key, tree.content, ["item"], tree.count, made_from, tree)
    write_artifact(store, made)
    found = read_artifact(store, key)
    assert found is not None
    return found


def pieces(store: Store) -> set[str]:
    return {path for kind, path in records(store, []) if kind.name == "piece"}


def cut_slowly(cells: list[Cell]) -> list[list[list[Cell]]]:
    """Nodes of leaves of cells, by the words of store/README.md."""
    nodes: list[list[list[Cell]]] = [[[]]]
    for cell in cells:
        text = json.dumps(cell.coords, sort_keys=True, separators=(",", ":"))
        a, b = hashlib.sha256(text.encode()).digest()[:2]
        leaf = nodes[-1][-1]
        leaf.append(cell)
        if len(leaf) == 512 or (len(leaf) >= 128 and a < 2):
            count = sum(map(len, nodes[-1]))
            if count >= 8192 or (count >= 4096 and b < 64):
                nodes.append([])
            nodes[-1].append([])
    nodes = [[leaf for leaf in node if leaf] for node in nodes]
    return [node for node in nodes if node]


@pytest.mark.parametrize("count", [0, 1, 100, 4096, 30_000])
def test_pieces_and_content_are_as_specified(store, count):
    """Checked against the rules written out anew; up to 4,096 cells the content is that of version 1."""
    cells = cells_of(list(range(count)))
    made = artifact(store, cells)
    slow = cut_slowly(cells)
    assert [[ref.count for ref in made.table.refs(node)] for node in made.table.nodes] == [
        [len(leaf) for leaf in node] for node in slow
    ]
    contents = [
        digest("content", [[cell.coords, cell.content] for leaf in node for cell in leaf]) for node in slow
    ]
    whole = digest("content", [[cell.coords, cell.content] for cell in cells])
    assert made.content == content_of(cells)
    assert made.content == (whole if len(contents) < 2 else digest("contents", contents))
    assert made.cells == cells and made.count == count
    assert made.objects == list(dict.fromkeys(cell.object for cell in cells))
    assert made.coordinates("item") == [cell.coords["item"] for cell in cells]


def test_one_changed_cell_of_many_writes_one_leaf_and_one_node(store):
    """And at most 100 kB."""
    labels = list(range(30_000))
    artifact(store, cells_of(labels))
    before = pieces(store)
    artifact(store, cells_of(labels, {12_345: 1}), NEW)
    new = pieces(store) - before
    assert len(new) == 2
    assert sum(Path(path).stat().st_size for path in [*new, store.artifact(NEW)]) < 100_000


def edits(source: random.Random, labels: list[int]) -> tuple[list[int], set[int]]:
    """Some labels taken out, put in, moved, and some whose content changes."""
    labels = list(labels)
    for _ in range(source.randint(0, 4)):
        at, size = source.randrange(len(labels) + 1), source.choice([1, 1, 10, 700])
        kind = source.choice(["out", "in", "move", "back"])
        if kind == "in":
            labels[at:at] = [10**6 + source.randrange(10**9) for _ in range(size)]
        else:
            taken, labels[at : at + size] = labels[at : at + size], []
            to = {"out": None, "move": source.randrange(len(labels) + 1), "back": len(labels)}[kind]
            labels[to:to] = taken if to is not None else []
    changed = set(source.sample(labels, min(len(labels), source.randint(0, 3))))
    return labels, changed


def laid_anew(store: Store, base: Artifact, order: list[int]) -> Artifact:
    """The artifact of some of the cells of another, from what of it can be kept."""
    laid = align(base, ("item",), [(f"i{label}",) for label in order], [], lambda name: True)
    parts: list[Kept | Cell] = []
    at = 0
    for before, leaf in laid.kept:
        parts += [*(laid.old[f"i{order[i]}",] for i in laid.loose[at:before]), leaf]
        at = before
    return artifact(store, [], NEW, parts + [laid.old[f"i{order[i]}",] for i in laid.loose[at:]], base.table)


@pytest.mark.parametrize("left", [1, 20, 127])
def test_a_leaf_that_became_too_short_takes_in_the_next(store, tmp_path, left):
    """Though the next one is as it was, and could be kept."""
    old = list(range(5_000))
    base = artifact(store, cells_of(old))
    first, second, *_ = (ref.count for ref in base.table.every_ref())
    order = old[:first] + old[first + second - left :]
    made = laid_anew(store, base, order)
    assert [cell.coords["item"] for cell in made.cells] == [f"i{label}" for label in order]
    anew = artifact(Store(tmp_path / "other").create(), made.cells)
    assert (made.content, made.table.nodes) == (anew.content, anew.table.nodes)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_kept_of_an_artifact_gives_the_pieces_that_writing_all_anew_gives(store, tmp_path, seed):
    """After any edit: the same tree, and no cell is taken over that reads what changed."""
    from circuitstore.engine.increment import Touched

    source = random.Random(SEED + seed)
    old = list(range(source.choice([1, 100, 600, 9_000])))
    base = artifact(store, cells_of(old))
    new, changed = edits(source, old)
    cells = cells_of(new, dict.fromkeys(changed, 1))
    cells = [Cell(cell.coords, cell.content, cell.object, 7) for cell in cells]  # rows do not matter to keys
    order = [(f"i{label}",) for label in new]
    touched = Touched(("item",), {(f"i{label}",) for label in changed})
    laid = align(base, ("item",), order, [touched], lambda name: True)
    assert {(f"i{label}",) for label in changed}.isdisjoint(laid.old)
    known = {tuple(cell.coords.values()): cell for cell in base.cells}
    loose = [laid.old.get(order[at]) or cells[at] for at in laid.loose]
    parts: list[Kept | Cell] = []
    at = 0
    for before, leaf in laid.kept:
        parts += [*loose[at:before], leaf]
        at = before
    made = artifact(store, [], NEW, parts + loose[at:], base.table)
    expected = [
        known[label] if label in known and label not in touched.labels else cell
        for label, cell in zip(order, cells, strict=True)
    ]
    assert made.cells == expected
    anew = artifact(Store(tmp_path / "other").create(), expected)
    assert (made.content, made.table.nodes) == (anew.content, anew.table.nodes)
    if not changed and new == old:
        assert not laid.loose


def test_an_artifact_of_version_1_reads_as_the_tree_of_the_same_cells(store):
    """Cells, objects, coordinates, count and, up to 4,096 cells, the content."""
    new = artifact(store, cells_of(list(range(3000))))
    as_version_1(store, KEY)
    old = read_artifact(store, KEY)
    assert old is not None and type(old.table) is not type(new.table)
    for name in ("content", "count", "axes", "objects", "cells", "key", "phase"):
        assert getattr(old, name) == getattr(new, name)
    assert old.coordinates("item") == new.coordinates("item")
    assert listed("first", "b", ["item"], new.cells).content == new.content


def test_a_damaged_piece_is_written_anew(store):
    """By whoever writes the same cells next."""
    cells = cells_of(list(range(1000)))
    made = artifact(store, cells)
    path = Path(sorted(pieces(store))[0])
    path.write_bytes(path.read_bytes().replace(b'"sha256"', b'"sha255"'))
    with pytest.raises(DamageError, match=path.name):
        assert made.cells
    assert artifact(store, cells).cells == cells


@pytest.mark.parametrize("what", ["node", "leaf"])
def test_no_piece_counts_twice(store, what):
    """A small artifact that names one piece a million times would be a large one to read."""
    made = artifact(store, cells_of(list(range(1000))))
    path = Path(store.artifact(KEY))
    record = read_record(store, str(path), dict)
    if what == "node":
        record["nodes"] *= 2
    else:
        node = read_record(store, store.piece(made.table.nodes[0].name), dict)
        node["leaves"] *= 2
        raw = seal(node)
        record["nodes"][0][0] = json.loads(raw)["sha256"]
        record["nodes"][0][2] *= 2
        forged = Path(store.piece(record["nodes"][0][0]))
        forged.parent.mkdir(exist_ok=True)
        forged.write_bytes(raw)
    record["count"] *= 2
    path.write_bytes(seal(record))
    with pytest.raises(DamageError, match="that differ, got one twice"):
        found = read_artifact(store, KEY)
        assert found is not None and found.objects
