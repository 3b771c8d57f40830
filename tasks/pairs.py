"""Phase `pairs`: each prompt beside its minimal pair: what is at every position in either, and which role a
position has.

Patching needs the partner's activations at aligned positions (partners have equally many tokens), and
comparing prompts needs names for positions that hold for all of them. The **role** of a position is the first
of these that applies:

    first         the prepended token
    last          the last token, where the answer is predicted
    contrast      the partner has another token here (the subject, the city, the word, the operand's digit)
    slot 1, …     the token does not occur in every prompt of the template: the words that fill it, counted from the left
    ' near', …    the token itself, quoted: a word of the template; further ones in the same prompt are numbered, ' the' 2

Roles come from texts alone, so that naming the positions of test prompts tells nothing about the model.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import xarray as xr


def pairs(cells, config, prompts, features):
    """Yield one dataset a prompt, axis `prompt`.

    role (position,) text; covered (position,) bool, where features were looked for; has_partner bool;
    partner_tokens (partner_position,) int32, empty without one; the partner's active features
    (partner_feature,): partner_layer, partner_place (position), partner_index (feature) int32,
    partner_activation float32; by layer, position, feature.
    """
    rows = {coords["prompt"]: row for coords, row in prompts.all(cells[0])}
    read = features.all(cells[0])
    active = _active(read)
    kept = {coords["prompt"]: len(cell["activation.pointer"]) - 1 for coords, cell in read}
    shared = _shared(rows)
    for name, row in rows.items():
        partner = str(row.partner.values)
        tokens, other = row.tokens.values, rows[partner].tokens.values if partner else None
        role = roles(tokens, row.token_text.values, other, shared[str(row.template.values)])
        layer, place, index, activation = active.get(partner, active[""])
        yield (
            {"prompt": name},
            xr.Dataset(
                {
                    "role": ("position", role),
                    "covered": ("position", np.arange(len(tokens)) >= max(1, len(tokens) - kept[name])),
                    "has_partner": ((), np.bool_(partner)),
                    "partner_tokens": ("partner_position", tokens[:0] if other is None else other),
                    "partner_layer": ("partner_feature", layer),
                    "partner_place": ("partner_feature", place),
                    "partner_index": ("partner_feature", index),
                    "partner_activation": ("partner_feature", activation),
                },
                attrs={"structure": "graph"},
            ),
        )


def roles(tokens: np.ndarray, texts: np.ndarray, partner: np.ndarray | None, shared: set[int]) -> np.ndarray:
    """The role of each position, (position,) text: tokens (position,), their texts, the partner's tokens,
    those of the template.
    """
    found: list[str] = []
    slots, seen = 0, dict.fromkeys(map(str, texts), 0)
    for i, (token, text) in enumerate(zip(tokens.tolist(), map(str, texts), strict=True)):
        seen[text] += 1
        if i == 0:
            found.append("first")
        elif i == len(tokens) - 1:
            found.append("last")
        elif partner is not None and partner[i] != token:
            found.append("contrast")
        elif token not in shared:
            slots += 1
            found.append(f"slot {slots}")
        else:
            found.append(repr(text) if seen[text] == 1 else f"{text!r} {seen[text]}")
    return np.array(found, dtype=str)


def _shared(rows: dict[str, xr.Dataset]) -> dict[str, set[int]]:
    """Of every template, the tokens that occur in all of its prompts."""
    shared: dict[str, set[int]] = {}
    for row in rows.values():
        template, tokens = str(row.template.values), set(row.tokens.values.tolist())
        shared[template] = shared.get(template, tokens) & tokens
    return shared


def _active(cells: list) -> dict[str, tuple[np.ndarray, ...]]:
    """Of every prompt, and of "" for none: layer, position, feature, activation of its active features, by
    layer and position.
    """
    empty = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    active: dict[str, tuple[np.ndarray, ...]] = {"": empty}
    in_order = sorted(cells, key=lambda pair: (pair[0]["prompt"], pair[0]["layer"]))
    for name, group in groupby(in_order, key=lambda pair: pair[0]["prompt"]):
        parts = [empty]
        for coords, cell in group:
            pointer = cell["activation.pointer"].values
            first = int(cell.n_tokens) - (len(pointer) - 1)
            place = (first + np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))).astype(np.int32)
            layer = np.full(len(place), coords["layer"], dtype=np.int32)
            parts.append((layer, place, cell["activation.feature"].values, cell["activation.value"].values))
        active[name] = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return active
