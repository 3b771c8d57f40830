"""Phase `interventions`: is it these features? Their activations are changed in the real model.

Sets of features are chosen in two ways. Choice `own` takes the features with the largest attributions in the
prompt's own graph. Choice `circuit` takes the features with the largest mean attribution over the train
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
from tasks.parts.case import Case, kinds
from tasks.parts.edits import UNRANKED, Candidates, Units, candidates_of, first_units
from tasks.parts.feature_effects import AMONG, EFFECT_REGIMES, feature_effects
from tasks.parts.intervention_summary import summarise
from tasks.parts.runs import NOTHING, REGIMES, Runs, Variables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.settings.phases import Interventions

CHOICES = ("own", "circuit")
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

    Coordinates: kind ("zero", "inhibit", "mean", "resample", "patch", "steer …"), regime ("free",
    "frozen_attention"), choice ("own", "circuit"), size, swap_size, circuit_size, predictor.

    Each run gives five measures at the last position, as variables GROUP_MEASURE (`tasks/parts/runs.py`):
    margin, probability_correct, probability_incorrect, rank_correct, rank_incorrect. Values are NaN or -1
    where there is nothing to edit. The groups:

        base              ()                          nothing is edited
        single            (top, kind, regime)         each of the features with the largest |attribution|
        single_control    (top, draw)                 a matched random feature for each of them, zeroed
        set               (choice, size, kind, regime)
        control           (choice, size, draw)        a matched random set for each set, zeroed
        swap              (choice, swap_size)         larger sets, patched from the partner
        circuit           (circuit_size,)             all active features but the circuit's are replaced
        complement        (circuit_size,)             the circuit's features are replaced
        empty             ()                          all active features are replaced

    Facts that need no run:

        single_layer, single_position, single_feature    (top,) int32
        single_activation                                (top,) float32
        single_index, single_control_index               (top,), (top, draw) int32: rows of active_features
        single_predicted, single_control_predicted       (top, predictor), (top, draw, predictor) float32,
                                                         nats: contributions to the margin
        single_rank       (top,) int32: rank on train prompts, -1 where no train prompt has the feature
        set_count, patch_count     (choice, size) int32: how many features are edited
        set_shared                 (size,) int32: how many features both choices have
        swap_count                 (choice, swap_size) int32
        circuit_count              (circuit_size,) int32: how many features are kept
        split, has_partner         text, bool
        feature_…                  what zeroing single features does to others (`tasks.parts.feature_effects`)
    """
    units = None
    for cell in cells:
        units = units or Units(circuit.one(cell))  # the same for every prompt
        prompt, pair, graph = prompts.one(cell), pairs.one(cell), attribution.one(cell)
        tokens = prompt.tokens.values.tolist()
        answers = int(prompt.correct_id), int(prompt.incorrect_id)
        candidates = candidates_of(graph, pair, units)
        case = Case(str(cell["prompt"]), config, units, candidates, _predicted(candidates, graph))
        runs = Runs()
        runs.group("base", (), ())
        runs.add("base", (), NOTHING)
        facts = _single(runs, case)
        gain = _patch_gain(model, transcoders, tokens, candidates, answers)
        facts |= _sets(runs, case, gain)
        facts |= _circuits(runs, case)
        base = capture(model, tokens, patterns=True, last_only=True)
        results = runs.make(model, transcoders, tokens, base, answers)
        drawn = case.generator("feature effects")
        yield (
            cell,
            xr.Dataset(
                {
                    **results,
                    **facts,
                    **feature_effects(config, graph, model, transcoders, tokens, base, drawn),
                    "split": ((), np.array(str(prompt.split.values))),
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
    top = _largest(np.abs(case.attribution), config.features)
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
        drawn[n] = case.controls(np.array([i]), f"single {n}")[:, 0]
        for draw, control in enumerate(drawn[n]):
            if control >= 0:
                runs.add("single_control", (n, draw), candidates.edits(np.array([control]), np.zeros(1)))
    # Every array gets one more entry, which stands for no candidate.
    padded = np.append(top, np.full(config.features - len(top), len(candidates.value)))
    predicted = np.stack([np.append(case.predicted[method], np.nan) for method in MARGIN_METHODS], axis=-1)
    predicted = predicted.astype(np.float32)
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
        "single_predicted": (("top", "predictor"), predicted[padded], NATS),
        "single_control_predicted": (("top", "draw", "predictor"), predicted[drawn], NATS),
        "single_index": ("top", row[padded].astype(np.int32)),
        "single_rank": ("top", rank[padded].astype(np.int32)),
        "single_control_index": (("top", "draw"), row[drawn].astype(np.int32)),
    }


def _sets(runs: Runs, case: Case, gain: np.ndarray) -> Variables:
    """Plan sets of several sizes, edited in all ways, and matched random sets; returns their facts."""
    config, candidates, attribution = case.config, case.candidates, case.attribution
    active = candidates.active
    either = active | (np.nan_to_num(candidates.partner) != 0)
    sizes, swap_sizes = (len(CHOICES), len(config.sizes)), (len(CHOICES), len(config.swap_sizes))
    runs.group("set", ("choice", "size", "kind", "regime"), (*sizes, len(kinds(config)), len(REGIMES)))
    runs.group("control", ("choice", "size", "draw"), (*sizes, config.controls))
    runs.group("swap", ("choice", "swap_size"), swap_sizes)
    counts, swapped = np.zeros((2, *sizes), dtype=np.int32), np.zeros(swap_sizes, dtype=np.int32)
    shared = [
        np.intersect1d(_largest(attribution, size), first_units(candidates, active, size))
        for size in config.sizes
    ]
    has_partner = bool(np.isfinite(candidates.partner).all())
    for c, choice in enumerate(CHOICES):
        own = choice == "own"
        for s, size in enumerate(config.sizes):
            chosen = _largest(attribution, size) if own else first_units(candidates, active, size)
            patched = _largest(gain, size) if own else first_units(candidates, either, size)
            counts[:, c, s] = len(chosen), len(patched) if has_partner else 0
            values = case.new_values(chosen)
            for k, kind in enumerate(kinds(config)):
                target, new = chosen, values[k]
                if kind == "patch":
                    target, new = patched, candidates.partner[patched]
                for r, regime in enumerate(REGIMES):
                    if len(target) and np.isfinite(new).all():
                        runs.add("set", (c, s, k, r), candidates.edits(target, new), regime)
            for draw, controls in enumerate(case.controls(chosen, f"{choice} {size}")):
                drawn = controls[controls >= 0]
                if len(drawn):
                    runs.add("control", (c, s, draw), candidates.edits(drawn, np.zeros(len(drawn))))
        for s, size in enumerate(config.swap_sizes):
            patched = _largest(gain, size) if own else first_units(candidates, either, size)
            swapped[c, s] = len(patched) if has_partner else 0
            if swapped[c, s]:
                runs.add("swap", (c, s), candidates.edits(patched, candidates.partner[patched]))
    return {
        "set_count": (("choice", "size"), counts[0]),
        "patch_count": (("choice", "size"), counts[1]),
        "set_shared": ("size", np.array([len(both) for both in shared], dtype=np.int32)),
        "swap_count": (("choice", "swap_size"), swapped),
    }


def _circuits(runs: Runs, case: Case) -> Variables:
    """Plan circuits kept while everything else is replaced, and the other way round; returns their facts."""
    config, candidates, active = case.config, case.candidates, case.candidates.active
    fill = case.units.mean[candidates.unit] if config.fill == "mean" else np.zeros(len(active))
    runs.group("empty", (), ())
    runs.add("empty", (), candidates.edits(np.flatnonzero(active), fill[active]))
    for group in ("circuit", "complement"):
        runs.group(group, ("circuit_size",), (len(config.circuit_sizes),))
    counts = np.zeros(len(config.circuit_sizes), dtype=np.int32)
    for s, size in enumerate(config.circuit_sizes):
        inside = candidates.absolute_rank < size
        counts[s] = (active & inside).sum()
        for group, replaced in (("circuit", active & ~inside), ("complement", active & inside)):
            runs.add(group, (s,), candidates.edits(np.flatnonzero(replaced), fill[replaced]))
    return {"circuit_count": ("circuit_size", counts)}


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
    gradient = logit_gradients(model, tokens, direction[None])[0]
    slope = np.zeros(len(candidates.value))
    for layer in np.unique(candidates.layer).tolist():
        here = np.flatnonzero(candidates.layer == layer)
        decoders = transcoders.layer(layer).decoder_rows(candidates.feature[here])
        entering = gradient[layer + 1, torch.from_numpy(candidates.position[here])]
        slope[here] = (decoders * entering).sum(1).cpu().numpy()
    return np.asarray(-slope * (candidates.partner - candidates.value))


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` largest values are, largest first; NaN never: (n,) int64."""
    order = np.argsort(-values, kind="stable")
    largest: np.ndarray = order[np.isfinite(values[order])][:count]
    return largest


def _coordinates(config: Interventions) -> dict[str, np.ndarray]:
    """The coordinates of the dataset of a prompt."""
    sizes = {"size": config.sizes, "swap_size": config.swap_sizes, "circuit_size": config.circuit_sizes}
    return {
        "kind": np.array(kinds(config)),
        "regime": np.array(REGIMES),
        "choice": np.array(CHOICES),
        "among": np.array(AMONG),
        "effect_regime": np.array(EFFECT_REGIMES),
        **{name: np.array(values, dtype=np.int32) for name, values in sizes.items()},
        "predictor": np.array(MARGIN_METHODS),
    }
