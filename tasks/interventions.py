"""Phase `interventions`: is it these features? Their activations are changed in the real model.

Sets of features are chosen in two ways. Choice `own` takes the features with the largest attributions in the
prompt's own graph. Choice `train` takes the features with the largest mean attribution over the train
prompts (phase `circuit`) that are active in the prompt; on test prompts, nothing of them was seen. The
definitions and their sources are in docs/interventions.md; the arithmetic of an edit is in
`circuitstore.circuits.intervene`.

A prompt is run by itself, its runs in chunks of one size, so that its numbers do not depend on other prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from circuitstore.circuits.gradients import logit_gradients
from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.models.capture import capture
from tasks.parts import kept, places, sets
from tasks.parts.case import Case, kinds
from tasks.parts.edits import UNRANKED, Candidates, Units, candidates_of, largest
from tasks.parts.feature_effects import AMONG, EFFECT_REGIMES, feature_effects
from tasks.parts.intervention_summary import summarise
from tasks.parts.matching import likeness
from tasks.parts.runs import NOTHING, REGIMES, Runs, Variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Interventions

NATS = {"units": "nats"}


def interventions(
    cells: list[Coords],
    config: Interventions,
    prompts: Upstream,
    pairs: Upstream,
    circuit: Upstream,
    attribution: Upstream,
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt.

    Coordinates: strength; kind ("zero", "inhibit", "mean", "resample", "patch", "steer …"), regime ("free",
    "frozen_attention"), choice ("own", "train"), size, swap_size, circuit_size, predictor; place, depth and
    where (`tasks.parts.places`); fill ("mean", "zero"): what replaces features in `circuit`, `complement`
    and `empty`.

    Each run gives five measures at the last position, as variables GROUP_MEASURE (`tasks/parts/runs.py`):
    margin, probability_correct, probability_incorrect, rank_correct, rank_incorrect. Values are NaN or -1
    where there is nothing to edit. The groups:

        base              ()                          nothing is edited
        single            (top, kind, regime)         each of the features with the largest |attribution|
        single_control    (top, draw)                 a matched random feature for each of them, zeroed
        set               (choice, size, kind, regime)
        control           (choice, size, draw)        a matched random set that takes away as much; NaN where
                                                      a feature of the set has no control
        steered_control   (size, strength, steered_draw)   a matched random set, changed by as much as
                                                      steering changes the set; choice "train"
        swap              (choice, swap_size)         larger sets, patched from the partner
        circuit           (circuit_size,)             all active features but the circuit's are replaced
        complement        (circuit_size,)             the circuit's features are replaced
        empty             ()                          all active features are replaced
        counterfactual, counterfactual_empty, counterfactual_random (…, circuit_draw)
                                                      the same, replaced by what the partner has
        place             (place, depth)              all features there are patched from the partner

    Facts that need no run:

        single_layer, single_position, single_feature    (top,) int32
        single_activation                                (top,) float32
        single_index, single_control_index               (top,), (top, draw) int32: rows of active_features
        single_predicted, single_control_predicted       (top, predictor), (top, draw, predictor) float32,
                                                         nats: contributions to the margin
        single_rank       (top,) int32: rank on train prompts, -1 where no train prompt has the feature
        set_count, patch_count     (choice, size) int32: how many features are edited
        set_shared                 (size,) int32: how many features both choices have
        set_norm                   (choice, size) float32: Σ |activation| · |decoder row| of the set
        control_inside, control_missing   (choice, size) float32: the share of controls within the caliper,
                                   and the share of features and draws without control
        control_ratio              (choice, size) float32: median of size of a feature / that of its control
        single_norm, single_control_norm   (top,), (top, draw) float32: |activation| · |decoder row|
        swap_count                 (choice, swap_size) int32
        patch_where, swap_where    (choice, size, where), (choice, swap_size, where) int32: how many are there
        place_count                (place, depth) int32
        circuit_count, counterfactual_count   (circuit_size,) int32: how many features are kept
        counterfactual_features    int32: how many there are
        name, split, group, partner, has_partner   text, the id of the prompt first; bool
        feature_…                  what zeroing single features does to others (`tasks.parts.feature_effects`)
    """
    units = None
    for cell in cells:
        units = units or Units(circuit.one(cell))  # the same for every prompt
        prompt, pair, graph = prompts.one(cell), pairs.one(cell), attribution.one(cell)
        tokens = prompt.tokens.values.tolist()
        answers = int(prompt.correct_id), int(prompt.incorrect_id)
        candidates = candidates_of(graph, pair, units)
        alike = likeness(candidates, transcoders)
        case = Case(str(cell["prompt"]), config, units, candidates, alike, _predicted(candidates, graph))
        runs = Runs()
        runs.group("base", (), ())
        runs.add("base", (), NOTHING)
        facts = _single(runs, case)
        gain = _patch_gain(model, transcoders, tokens, candidates, answers)
        facts |= sets.plan(runs, case, gain, pair)
        facts |= kept.plan(runs, case)
        facts |= places.plan(runs, candidates, pair, int(graph.n_layers))
        base = capture(model, tokens, patterns=True, last_only=True, hooks=transcoders.hooks)
        results = runs.make(model, transcoders, tokens, base, answers)
        drawn = case.generator("feature effects")
        yield (
            cell,
            xr.Dataset(
                {
                    **results,
                    **facts,
                    **feature_effects(config, graph, model, transcoders, tokens, base, drawn),
                    "name": ((), np.array(str(cell["prompt"]))),
                    **{
                        name: ((), np.array(str(prompt[name].values)))
                        for name in ("split", "group", "partner")
                    },
                    "has_partner": pair.has_partner.variable,
                },
                coords=_coordinates(config),
            ),
        )


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Interventions) -> dict[str, object]:
    """Effects, flips, ratios to controls, prediction checks and faithfulness by split, with intervals."""
    return summarise([cell for _, cell in cells], config)


def _single(runs: Runs, case: Case) -> Variables:
    """Plan each feature with a large attribution by itself, and controls of it; returns their facts."""
    config, candidates = case.config, case.candidates
    top = largest(np.abs(case.attribution), config.features)
    runs.group("single", ("top", "kind", "regime"), (config.features, len(kinds(config)), len(REGIMES)))
    for k, values in enumerate(case.new_values(top)):
        for r, regime in enumerate(REGIMES):
            for n, (i, value) in enumerate(zip(top, values, strict=True)):
                if np.isfinite(value):
                    edits = candidates.edits(np.array([i]), np.array([value]))
                    runs.add("single", (n, k, r), edits, regime)
    runs.group("single_control", ("top", "draw"), (config.features, config.controls))
    drawn = np.full((config.features, config.controls), -1, dtype=np.int64)
    for n, i in enumerate(top):
        drawn[n] = case.controls(np.array([i]), f"single {n}").index[:, 0]
        for draw, control in enumerate(drawn[n]):
            if control >= 0:
                runs.add("single_control", (n, draw), candidates.edits(np.array([control]), np.zeros(1)))
    # Every array gets one more entry, which stands for no candidate.
    padded = np.append(top, np.full(config.features - len(top), len(candidates.value)))
    predicted = np.stack([np.append(case.predicted[method], np.nan) for method in MARGIN_METHODS], axis=-1)
    predicted = predicted.astype(np.float32)
    norm = np.append(case.alike.size, np.nan).astype(np.float32)
    # Candidates are sorted as active_features are, so a count gives the row.
    row = np.append(np.where(candidates.active, np.cumsum(candidates.active) - 1, -1), -1)
    rank = np.append(np.where(candidates.rank == UNRANKED, -1, candidates.rank), -1)
    ids = {
        f"single_{name}": ("top", np.append(getattr(candidates, name), -1)[padded].astype(np.int32))
        for name in ("layer", "position", "feature")
    }
    return {
        **ids,
        "single_activation": ("top", np.append(candidates.value, np.nan)[padded].astype(np.float32)),
        "single_norm": ("top", norm[padded]),
        "single_control_norm": (("top", "draw"), norm[drawn]),
        "single_predicted": (("top", "predictor"), predicted[padded], NATS),
        "single_control_predicted": (("top", "draw", "predictor"), predicted[drawn], NATS),
        "single_index": ("top", row[padded].astype(np.int32)),
        "single_rank": ("top", rank[padded].astype(np.int32)),
        "single_control_index": (("top", "draw"), row[drawn].astype(np.int32)),
    }


def _predicted(candidates: Candidates, graph: xr.Dataset) -> dict[str, np.ndarray]:
    """Attributions of each candidate to the margin by method, (candidate,) float64, nats.

    They are NaN for candidates that are no node of the graph.
    """
    nodes = np.flatnonzero(candidates.active)[graph.selected_features.values]
    result = {}
    for method in MARGIN_METHODS:
        result[method] = np.full(len(candidates.value), np.nan)
        result[method][nodes] = graph[f"{method}_attribution"].values[: len(nodes)]
    return result


def _patch_gain(
    model: LanguageModel,
    transcoders: Transcoders,
    tokens: list[int],
    candidates: Candidates,
    answers: tuple[int, int],
) -> np.ndarray:
    """How much a patch of each candidate alone should lower the margin, to first order: (candidate,) nats.

    A patch sets the activation to that of the partner.
    Source: *Attribution Patching Outperforms Automated Circuit Discovery* (Syed et al., 2023), §2.
    """
    direction = model.parts.unembedding[answers[0]].float() - model.parts.unembedding[answers[1]].float()
    gradient = logit_gradients(model, tokens, direction[None], transcoders.hooks)[0]
    slope = np.zeros(len(candidates.value))
    for layer in np.unique(candidates.layer).tolist():
        here = np.flatnonzero(candidates.layer == layer)
        position = torch.from_numpy(candidates.position[here])
        for to in transcoders.written_by(layer):
            decoders = transcoders.layer(layer).decoder_rows(candidates.feature[here], to)
            slope[here] += (decoders * gradient[to + 1, position]).sum(1).cpu().numpy()
    return np.asarray(-slope * (candidates.partner - candidates.value))


def _coordinates(config: Interventions) -> dict[str, np.ndarray]:
    """The coordinates of the dataset of a prompt."""
    sizes = {"size": config.sizes, "swap_size": config.swap_sizes, "circuit_size": config.circuit_sizes}
    return {
        "kind": np.array(kinds(config)),
        "regime": np.array(REGIMES),
        "choice": np.array(sets.CHOICES),
        "among": np.array(AMONG),
        "effect_regime": np.array(EFFECT_REGIMES),
        "place": np.array(list(places.PLACES)),
        "depth": np.array(places.DEPTHS),
        "where": np.array(places.WHERE),
        **{name: np.array(values, dtype=np.int32) for name, values in sizes.items()},
        "strength": np.array(config.strengths, dtype=np.float64),
        "predictor": np.array(MARGIN_METHODS),
        "fill": np.array(config.fill),
    }
