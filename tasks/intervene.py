"""Phase `intervene`: one text with the activations of some features set to other values.

Built only when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from circuitstore.circuits.edits import Edit
from circuitstore.circuits.intervene import intervene as run_edited
from circuitstore.models.capture import capture
from circuitstore.texts import text_array
from tasks.parts.edits_of_text import acting
from tasks.parts.given_text import texts_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.layer import LayerTranscoder
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Intervene

RUNS = ("before", "after")
PLACE = ("layer", "position", "feature")


def intervene(
    cells: list[Coords],
    config: Intervene,
    text: Mapping[str, Any],
    edits: Mapping[str, Any],
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset, of the text as it is and with the edits (dim `run`: "before", "after").

        input_tokens, token_text         (position,) int32 and text; the prepended token comes first
        edit_layer, edit_position, edit_feature   (edit,) int32
        edit_before, edit_after          (edit,) float32: the activation before, and what it was set to
        logit_position                   (logit_position,) int32: positions whose logits are kept
        logits                           (run, logit_position, token) float32
        top_token, top_text, top_probability   (run, top) int32, text, float32: the most probable next tokens
        active_layer, active_position, active_feature   (active,) int32: features that are active before or
                                         after; none at position 0
        activation                       (run, active) float32

    In the regime "direct" nothing reacts, whether a feature is active included. There `activation` after is
    the pre-activation, of features that were active before.

    Raises UsageError for edits outside the text or the model.
    """
    tokens = tokens_of(model.tokenizer, text)
    wanted = acting(edits["edits"], len(tokens), len(tokens))
    base = capture(model, tokens, patterns=config.regime != "free")
    run = run_edited(
        model,
        transcoders,
        tokens,
        [wanted],
        regime=config.regime,
        constrained=None if config.constrained < 0 else [config.constrained],
        base=base,
    )
    assert run.mlp_input is not None
    kept = slice(None) if config.logits == "all" else slice(-1, None)
    logits = torch.stack([base.logits[kept], run.logits[0][kept]])
    table = _activations(transcoders, base.mlp_input, run.mlp_input[0], linear=config.regime == "direct")
    result = xr.Dataset(
        {
            "run": ("run", text_array(list(RUNS))),
            "input_tokens": ("position", np.array(tokens, dtype=np.int32)),
            "token_text": ("position", texts_of(model.tokenizer, tokens)),
            **_edits(transcoders, base.mlp_input, wanted),
            "logit_position": ("logit_position", np.arange(len(tokens), dtype=np.int32)[kept]),
            "logits": (("run", "logit_position", "token"), logits.cpu().numpy()),
            **_most_probable(model, logits[:, -1], config.top_k),
            **{f"active_{name}": ("active", table[name]) for name in PLACE},
            "activation": (("run", "active"), table["activation"]),
        }
    )
    for cell in cells:
        yield cell, result


def _activations(
    transcoders: Transcoders, before: Tensor, after: Tensor, *, linear: bool
) -> dict[str, np.ndarray]:
    """Features that are active in either run, of MLP inputs (layer, position, d_model) before and after.

    With `linear`, those active before, with their pre-activation after.
    """
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("layer", "position", "feature", "activation")
    }
    for layer in transcoders.layers:
        coder = transcoders.layer(layer)
        found = coder.active([before[layer], after[layer]])
        at = [np.stack([rows.position, rows.feature], axis=1) for rows in found[: 1 if linear else 2]]
        places = np.unique(np.concatenate(at), axis=0).astype(np.int64).reshape(-1, 2)
        places = places[places[:, 0] > 0]
        values = np.zeros((2, len(places)), dtype=np.float32)
        for row, run in enumerate(found):
            at_once = zip(run.position.tolist(), run.feature.tolist(), strict=True)
            known: dict[Any, Any] = dict(zip(at_once, run.value, strict=True))
            values[row] = [known.get(place, 0.0) for place in map(tuple, places.tolist())]
        if linear:
            values[1] = _preactivations(coder, after[layer], places)
        columns["layer"].append(np.full(len(places), layer, dtype=np.int32))
        columns["position"].append(places[:, 0].astype(np.int32))
        columns["feature"].append(places[:, 1].astype(np.int32))
        columns["activation"].append(values)
    return {name: np.concatenate(parts, axis=-1) for name, parts in columns.items()}


def _preactivations(coder: LayerTranscoder, x: Tensor, places: np.ndarray) -> np.ndarray:
    """Pre-activations (place,) of features at positions: x (position, d_model), places (place, 2)."""
    features = torch.from_numpy(places[:, 1])
    rows = x[torch.from_numpy(places[:, 0]).to(x.device)].float()
    values = (rows * coder.encoder_rows(features)).sum(-1) + coder.b_enc[features.to(coder.b_enc.device)]
    return np.asarray(values.cpu().numpy())


def _edits(transcoders: Transcoders, mlp_input: Tensor, wanted: Sequence[Edit]) -> dict[str, Any]:
    """The edits, with the activations that they replace; mlp_input (layer, position, d_model)."""
    before = [
        float(transcoders.layer(edit.layer).activations_of(x[None], [edit.feature]).squeeze())
        for edit, x in ((edit, mlp_input[edit.layer, edit.position]) for edit in wanted)
    ]
    columns = np.array([edit[:3] for edit in wanted], dtype=np.int32).reshape(-1, 3).T
    names = ("edit_layer", "edit_position", "edit_feature")
    return {
        **{name: ("edit", column) for name, column in zip(names, columns, strict=True)},
        "edit_before": ("edit", np.array(before, dtype=np.float32) + 0.0),
        "edit_after": ("edit", np.array([edit.value for edit in wanted], dtype=np.float32)),
    }


def _most_probable(model: LanguageModel, logits: Tensor, count: int) -> dict[str, Any]:
    """The most probable tokens of logits (run, token)."""
    probability, token = logits.softmax(-1).topk(min(count, logits.shape[-1]))
    texts = [texts_of(model.tokenizer, row).tolist() for row in token.tolist()]
    return {
        "top_token": (("run", "top"), token.cpu().numpy().astype(np.int32)),
        "top_text": (("run", "top"), text_array(texts)),
        "top_probability": (("run", "top"), probability.cpu().numpy()),
    }
