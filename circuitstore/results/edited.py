"""One text with the activations of features set to other values: run once, or continued token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitstore import pipeline
from circuitstore.results.asking import Asked, Path, question
from circuitstore.results.edits import Edits, checked

if TYPE_CHECKING:
    import xarray as xr


def intervene(
    text: Asked,
    edits: Edits,
    *,
    regime: str = "free",
    constrained: int | None = None,
    every_position: bool = False,
    model: Path | None = None,
    transcoders: Path | None = None,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """What a text gives before and after features are set to other activations.

        cs.intervene("The keys near the cabinet", {(4, 2, 406): 0.0})

    `edits` are {(layer, position, feature): value}. Positions count from the prepended token, which is 0; -1
    is the last token, and (start, stop) is a range, None being an open end. A value may be negative, a
    feature may be inactive, and several may be set at one position. Each edit adds (value − old activation) ·
    W_dec to the output of its layer's MLP (`circuitstore.circuits.intervene`).

    `regime` says what may react to them: "free" everything, "frozen_attention" all but attention patterns,
    "direct" nothing, so that effects are those of the edges of the graph. Up to the layer `constrained`, MLP
    outputs stay as they were. `text`, `model`, `transcoders` and `store` are those of
    `circuitstore.attribute`.

    Variables: logits and probability (run, logit_position, token) float32, run being "before" and "after",
    of the last position or with `every_position` of all; top_token, top_text, top_probability (run, top);
    edit_before (edit,), the activations that were replaced; active_layer, active_position, active_feature
    (active,) and activation (run, active) float32 of all features that are active in a run. In the regime
    "direct", activations after are pre-activations.

    The answer is kept in the store: the same question is answered once. Raises UsageError for edits outside
    the text or the model, LimitError, ModelError, StoreError.
    """
    phase = pipeline.services().edited.run
    words = {"regime": regime, "logits": "all" if every_position else "last"}
    if constrained is not None:
        words["constrained"] = str(constrained)
    asked = question(text, model, transcoders, store, edits=checked(edits))
    answer = asked.answer(phase, [*(f"{phase}.{name}={value}" for name, value in words.items()), *settings])
    return answer.assign(probability=(answer.logits.dims, _softmax(answer)))


def generate(
    text: Asked,
    edits: Edits | None = None,
    *,
    max_new_tokens: int = 20,
    temperature: float = 0.0,
    seed: int | None = None,
    model: Path | None = None,
    transcoders: Path | None = None,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """A text continued token by token, as it is and with edits held in every step.

    `edits` are those of `intervene`; a range of positions with an open end acts on the new tokens too. With
    `temperature` 0 the most probable token is taken, else tokens are sampled, in both runs with the same
    draws of `seed`. A run ends early after the tokenizer's end-of-sequence token.

    Variables: new_token (run, step) int32, -1 after the end; new_text (run, step); new_probability (run,
    step) float32, of the token that was chosen; continuation (run,) text; run is "before" and "after".

    The answer is kept in the store. Raises UsageError, LimitError, ModelError, StoreError.
    """
    phase = pipeline.services().edited.continued
    words = {"tokens": str(max_new_tokens), "temperature": repr(float(temperature))}
    if seed is not None:
        words["seed"] = str(seed)
    asked = question(text, model, transcoders, store, edits=checked(edits or {}))
    return asked.answer(phase, [*(f"{phase}.{name}={value}" for name, value in words.items()), *settings])


def _softmax(answer: xr.Dataset) -> object:
    """Probabilities (run, logit_position, token) float32 of logits."""
    import numpy as np

    logits = answer.logits.values.astype(np.float64)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return (shares / shares.sum(-1, keepdims=True)).astype(np.float32)
