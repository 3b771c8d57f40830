"""Phase `interpretation`: what active features of a behaviour go with, and which tokens they promote.

Each feature is compared over two kinds of observations (`tasks/parts/contexts.py`). Over contexts it is
compared with the token there, the token before and the position. Over prompts, the largest activation among
the kept positions is compared with every label. Effect size is the rank-biserial correlation; p is that of
the Mann–Whitney test; q is p after Benjamini and Hochberg over all tests of the phase. How a label is chosen
is said in `tasks/parts/dominant.py`.

Sources: `circuitstore.statistics`, `circuitstore.models.lens`. Labels come from top activations and their
contexts as in *On the Biology of a Large Language Model* (Anthropic, 2025), but by a stated rule.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from circuitstore.models.lens import extreme_tokens
from circuitstore.models.token_text import token_text
from circuitstore.statistics.false_discovery import benjamini_hochberg
from circuitstore.statistics.rank_tests import mann_whitney, rank_biserial
from circuitstore.texts import text_array
from circuitstore.transcoders.distinct import twins
from circuitstore.transcoders.sparse import SparseRows
from tasks.parts.active import ACTIVATION, n_kept
from tasks.parts.contexts import CONTEXT, PROMPT, Category, Contexts, categories, same_members
from tasks.parts.dominant import UNLABELLED, dominant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Interpretation

SECOND_DIM = {  # of arrays (unit, …), by name or by what stands before the first "_"
    "top": "top",
    "promoted": "token_rank",
    "suppressed": "token_rank",
    "effect": "category",
    "p": "category",
    "q": "category",
    "tied": "category",
}


def interpretation(
    cells: list[Coords],
    config: Interpretation,
    prompts: Upstream,
    features: Upstream,
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset. A `unit` is a feature that is active in some prompt, sorted by layer, then feature.

    Activity. The activation of a prompt is its largest; means are over the prompts that have one:

        layer, feature, active_prompts    (unit,) int32
        twin                              (unit,) int32: the first unit that reads and writes the same
                                          directions (`circuitstore.transcoders.distinct`), mostly itself
        mean_activation, max_activation   (unit,) float32
        top_prompt       (unit, top) text: ids of the prompts with the largest activation, largest first;
                         "" where fewer are active
        top_position     (unit, top) int32: of its peak, counted from the end: -1 is the last token; 0 for
                         none
        top_token        (unit, top) int32: the token there; -1 for none
        top_activation   (unit, top) float32; NaN for none

    Categories with at least `min_prompts` observations inside and as many outside:

        category                          (category,) text, unique
        category_level                    (category,) text: "context" or "prompt"
        category_name, category_value     (category,) text
        category_size                     (category,) int32: observations inside
        category_same                     (category,) int32: the first category of the level that holds the
                                          same observations, mostly itself; a design that makes two of them
                                          equal cannot tell what a feature stands for
        effect                            (unit, category) float32
        p, q                              (unit, category) float64; NaN, as the effect is, for units that are
                                          active in fewer than `min_prompts` prompts

    The dominant category of a feature; where none is significant, confidence is 0, label_category -1 and the
    other numbers are NaN:

        label                                        (unit,) text; "… or …" where categories tie
        tied                                         (unit, category) bool: all of the largest confidence
        confidence, label_effect, label_coverage     (unit,) float32
        label_q                                      (unit,) float64
        label_category                               (unit,) int32

    Tokens (`circuitstore.models.lens.extreme_tokens`):

        promoted_token, suppressed_token   (unit, token_rank) int32
        promoted_value, suppressed_value   (unit, token_rank) float32
        token, token_text                  (token,) int32 and text: every id that occurs above; -1 is ""
    """
    rows = {str(coords["prompt"]): row for coords, row in prompts.all(cells[0])}
    layers = sorted(features.all(cells[0]), key=lambda pair: (pair[0]["layer"], str(pair[0]["prompt"])))
    kept = {str(coords["prompt"]): n_kept(cell) for coords, cell in layers}
    contexts = Contexts.of(rows, kept)
    decoded: dict[int, str] = {-1: ""}

    def decode(token: int) -> str:
        return decoded.setdefault(token, token_text(model.tokenizer, token) if token >= 0 else "")

    tested = categories(rows, contexts, config.min_prompts, decode)
    parts: list[dict[str, np.ndarray]] = []
    for layer, group in groupby(layers, key=lambda pair: int(pair[0]["layer"])):  # one is dense at a time
        active, values = _by_context([cell for _, cell in group], contexts)
        by_prompt, peaks = _by_prompt(values, contexts)
        rows_of = transcoders.layer(layer)
        decoder = rows_of.decoder_rows(active)
        earlier = sum(len(part["layer"]) for part in parts)
        part = {
            "layer": np.full(len(active), layer, dtype=np.int32),
            "feature": active,
            "twin": (twins(rows_of.encoder_rows(active), decoder) + earlier).astype(np.int32),
            **_activity(by_prompt),
            **_top(by_prompt, peaks, contexts, config.top_prompts),
            **_tests(values, by_prompt, tested, config.min_prompts),
        }
        tokens = extreme_tokens(model, _added(model, transcoders, layer, active), config.top_tokens)
        part.update(promoted_token=tokens.promoted, promoted_value=tokens.promoted_value)
        part.update(suppressed_token=tokens.suppressed, suppressed_value=tokens.suppressed_value)
        parts.append(part)
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    arrays["q"] = benjamini_hochberg(arrays["p"])
    coverage = arrays.pop("coverage")
    promoted = _promoted(arrays["promoted_token"], tested, decode)
    arrays.update(dominant(arrays["effect"], arrays["q"], coverage, promoted, tested, config))
    yield cells[0], _dataset(arrays, tested, decode)


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Interpretation) -> dict[str, object]:
    """Numbers of units, distinct ones, categories, tests and tests significant at `fdr`; two shares.

    The shares are of labelled units, and of labelled units whose label names several categories.
    """
    ((_, cell),) = cells
    tested = np.isfinite(cell.p.values)
    labelled = cell.label.values != UNLABELLED
    values = np.array([value.strip() for value in cell.category_value.values.tolist()], dtype=object)
    tied = np.array([len(set(values[row])) > 1 for row in cell.tied.values[labelled]], dtype=bool)
    return {
        "units": cell.sizes["unit"],
        "distinct": len(np.unique(cell.twin.values)),
        "categories": cell.sizes["category"],
        "tests": int(tested.sum()),
        "significant": int((cell.q.values[tested] <= config.fdr).sum()),
        "labelled": float(labelled.mean()) if len(labelled) else 0.0,
        "tied": float(tied.mean()) if len(tied) else 0.0,
    }


def _by_context(cells: list[xr.Dataset], contexts: Contexts) -> tuple[np.ndarray, np.ndarray]:
    """The active features of a layer, (unit,) int32 ascending, and activations, (unit, context) float32.

    Prompts that share a context have the same activation there, up to the last bits. The largest counts, so
    that rounding, which depends on the length of the prompt, puts nothing in an order.
    """
    entries = []
    for of_position, cell in zip(contexts.index, cells, strict=True):
        rows = SparseRows.of(cell, ACTIVATION)
        entries.append((rows.feature, of_position[rows.position_from_end], rows.value))
    feature, context, value = (np.concatenate(column) for column in zip(*entries, strict=True))
    active, unit = np.unique(feature, return_inverse=True)
    values = np.zeros((len(active), len(contexts.token)), dtype=np.float32)
    np.maximum.at(values, (unit, context), value)
    return active.astype(np.int32), values


def _by_prompt(values: np.ndarray, contexts: Contexts) -> tuple[np.ndarray, np.ndarray]:
    """The largest activation of each prompt and its position, from activations (unit, context) float32.

    Returns (unit, prompt) float32, and (unit, prompt) int32 counted from the end.
    """
    none = np.full((len(values), 1), -1, dtype=np.float32)  # for positions without a context
    at_position = np.concatenate([values, none], axis=1)[:, contexts.index]  # (unit, prompt, position)
    peak = at_position.argmax(2)
    largest = np.take_along_axis(at_position, peak[..., None], 2)[..., 0]
    return largest, (peak - at_position.shape[2]).astype(np.int32)


def _activity(by_prompt: np.ndarray) -> dict[str, np.ndarray]:
    """In how many prompts each unit is active, and how much, from (unit, prompt) float32."""
    active = (by_prompt > 0).sum(1)
    mean = by_prompt.sum(1, dtype=np.float64) / np.maximum(active, 1)
    return {
        "active_prompts": active.astype(np.int32),
        "mean_activation": mean.astype(np.float32),
        "max_activation": by_prompt.max(1, initial=0),
    }


def _top(by_prompt: np.ndarray, peaks: np.ndarray, contexts: Contexts, count: int) -> dict[str, np.ndarray]:
    """The prompts with the largest activation; prompts with equal ones in order of their ids."""
    order = np.argsort(-by_prompt, axis=1, kind="stable")[:, :count]
    order = np.pad(order, ((0, 0), (0, count - order.shape[1])))
    value, peak = (np.take_along_axis(array, order, 1) for array in (by_prompt, peaks))
    there = (value > 0) & (np.arange(count) < by_prompt.shape[1])
    token = contexts.token[contexts.index[order, peak]]
    return {
        "top_prompt": np.where(there, np.array(contexts.prompts)[order], ""),
        "top_position": np.where(there, peak, 0).astype(np.int32),
        "top_token": np.where(there, token, -1).astype(np.int32),
        "top_activation": np.where(there, value, np.nan).astype(np.float32),
    }


def _tests(
    values: np.ndarray, by_prompt: np.ndarray, tested: list[Category], least: int
) -> dict[str, np.ndarray]:
    """Effect float32, p float64 and coverage float32 of every unit and category: (unit, category).

    Coverage is the share of a feature's summed activation, over contexts or over prompts, that lies in the
    category. Units that are active in fewer than `least` prompts are not tested.
    """
    shape = (len(values), len(tested))
    tests = {"effect": np.full(shape, np.nan, dtype=np.float32), "p": np.full(shape, np.nan)}
    tests["coverage"] = np.full(shape, np.nan, dtype=np.float32)
    units = np.flatnonzero((by_prompt > 0).sum(1) >= least)
    for level, observed in ((CONTEXT, values[units]), (PROMPT, by_prompt[units])):
        columns = np.flatnonzero([category.level == level for category in tested])
        if len(columns) and len(units):
            where, members = np.ix_(units, columns), np.stack([tested[i].members for i in columns])
            inside = observed.astype(np.float64) @ members.T
            tests["effect"][where] = rank_biserial(observed, members)
            tests["p"][where] = mann_whitney(observed, members)
            tests["coverage"][where] = inside / observed.sum(1, dtype=np.float64)[:, None]
    return tests


def _promoted(tokens: np.ndarray, tested: list[Category], decode: Callable[[int], str]) -> np.ndarray:
    """Whether a unit promotes the value of a category of prompts, blanks aside: (unit, category) bool."""
    texts = [{decode(token).strip() for token in row} for row in tokens.tolist()]
    values = [each.value.strip() if each.level == PROMPT else "" for each in tested]
    return np.array(
        [[value != "" and value in some for value in values] for some in texts], dtype=bool
    ).reshape(len(tokens), len(tested))


def _added(model: LanguageModel, transcoders: Transcoders, layer: int, active: np.ndarray) -> Tensor:
    """What features add to the residual stream, per unit of activation and of the scale of a norm after it.

    ``active`` (feature,) are ids of a layer. Returns (feature, d_model) float32.
    """
    rows, added = transcoders.layer(layer), None
    for to in transcoders.written_by(layer):
        written, block = rows.decoder_rows(active, to), model.parts.layers[to]
        if (norm := block.post_mlp_norm) is not None and transcoders.hooks.before(block) is not None:
            written = written * model.parts.gain(norm)
        added = written if added is None else added + written
    assert added is not None
    return added


def _dataset(
    arrays: dict[str, np.ndarray], tested: list[Category], decode: Callable[[int], str]
) -> xr.Dataset:
    """The dataset of the phase, from arrays (unit,) and (unit, …) by name."""
    dims = {
        name: ("unit", SECOND_DIM.get(name) or SECOND_DIM[name.split("_")[0]])
        if array.ndim == 2
        else ("unit",)
        for name, array in arrays.items()
    }
    tokens = [np.array([-1, *(category.token for category in tested)])]
    tokens += [array.ravel() for name, array in arrays.items() if name.endswith("_token")]
    ids = np.unique(np.concatenate(tokens)).astype(np.int32)
    texts = {
        "category": [category.text for category in tested],
        "category_level": [category.level for category in tested],
        "category_name": [category.name for category in tested],
        "category_value": [category.value for category in tested],
    }
    sizes = np.array([category.members.sum() for category in tested], dtype=np.int32)
    return xr.Dataset(
        {
            **{name: (dims[name], array) for name, array in arrays.items()},
            **{name: ("category", text_array(column)) for name, column in texts.items()},
            "category_size": ("category", sizes),
            "category_same": ("category", same_members(tested)),
            "token": ("token", ids),
            "token_text": ("token", text_array([decode(token) for token in ids.tolist()])),
        },
        attrs={"structure": "tree"},
    )
