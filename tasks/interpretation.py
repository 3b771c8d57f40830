"""Phase `interpretation`: what each active feature of a behaviour goes with, and which tokens it promotes.

Each feature is compared over two kinds of observations (`tasks/parts/contexts.py`): over contexts, with the
token there, the token before and the position; over prompts, with every label, by the largest activation
among the prompt's kept positions. Effect size is the rank-biserial correlation, p the Mann–Whitney test's, q
after Benjamini and Hochberg over all tests of the phase.

Sources: `circuitstore.statistics`, `circuitstore.models.lens`; labels from top activations and their contexts
as in *On the Biology of a Large Language Model* (Anthropic, 2025), but by a stated rule.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import xarray as xr

from circuitstore.models.lens import extreme_tokens
from circuitstore.statistics.false_discovery import benjamini_hochberg
from circuitstore.statistics.rank_tests import mann_whitney, rank_biserial
from tasks.parts.contexts import CONTEXT, CONTROL, PROMPT, Category, Contexts, categories

UNLABELLED = "unlabelled"


def interpretation(cells, config, prompts, features, model, transcoders):
    """Yield one dataset. A `unit` is a feature active in some prompt, sorted by layer, then feature.

    layer, feature, active_prompts (unit,) int32; mean_activation, max_activation (unit,) float32: of the
    largest activation of each prompt, the mean over the prompts where there is one. top_prompt (unit, top)
    ids of the prompts with the largest activation, largest first, "" where fewer are active; top_position
    int32 of its peak, from the end (-1 is the last token), 0 for none; top_token int32; top_activation
    float32, NaN for none. category (category,) text, unique; category_level ("context" or "prompt"),
    category_name, category_value (category,) text; category_size (category,) int32, observations in it; all
    with at least `min_prompts` observations inside and outside. effect float32, p, q float64 (unit,
    category): every test; NaN for units active in fewer than `min_prompts` prompts. label (unit,) text;
    confidence, label_effect, label_coverage float32, label_q float64, label_category (unit,) int32: of the
    dominant pattern, see `_dominant`; 0, NaN, NaN, NaN and -1 where none is significant. promoted_token,
    suppressed_token (unit, token_rank) int32, promoted_value, suppressed_value float32: see `extreme_tokens`.
    token (token,) int32, token_text (token,): every token id that occurs above; -1 is "".
    """
    rows = {str(coords["prompt"]): row for coords, row in prompts.all(cells[0])}
    layers = sorted(features.all(cells[0]), key=lambda pair: (pair[0]["layer"], str(pair[0]["prompt"])))
    kept = {str(coords["prompt"]): cell.sizes["row"] - 1 for coords, cell in layers}
    contexts = Contexts.of(rows, kept)
    decoded: dict[int, str] = {-1: ""}

    def decode(token: int) -> str:
        return decoded.setdefault(token, model.tokenizer.decode([token]) if token >= 0 else "")

    found = categories(rows, contexts, config.min_prompts, decode)
    parts = []
    for layer, group in groupby(layers, key=lambda pair: pair[0]["layer"]):  # one layer is dense at a time
        active, values = _by_context([cell for _, cell in group], contexts)
        by_prompt, peaks = _by_prompt(values, contexts)
        part = {
            "layer": np.full(len(active), layer, dtype=np.int32),
            "feature": active,
            **_activity(by_prompt),
            **_top(by_prompt, peaks, contexts, config.top_prompts),
            **_tests(values, by_prompt, found, config.min_prompts),
        }
        tokens = extreme_tokens(model, transcoders.layer(layer).decoder_rows(active), config.top_tokens)
        part.update(promoted_token=tokens.promoted, promoted_value=tokens.promoted_value)
        part.update(suppressed_token=tokens.suppressed, suppressed_value=tokens.suppressed_value)
        parts.append(part)
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    arrays["q"] = benjamini_hochberg(arrays["p"])
    arrays.update(_dominant(arrays, arrays.pop("coverage"), found, config))
    yield cells[0], _dataset(arrays, found, decode)


def summary(cells, config):
    """Units, tests and how many of them are significant at `fdr`, and the share of units that have a label."""
    ((_, cell),) = cells
    tested = np.isfinite(cell.p.values)
    return {
        "units": cell.sizes["unit"],
        "categories": cell.sizes["category"],
        "tests": int(tested.sum()),
        "significant": int((cell.q.values[tested] <= config.fdr).sum()),
        "labelled": float((cell.label.values != UNLABELLED).mean()) if cell.sizes["unit"] else 0.0,
    }


def _by_context(cells: list[xr.Dataset], contexts: Contexts) -> tuple[np.ndarray, np.ndarray]:
    """A layer's active features (unit,) int32 ascending, and their activations (unit, context) float32.

    Prompts that share a context have the same activation there, up to the last bits; the largest counts, so
    that rounding, which goes with a prompt's length, orders nothing.
    """
    entries = []
    for places, cell in zip(contexts.place, cells, strict=True):
        pointer = cell["activation.pointer"].values
        row = np.repeat(np.arange(len(pointer) - 1) - (len(pointer) - 1), np.diff(pointer))
        entries.append((cell["activation.feature"].values, places[row], cell["activation.value"].values))
    feature, context, value = (np.concatenate(column) for column in zip(*entries, strict=True))
    active, unit = np.unique(feature, return_inverse=True)
    values = np.zeros((len(active), len(contexts.token)), dtype=np.float32)
    np.maximum.at(values, (unit, context), value)
    return active.astype(np.int32), values


def _by_prompt(values: np.ndarray, contexts: Contexts) -> tuple[np.ndarray, np.ndarray]:
    """The largest activation of each prompt (unit, prompt) float32, and its position from the end (unit,
    prompt) int32.
    """
    padded = np.concatenate(
        [values, np.full((len(values), 1), -1, dtype=np.float32)], axis=1
    )  # of a place without context
    placed = padded[:, contexts.place]  # (unit, prompt, position)
    peak = placed.argmax(2)
    return np.take_along_axis(placed, peak[..., None], 2)[..., 0], (peak - placed.shape[2]).astype(np.int32)


def _activity(by_prompt: np.ndarray) -> dict[str, np.ndarray]:
    active = (by_prompt > 0).sum(1)
    mean = by_prompt.sum(1, dtype=np.float64) / np.maximum(active, 1)
    return {
        "active_prompts": active.astype(np.int32),
        "mean_activation": mean.astype(np.float32),
        "max_activation": by_prompt.max(1, initial=0),
    }


def _top(by_prompt: np.ndarray, peaks: np.ndarray, contexts: Contexts, count: int) -> dict[str, np.ndarray]:
    """The prompts with the largest activation; equal ones in order of their ids."""
    order = np.argsort(-by_prompt, axis=1, kind="stable")[:, :count]
    order = np.pad(order, ((0, 0), (0, count - order.shape[1])))
    value, peak = (np.take_along_axis(array, order, 1) for array in (by_prompt, peaks))
    there = (value > 0) & (np.arange(count) < by_prompt.shape[1])
    token = contexts.token[contexts.place[order, peak]]
    return {
        "top_prompt": np.where(there, np.array(contexts.prompts)[order], ""),
        "top_position": np.where(there, peak, 0).astype(np.int32),
        "top_token": np.where(there, token, -1).astype(np.int32),
        "top_activation": np.where(there, value, np.nan).astype(np.float32),
    }


def _tests(
    values: np.ndarray, by_prompt: np.ndarray, found: list[Category], least: int
) -> dict[str, np.ndarray]:
    """effect float32, p float64 and coverage float32, each (unit, category).

    coverage: which share of a feature's summed activation, over contexts or over prompts, lies in the
    category.
    """
    shape = (len(values), len(found))
    tests = {"effect": np.full(shape, np.nan, dtype=np.float32), "p": np.full(shape, np.nan)}
    tests["coverage"] = np.full(shape, np.nan, dtype=np.float32)
    tested = np.flatnonzero((by_prompt > 0).sum(1) >= least)
    for level, observed in ((CONTEXT, values[tested]), (PROMPT, by_prompt[tested])):
        columns = np.array([i for i, category in enumerate(found) if category.level == level], dtype=np.int64)
        if len(columns) and len(tested):
            where, members = np.ix_(tested, columns), np.stack([found[i].members for i in columns])
            tests["effect"][where] = rank_biserial(observed, members)
            tests["p"][where] = mann_whitney(observed, members)
            tests["coverage"][where] = (observed.astype(np.float64) @ members.T) / observed.sum(
                1, dtype=np.float64
            )[:, None]
    return tests


def _dominant(
    arrays: dict[str, np.ndarray], coverage: np.ndarray, found: list[Category], config
) -> dict[str, np.ndarray]:
    """The pattern that best accounts for each feature, and the label and confidence that it gives.

    confidence = effect · coverage of the category for which this product is largest, among those that the
    feature is significantly (q <= `fdr`) *more* active in; ties go to contexts before prompts. It is in [0,
    1]: 1 means that the feature is active in all observations of the category more than in any other, and
    nowhere else; a category too narrow for the feature has little coverage, one too wide a small effect. The
    label is given from a confidence of `label_confidence`.
    """
    eligible = (
        (arrays["q"] <= config.fdr)
        & (arrays["effect"] > 0)
        & np.array([category.name != CONTROL for category in found])
    )
    score = np.where(eligible, arrays["effect"] * coverage, 0)
    best = score.argmax(1) if found else np.zeros(len(score), dtype=np.int64)
    units = np.arange(len(score))
    confidence = score[units, best] if found else np.zeros(len(score))
    chosen = confidence > 0

    def of_best(table: np.ndarray) -> np.ndarray:
        return np.where(chosen, table[units, best], np.nan) if found else np.full(len(score), np.nan)

    effect = of_best(arrays["effect"])
    labels = [
        f"{found[best[i]].text} (r={effect[i]:.2f})"
        if chosen[i] and confidence[i] >= config.label_confidence
        else UNLABELLED
        for i in units
    ]
    return {
        "label": np.array(labels, dtype=str),
        "confidence": confidence.astype(np.float32),
        "label_category": np.where(chosen, best, -1).astype(np.int32),
        "label_effect": effect.astype(np.float32),
        "label_coverage": of_best(coverage).astype(np.float32),
        "label_q": of_best(arrays["q"]),
    }


def _dataset(arrays: dict[str, np.ndarray], found: list[Category], decode) -> xr.Dataset:
    second = {
        "top": "top",
        "promoted": "token_rank",
        "suppressed": "token_rank",
        "effect": "category",
        "p": "category",
        "q": "category",
    }
    dims = {
        name: ("unit", second.get(name, second.get(name.split("_")[0], ""))) if array.ndim == 2 else ("unit",)
        for name, array in arrays.items()
    }
    tokens = [np.array([-1, *(category.token for category in found)])]
    tokens += [array.ravel() for name, array in arrays.items() if name.endswith("_token")]
    ids = np.unique(np.concatenate(tokens)).astype(np.int32)
    return xr.Dataset(
        {
            **{name: (dims[name], array) for name, array in arrays.items()},
            "category": ("category", np.array([category.text for category in found], dtype=str)),
            "category_level": ("category", np.array([category.level for category in found], dtype=str)),
            "category_name": ("category", np.array([category.name for category in found], dtype=str)),
            "category_value": ("category", np.array([category.value for category in found], dtype=str)),
            "category_size": (
                "category",
                np.array([category.members.sum() for category in found], dtype=np.int32),
            ),
            "token": ("token", ids),
            "token_text": ("token", np.array([decode(token) for token in ids.tolist()], dtype=str)),
        },
        attrs={"structure": "graph"},
    )
