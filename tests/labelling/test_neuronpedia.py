"""Explanations that Neuronpedia exports become labels, and what people said stays."""

from __future__ import annotations

import gzip
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from interpreted import Interpreted
from workspace import BEHAVIOUR, run

import circuitstore as cs
from circuitstore.errors import InputError
from circuitstore.storage.layout import Store
from circuitstore.storage.reviews import Review, Reviewed, write_review
from tasks.labelling.keeping import MACHINE, subject
from tasks.labelling.neuronpedia import import_labels, read_rows


@pytest.fixture
def about(interpreted):
    """The features of the behaviour, without labels before and after."""
    yield subject(BEHAVIOUR, interpreted.profile, interpreted.store)
    for path in Store(interpreted.store).root and reviews(interpreted):
        path.unlink()


def reviews(store: Interpreted) -> list:
    from pathlib import Path

    return sorted(Path(Store(store.store).path("inputs", "review")).rglob("*.json"))


def row(unit: tuple[int, int], text: str, **more: object) -> dict[str, object]:
    """One explanation, with fields that nobody reads."""
    layer, feature = unit
    known = {"modelId": "m", "layer": f"{layer}-transcoder-16k", "index": str(feature), "description": text}
    return known | {"explanationModelName": "gpt-4o-mini", "typeName": "oai_token-act-pair", "id": "x"} | more


def labels(store: Interpreted) -> dict[tuple[int, int], tuple[str, str, str]]:
    """What `cs.open` shows."""
    units = cs.open("interpretation", behaviour=BEHAVIOUR, store=store.store, profile=store.profile)
    names = ("layer", "feature", "reviewer_label", "reviewer", "reviewer_note")
    rows = zip(*(units[name].values.tolist() for name in names), strict=True)
    return {(layer, feature): (label, who, note) for layer, feature, label, who, note in rows if label}


def test_explanations_of_active_features_are_kept(about, interpreted, tmp_path):
    """From JSON lines that are compressed; the first of several counts; a person's label stays."""
    first, second, third = about.ids()[:3]
    spoken = Review(about.profile, about.behaviour, "Ada", 1, about.transcoders, [Reviewed(*third, "verbs")])
    write_review(about.store, spoken)
    rows = [
        row(first, " nouns \n"),
        row(first, "something else"),
        row(second, "plural", index=second[1], explanationModelName=None),
        row(third, "not this"),
        row((0, 999_999), "a feature that is not active"),
        row(first, "", layer=f"{first[0]}-b"),
    ]
    path = tmp_path / "batch-0.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    where = ("-b", BEHAVIOUR, "--store", interpreted.store, "--profile", interpreted.profile)
    outcome = run("review", "neuronpedia", path, *where)
    assert outcome.code == 0 and "2 labels" in outcome.err, outcome.err
    author, layer = MACHINE + "Neuronpedia", f"{first[0]}-transcoder-16k"
    assert labels(interpreted) == {
        first: ("nouns", author, f"{layer}, gpt-4o-mini, oai_token-act-pair"),
        second: ("plural", author, f"{second[0]}-transcoder-16k, oai_token-act-pair"),
        third: ("verbs", "Ada", ""),
    }
    again = run("review", "neuronpedia", path, *where)
    assert again.code == 0 and "nothing new" in again.err and len(reviews(interpreted)) == 2


def test_from_an_address(about, interpreted, tmp_path):
    """The list of the API, read over HTTP."""
    unit = about.ids()[4]
    (tmp_path / "export").write_text(json.dumps([row(unit, "from afar")]))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    options = {"behaviour": BEHAVIOUR, "profile": interpreted.profile, "store": interpreted.store}
    try:
        assert import_labels((f"{address}/export",), **options)[0] == 1
        with pytest.raises(InputError, match=r"/none: expected a file or address"):
            import_labels((f"{address}/none",), **options)
    finally:
        server.shutdown()
        server.server_close()
    assert labels(interpreted)[unit][0] == "from afar"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", "Neuronpedia exports"),
        (b'[{"layer": "3-x", "index": "1"}]', "description"),
        (b'[{"layer": "x-3", "index": "1", "description": "d"}]', "row 1: layer 'x-3'"),
        (b'{"layer": "3-x", "index": "-1", "description": "d"}', "index '-1'"),
        (b"\x1f\x8bbroken", "gzip"),
        ("[" * 100_000, "Neuronpedia exports"),
        ('{"layer": "3-x", "index": "\u0663", "description": "d"}', "row 1"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path, data, reason):
    """In one line, with the row; an empty file has no rows."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    if reason is None:
        assert read_rows(str(path)) == []
        return
    with pytest.raises(InputError, match=reason):
        read_rows(str(path))
