"""Phase `difference`: the graph of a logit difference beside the minimal pair. Built only when asked for.

A graph of `attribution` shows what is active. What a prompt *lacks* can decide as much: the feature that says
"plural" is silent where the subject is singular. The graph of this phase explains the correct less the
incorrect logit, and has the features that are active in the partner and silent here as nodes too
(`circuitstore.circuits.graph`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitstore.circuits.active import ActiveFeatures
from circuitstore.circuits.graph import attribute
from tasks.parts.graph_features import features_of
from tasks.parts.stored_graph import arguments, dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Attribution


def difference(
    cells: list[Coords],
    config: Attribution,
    prompts: Upstream,
    pairs: Upstream,
    features: Upstream,
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt.

    It has the variables that phase `attribution` describes, and

        suppressed   (active_feature,) bool: active in the partner and not here. Then `activation_values` is
                     minus the partner's activation, an edge out is what the silence contributes, and edges in
                     sum to the pre-activation here

    A prompt without a partner, or with nothing suppressed, has a graph without this variable. The setting
    `attribution.targets` has no effect.
    """
    for cell in cells:
        prompt = prompts.one(cell)
        tokens = prompt.tokens.values.tolist()
        margin = (int(prompt.correct_id), int(prompt.incorrect_id))
        graph = attribute(
            model,
            transcoders,
            tokens,
            features=features_of(features.all(cell), model.n_layers, len(tokens)),
            partner=_of_partner(pairs.one(cell), model.n_layers, len(tokens)),
            difference=margin,
            margin=margin,
            **arguments(config),
        )
        yield cell, dataset(graph, model, prompt.token_text.values, config)


def _of_partner(pair: xr.Dataset, n_layers: int, n_tokens: int) -> ActiveFeatures | None:
    """The active features of the minimal pair; None without one."""
    if not pair.has_partner:
        return None
    names = ("layer", "place", "index")
    layer, position, feature = (pair[f"partner_{name}"].values.astype(np.int64) for name in names)
    everywhere = np.ones((n_layers, n_tokens), dtype=bool)
    return ActiveFeatures(layer, position, feature, pair.partner_activation.values, everywhere)
