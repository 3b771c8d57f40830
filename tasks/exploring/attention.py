"""What the store says of attention in a text: the heads of edges and scores of heads that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import named, names

HEADS, SCORES = "heads", "attention"
MOST = 30  # heads of an edge, and pairs of a score, in a record


def known(
    store: Store, profile: str, tokens: Sequence[int], resources: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """`heads` and `looks` of the text of these tokens, under a profile, a row for each edge and score.

    Only answers of the same model and transcoders count, whose identities are in `resources`. An edge has its
    name (`docs/attention.md`), `weight`, `direct`, `count` (of heads) and `loading`, the largest first. A
    score has layer, head, query, key, score, weight and `pairs`: share, and the names of both sources. Raises
    MissingError, DamageError.
    """
    edges = _answers(store, profile, HEADS, tokens, resources)
    scores = _answers(store, profile, SCORES, tokens, resources)
    return {
        "heads": [row for answer, _ in edges for row in _edges(answer)],
        "looks": [_score(answer, config) for answer, config in scores],
    }


def _answers(
    store: Store, profile: str, phase: str, tokens: Sequence[int], resources: Mapping[str, Any]
) -> Iterator[tuple[xr.Dataset, Mapping[str, Any]]]:
    """The newest answers of a phase to questions about these tokens, with the settings of each."""
    for name in names(store):
        if (name.profile, name.phase) != (profile, phase):
            continue
        artifact = named(store, name)
        made_from = artifact.components.resources
        if any(made_from.get(each) != resources.get(each) for each in ("model", "transcoders")):
            continue
        (cell,) = artifact.cells
        answer = reader(store, cell.object).cell(cell.row)
        if answer.input_tokens.values.tolist() == list(tokens):
            yield answer, artifact.components.config


def _edges(answer: xr.Dataset) -> Iterator[dict[str, Any]]:
    for at, name in enumerate(answer.edge_name.values.tolist()):
        loading = answer.loading.values[at]
        order = (-abs(loading)).ravel().argsort(kind="stable")[:MOST].tolist()
        places = [divmod(each, loading.shape[1]) for each in order]
        yield {
            "edge": str(name),
            "weight": float(answer.weight[at]),
            "direct": float(answer.direct[at]),
            "count": loading.size,
            "loading": [
                {"layer": layer, "head": head, "value": float(loading[layer, head])} for layer, head in places
            ],
        }


def _score(answer: xr.Dataset, config: Mapping[str, Any]) -> dict[str, Any]:
    columns = (answer[f"source_{part}"].values.tolist() for part in ("kind", "layer", "position", "feature"))
    sources = list(zip(*columns, strict=True))
    pairs = zip(*(answer[f"pair_{part}"].values.tolist() for part in ("share", "query", "key")), strict=True)
    return {
        "layer": config["layer"],
        "head": config["head"],
        "query": int(answer.query_position),
        "key": int(answer.key_position),
        "score": float(answer.score),
        "weight": float(answer.weight),
        "pairs": [[share, sources[query], sources[key]] for share, query, key in list(pairs)[:MOST]],
    }
