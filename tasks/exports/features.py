"""Features as pages for circuit-tracer's local viewer: a folder that its `features_dir` names.

`index.json.gz` says where each page lies, and `layer_N.bin` holds the pages of a layer one after the other,
each gzipped by itself, so that the viewer reads one by its range of bytes. A feature that is not active in
the behaviour's prompts has no page. Activations are known at the positions that the phase `features` keeps,
and are 0 in a page elsewhere.

Source: circuit-tracer 0.5.0, `frontend/local_server.py` and `init-feature-examples.js`.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from typing import Any

import msgspec
import numpy as np

import circuitstore.results.open as results
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name

BINS = 20  # of the histogram of activations
INDEX = "index.json.gz"
COLUMNS = ("top_prompt", "max_activation", "active_prompts")
Peaks = dict[tuple[int, int, str], dict[int, float]]  # (layer, feature, prompt) → position → activation


def files(
    store: Store, name: Name, artifact: Artifact, formats: tuple[str, ...], prompts: tuple[str, ...]
) -> dict[str, bytes]:
    """File name → bytes: the index, and the pages of each layer. Raises MissingError, DamageError."""
    where: dict[str, Any] = {"behaviour": name.behaviour, "store": store.root, "profile": name.profile}
    where["key"] = artifact.key  # with the prompts and features that it was made from
    units: Any = results.open(name.phase, **where)
    tokens, peaks = _tokens(where), _peaks(where)
    texts = dict(zip(units.token.values.tolist(), units.token_text.values.tolist(), strict=True))
    places = list(zip(units.layer.values.tolist(), units.feature.values.tolist(), strict=True))
    columns = {
        each: units[each].values.tolist() for each in ("top_prompt", "max_activation", "active_prompts")
    }
    named = {each: units[f"{each}_token"].values.tolist() for each in ("promoted", "suppressed")}
    pages: dict[int, dict[int, bytes]] = defaultdict(dict)
    for row, (layer, feature) in enumerate(places):
        shown = [prompt for prompt in columns["top_prompt"][row] if prompt]
        acts = [_row(peaks[layer, feature, prompt], len(tokens[prompt])) for prompt in shown]
        page = {
            "transcoder_id": f"{name.profile}-{layer}",
            "index": feature,
            "examples_quantiles": [
                {
                    "quantile_name": "Top activations",
                    "examples": [
                        _example(tokens[prompt], act) for prompt, act in zip(shown, acts, strict=True)
                    ],
                }
            ],
            "top_logits": [texts[token] for token in named["promoted"][row]],
            "bottom_logits": [texts[token] for token in named["suppressed"][row]],
            "act_min": 0.0,
            "act_max": columns["max_activation"][row],
            "quantile_values": [0.0, columns["max_activation"][row]],
            "histogram": _histogram(acts),
            "activation_frequency": columns["active_prompts"][row] / max(len(tokens), 1),
        }
        pages[layer][feature] = gzip.compress(msgspec.json.encode(page), mtime=0)
    return _written(pages)


def _written(pages: dict[int, dict[int, bytes]]) -> dict[str, bytes]:
    """The files of pages by layer and feature."""
    index, made = [], {}
    for layer in range(max(pages, default=-1) + 1):
        here = pages.get(layer, {})
        sizes = np.zeros(max(here, default=-1) + 1, dtype=np.int64)
        sizes[list(here)] = [len(page) for page in here.values()]
        index.append({"filename": f"layer_{layer}.bin", "offsets": [0, *np.cumsum(sizes).tolist()]})
        made[f"layer_{layer}.bin"] = b"".join(here[feature] for feature in sorted(here))
    return {INDEX: gzip.compress(msgspec.json.encode(index), mtime=0), **made}


def _tokens(where: dict[str, Any]) -> dict[str, list[str]]:
    """The texts of the tokens of each prompt."""
    opened: Any = results.open("prompts", **where)
    rows = zip(opened.prompt.values.tolist(), opened.tokens.values, opened.token_text.values, strict=True)
    return {prompt: texts[ids >= 0].tolist() for prompt, ids, texts in rows}


def _peaks(where: dict[str, Any]) -> Peaks:
    """Activations by feature and prompt; positions count from the end."""
    entries: Any = results.open("features", sparse=True, **where)
    found: Peaks = defaultdict(dict)
    names = ("layer", "feature", "prompt", "position", "activation")
    for layer, feature, prompt, position, value in zip(
        *(entries[each].values.tolist() for each in names), strict=True
    ):
        found[layer, feature, prompt][position] = value
    return found


def _row(peaks: dict[int, float], length: int) -> list[float]:
    """Activations at all positions of a prompt."""
    return [peaks.get(position - length, 0.0) for position in range(length)]


def _example(tokens: list[str], acts: list[float]) -> dict[str, Any]:
    largest = int(np.argmax(acts))
    return {
        "tokens": tokens,
        "tokens_acts_list": acts,
        "train_token_ind": largest,
        "is_repeated_datapoint": False,
    }


def _histogram(acts: list[list[float]]) -> list[int]:
    """How many activations above 0 lie in each of some equal bins."""
    values = [value for row in acts for value in row if value > 0]
    counts: list[int] = np.histogram(values, bins=BINS)[0].tolist()
    return counts
