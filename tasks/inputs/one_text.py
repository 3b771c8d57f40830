"""What can be known of one text before a model is loaded: that it is short enough, and its answers one token.

The phase would say the same, but only after half a minute of loading. Nothing here is in a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuitstore.errors import LimitError, UsageError
from circuitstore.hub.place import Place
from tasks.inputs import model_config, tokenizer


def check(text: Mapping[str, Any], edits: Sequence[Mapping[str, Any]], place: Place) -> list[str]:
    """Raise LimitError for a text that is too long.

    Raises ModelError for a conversation that the model has no template for, and UsageError for turns that it
    does not take, for an answer that is not one token, and for an edit outside the text or the layers.
    `text` and `edits` are what the resources of these names give, `place` holds the model. No warnings are
    returned.
    """
    from circuitstore.models.load import load_tokenizer
    from tasks.parts.aims import weighted
    from tasks.parts.answers import answer_id
    from tasks.parts.edits_of_text import acting
    from tasks.parts.given_text import plain, tokens_of

    wanted = tokenizer.files(place)
    if wanted.missing():
        return []
    with wanted.view() as folder:
        words = load_tokenizer(folder)
    ids = tokens_of(words, text)
    count = len(ids)
    most = model_config.config(place).get("max_position_embeddings")
    if isinstance(most, int) and count > most:
        expected = f"at most {most} tokens, as the model has positions"
        raise LimitError("text", expected=expected, got=f"{count} tokens", remedy="shorten it")
    for name, answer in [*(("--target", each) for each in text["targets"]), ("--against", text["against"])]:
        if answer:
            answer_id(words, plain(words, text), name, answer)
    weighted(words, text, text.get("weights", ()))
    layers = model_config.layer_count(place)
    _check_aim(text, count, layers, model_config.config(place).get("hidden_size"))
    acting(edits, len(ids), len(ids))
    for edit in edits:
        if not 0 <= edit["layer"] < layers:
            raise UsageError("edit", expected=f"a layer from 0 to {layers - 1}", got=edit["layer"])
    return []


def _check_aim(text: Mapping[str, Any], count: int, layers: int, width: object) -> None:
    """Raise UsageError for a direction of another width, and a feature outside of layers or positions."""
    direction, feature = text.get("direction", ()), text.get("feature", ())
    if direction and isinstance(width, int) and len(direction) != width:
        expected = f"{width} numbers, as the model's d_model"
        raise UsageError("direction", expected=expected, got=f"{len(direction)} numbers")
    if feature and not 0 <= feature[0] < layers:
        raise UsageError("feature", expected=f"a layer from 0 to {layers - 1}", got=feature[0])
    if feature and not 0 < feature[1] + count * (feature[1] < 0) < count:
        expected = f"a position from 1 to {count - 1}, or from -{count - 1} to -1"
        raise UsageError("feature", expected=expected, got=feature[1], remedy="position 0 has no features")
