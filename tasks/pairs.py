"""Phase `pairs`: each prompt beside its minimal pair, and the role of every position.

Patching needs the partner's activations at aligned positions; partners have equally many tokens. Comparing
prompts needs names for positions that hold for all of them. The **role** of a position is the first of these
that applies:

    first         the prepended token
    last          the last token, where the answer is predicted
    contrast      the partner has another token here (the subject, the city, the word, the digit)
    slot 1, …     the token does not occur in every prompt of the template: it is one of the words that fill
                  the template, counted from the left
    ' near', …    the token itself, quoted: a word of the template. Further ones in the same prompt are
                  numbered: ' the' 2

Roles come from texts alone, so naming the positions of test prompts tells nothing about the model.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tasks.parts.active import Entries, active_entries, n_kept
from tasks.parts.positions import covered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from circuitstore.engine.inputs import Upstream
    from circuitstore.storage.records import Coords
    from tasks.settings.phases import Pairs

NO_ENTRIES = Entries(np.zeros(0, int), np.zeros(0, int), np.zeros(0, np.int32), np.zeros(0, np.float32))


def pairs(
    cells: list[Coords], config: Pairs, prompts: Upstream, features: Upstream
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt, along axis `prompt`.

    role                (position,) text
    covered             (position,) bool: where features were looked for
    has_partner         bool
    partner_tokens      (partner_position,) int32, empty without a partner
    partner_layer, partner_place, partner_index   (partner_feature,) int32: layer, position and feature
                        of the partner's active features, sorted
    partner_activation  (partner_feature,) float32
    """
    rows = {str(coords["prompt"]): row for coords, row in prompts.all(cells[0])}
    layers = features.all(cells[0])
    active = _active(layers)
    kept = {str(coords["prompt"]): n_kept(cell) for coords, cell in layers}
    shared = _shared(rows)
    for name, row in rows.items():
        partner = str(row.partner.values)
        tokens, other = row.tokens.values, rows[partner].tokens.values if partner else None
        role = roles(tokens, row.token_text.values, other, shared[str(row.template.values)])
        theirs = active.get(partner, NO_ENTRIES)
        yield (
            {"prompt": name},
            xr.Dataset(
                {
                    "role": ("position", role),
                    "covered": ("position", covered(len(tokens), kept[name])),
                    "has_partner": ((), np.bool_(partner)),
                    "partner_tokens": ("partner_position", tokens[:0] if other is None else other),
                    "partner_layer": ("partner_feature", theirs.layer.astype(np.int32)),
                    "partner_place": ("partner_feature", theirs.position.astype(np.int32)),
                    "partner_index": ("partner_feature", theirs.feature),
                    "partner_activation": ("partner_feature", theirs.value),
                },
                attrs={"structure": "tree"},
            ),
        )


def roles(tokens: np.ndarray, texts: np.ndarray, partner: np.ndarray | None, shared: set[int]) -> np.ndarray:
    """The role of each position, (position,) text.

    `tokens`, `texts` and `partner` (position,) are the token ids of the prompt, their texts and the token ids
    of the partner; `shared` are the token ids that occur in every prompt of the template.
    """
    names: list[str] = []
    slots, seen = 0, dict.fromkeys(map(str, texts), 0)
    for i, (token, text) in enumerate(zip(tokens.tolist(), map(str, texts), strict=True)):
        seen[text] += 1
        if i == 0:
            names.append("first")
        elif i == len(tokens) - 1:
            names.append("last")
        elif partner is not None and partner[i] != token:
            names.append("contrast")
        elif token not in shared:
            slots += 1
            names.append(f"slot {slots}")
        else:
            names.append(repr(text) if seen[text] == 1 else f"{text!r} {seen[text]}")
    return np.array(names, dtype=str)


def _shared(rows: Mapping[str, xr.Dataset]) -> dict[str, set[int]]:
    """For each template, the tokens that occur in all of its prompts."""
    shared: dict[str, set[int]] = {}
    for row in rows.values():
        template, tokens = str(row.template.values), set(row.tokens.values.tolist())
        shared[template] = shared.get(template, tokens) & tokens
    return shared


def _active(cells: Iterable[tuple[Coords, xr.Dataset]]) -> dict[str, Entries]:
    """The active features of every prompt, by its id."""
    by_prompt = sorted(cells, key=lambda pair: str(pair[0]["prompt"]))
    return {
        name: active_entries(group)
        for name, group in groupby(by_prompt, key=lambda pair: str(pair[0]["prompt"]))
    }
