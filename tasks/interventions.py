"""Phase `interventions`: is it these features? Activations are changed in the real model, and the answer
watched.

Sets of features are chosen in two ways: `own`, by the prompt's own attributions; `circuit`, by the mean
attribution over the train prompts (phase `circuit`), of what is active here. On test prompts, `circuit` has
seen nothing of them. Definitions and sources: docs/interventions.md; the arithmetic of an edit:
`circuitstore.circuits.intervene`.

A prompt is run by itself, its variants in chunks of one size, so its numbers do not depend on other prompts.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import xarray as xr

from circuitstore.circuits.gradients import logit_gradients
from circuitstore.circuits.intervene import intervene
from circuitstore.circuits.methods import MARGIN_METHODS
from circuitstore.models.capture import Capture, capture
from tasks.parts.edits import UNRANKED, Candidates, Units, candidates, first_units, matched_controls
from tasks.parts.feature_effects import AMONG, EFFECT_REGIMES, feature_effects
from tasks.parts.intervention_summary import summarise

CHUNK = 64  # variants run at once; fixed, since it decides the last bits
REGIMES = ("free", "frozen_attention")
CHOICES = ("own", "circuit")
MEASURES = ("margin", "probability_correct", "probability_incorrect", "rank_correct", "rank_incorrect")


def interventions(cells, config, prompts, pairs, circuit, attribution, model, transcoders):
    """Yield one dataset a prompt. Coordinates: kind ("zero", "inhibit", "mean", "resample", "patch", "steer
    …"), regime ("free", "frozen_attention"), choice ("own", "circuit"), size, swap_size, circuit_size,
    predictor; NaN or -1 where there is nothing to edit.

    Of each run five measures at the last position, as variables GROUP_MEASURE: margin (correct - incorrect
    logit, float32, nats), probability_correct, probability_incorrect (float32), rank_correct, rank_incorrect
    (int32, 1 for the most probable). Groups: base (): nothing edited; single (top, kind, regime): each of the
    features with the largest |attribution|, and single_control (top, draw): each replaced by a matched random
    one, zeroed; set (choice, size, kind, regime) and control (choice, size, draw): sets and their matched
    random sets, zeroed, free; swap (choice, swap_size): larger sets patched from the partner, free; circuit
    (circuit_size,): all active features but the circuit's replaced, complement (circuit_size,): the
    circuit's, empty (): all. single_layer, single_position, single_feature (top,) int32, single_activation
    (top,) float32; single_predicted (top, predictor), single_control_predicted (top, draw, predictor)
    float32, nats: contributions to the margin; single_index (top,), single_control_index (top, draw) int32:
    the row of the graph's active_features; set_count, patch_count (choice, size), swap_count (choice,
    swap_size), circuit_count (circuit_size,) int32: how many features are edited, or kept; set_shared (size,)
    int32: how many of them both choices have; single_rank (top,) int32: rank on train, -1 where no train
    prompt had it; split text; has_partner bool; feature_…: what zeroing single features does to others
    (`tasks.parts.feature_effects`).
    """
    units = None
    for cell in cells:
        units = units or Units(circuit.one(cell))  # the same for every prompt
        prompt, pair, graph = prompts.one(cell), pairs.one(cell), attribution.one(cell)
        tokens = prompt.tokens.values.tolist()
        found = candidates(graph, pair, units)
        answers = int(prompt.correct_id), int(prompt.incorrect_id)
        plan = _Plan()
        _single(plan, config, found, graph, units, cell["prompt"])
        gain = _patch_gain(model, transcoders, tokens, found, answers)
        _sets(plan, config, found, graph, units, gain, cell["prompt"])
        _circuits(plan, config, found, units)
        base = capture(model, tokens, patterns=True, last_only=True)
        results = plan.run(model, transcoders, tokens, base, answers)
        drawn = _generator(config.seed, cell["prompt"], "feature effects")
        yield (
            cell,
            xr.Dataset(
                {
                    **results,
                    **plan.facts,
                    **feature_effects(config, graph, model, transcoders, tokens, base, drawn),
                    "split": ((), np.array(str(prompt.split.values))),
                    "has_partner": pair.has_partner.variable,
                },
                coords={
                    "kind": np.array(kinds(config)),
                    "regime": np.array(REGIMES),
                    "choice": np.array(CHOICES),
                    "among": np.array(AMONG),
                    "effect_regime": np.array(EFFECT_REGIMES),
                    **_numbers(config),
                },
            ),
        )


def summary(cells, config):
    """Effects, flips, ratio to controls, prediction check and faithfulness by split, with bootstrap intervals
    over prompts.
    """
    return summarise([cell for _, cell in cells], config)


def kinds(config) -> list[str]:
    """Names of the ways a set of features is edited, in order."""
    return [
        "zero",
        "inhibit",
        "mean",
        "resample",
        "patch",
        *(f"steer {strength:+g}" for strength in config.strengths),
    ]


class _Plan:
    """Runs to be made: groups of places, each to be filled with the outcome of a set of edits; equal sets run
    once.
    """

    def __init__(self) -> None:
        self.sets: dict[str, dict[bytes, np.ndarray]] = {regime: {} for regime in REGIMES}
        self.places: dict[str, tuple[tuple[str, ...], list[tuple[tuple[int, ...], str, bytes]]]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.facts: dict[str, tuple] = {}
        self.group("base", (), ())
        self.add("base", (), np.zeros((0, 4)))

    def group(self, name: str, dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
        self.places[name], self.shapes[name] = (dims, []), shape

    def add(self, group: str, place: tuple[int, ...], edits: np.ndarray, regime: str = "free") -> None:
        ordered = edits[np.lexsort(edits[:, 2::-1].T)]
        self.sets[regime].setdefault(ordered.tobytes(), ordered)
        self.places[group][1].append((place, regime, ordered.tobytes()))

    def run(
        self, model, transcoders, tokens: list[int], base: Capture, answers: tuple[int, int]
    ) -> dict[str, tuple]:
        outcome: dict[tuple[str, bytes], np.ndarray] = {}
        for regime, sets in self.sets.items():
            keys = list(sets)
            for start in range(0, len(keys), CHUNK):
                part = keys[start : start + CHUNK]
                edits = [sets[key] for key in part]
                run = intervene(
                    model, transcoders, tokens, edits, regime=regime, base=base, last_only=True, inputs=False
                )
                outcome.update(
                    zip(((regime, key) for key in part), measured(run.logits[:, -1], *answers), strict=True)
                )
        variables = {}
        for group, (dims, places) in self.places.items():
            values = np.full((*self.shapes[group], len(MEASURES)), np.nan)
            for place, regime, key in places:
                values[place] = outcome[regime, key]
            for i, name in enumerate(MEASURES):
                is_rank = name.startswith("rank")
                column = (
                    np.where(np.isnan(values[..., i]), -1, values[..., i]).astype(np.int32)
                    if is_rank
                    else values[..., i].astype(np.float32)
                )
                variables[f"{group}_{name}"] = (dims, column, {"units": "nats"} if name == "margin" else {})
        return variables


def measured(logits: torch.Tensor, correct: int, incorrect: int) -> np.ndarray:
    """The measures of runs: logits (run, token) float32 → (run, measure) float64."""
    probability = torch.softmax(logits, dim=-1)
    columns = [logits[:, correct] - logits[:, incorrect], probability[:, correct], probability[:, incorrect]]
    columns += [1 + (logits > logits[:, [token]]).sum(1) for token in (correct, incorrect)]
    return torch.stack([column.double() for column in columns], dim=1).cpu().numpy()


def _single(plan: _Plan, config, found: Candidates, graph: xr.Dataset, units: Units, name: str) -> None:
    """Each feature with a large attribution by itself, and controls of it."""
    predicted = _predicted(found, graph)
    top = _largest(np.abs(predicted[units.rank_by]), config.features)
    values, shape = (
        _new_values(config, found, top, units, name),
        (config.features, len(kinds(config)), len(REGIMES)),
    )
    plan.group("single", ("top", "kind", "regime"), shape)
    for k, kind in enumerate(values):
        for r, regime in enumerate(REGIMES):
            for n, (i, value) in enumerate(zip(top, kind, strict=True)):
                if np.isfinite(value):
                    plan.add("single", (n, k, r), found.edits(np.array([i]), np.array([value])), regime)
    plan.group("single_control", ("top", "draw"), (config.features, config.controls))
    drawn = np.full((config.features, config.controls), -1, dtype=np.int64)
    for n, i in enumerate(top):
        generator = _generator(config.seed, name, f"single {n}")
        drawn[n] = matched_controls(found, np.array([i]), config.controls, config.control_pool, generator)[
            :, 0
        ]
        for draw, control in enumerate(drawn[n]):
            if control >= 0:
                plan.add("single_control", (n, draw), found.edits(np.array([control]), np.zeros(1)))
    methods = np.stack([np.append(predicted[method], np.nan) for method in MARGIN_METHODS], axis=-1).astype(
        np.float32
    )
    padded = np.append(top, np.full(config.features - len(top), len(found.value)))
    for column in ("layer", "position", "feature"):
        plan.facts[f"single_{column}"] = (
            "top",
            np.append(getattr(found, column), -1)[padded].astype(np.int32),
        )
    plan.facts["single_activation"] = ("top", np.append(found.value, np.nan)[padded].astype(np.float32))
    plan.facts["single_predicted"] = (("top", "predictor"), methods[padded], {"units": "nats"})
    plan.facts["single_control_predicted"] = (("top", "draw", "predictor"), methods[drawn], {"units": "nats"})
    row = np.append(
        np.where(found.active, np.cumsum(found.active) - 1, -1), -1
    )  # candidates are sorted as active_features are
    plan.facts["single_index"] = ("top", row[padded].astype(np.int32))
    rank = np.append(np.where(found.rank == UNRANKED, -1, found.rank), -1)
    plan.facts["single_rank"] = ("top", rank[padded].astype(np.int32))
    plan.facts["single_control_index"] = (("top", "draw"), row[drawn].astype(np.int32))


def _sets(
    plan: _Plan, config, found: Candidates, graph: xr.Dataset, units: Units, gain: np.ndarray, name: str
) -> None:
    """Sets of several sizes, edited in all ways, and matched random sets."""
    active, attribution = found.active, _predicted(found, graph)[units.rank_by]
    either = active | (np.nan_to_num(found.partner) != 0)
    plan.group(
        "set",
        ("choice", "size", "kind", "regime"),
        (len(CHOICES), len(config.sizes), len(kinds(config)), len(REGIMES)),
    )
    plan.group("control", ("choice", "size", "draw"), (len(CHOICES), len(config.sizes), config.controls))
    plan.group("swap", ("choice", "swap_size"), (len(CHOICES), len(config.swap_sizes)))
    counts = np.zeros((2, len(CHOICES), len(config.sizes)), dtype=np.int32)
    swapped = np.zeros((len(CHOICES), len(config.swap_sizes)), dtype=np.int32)
    both = [
        np.intersect1d(_largest(attribution, size), first_units(found, active, size)) for size in config.sizes
    ]
    has_partner = bool(np.isfinite(found.partner).all())
    for c, choice in enumerate(CHOICES):
        for s, size in enumerate(config.sizes):
            own = choice == "own"
            chosen = _largest(attribution, size) if own else first_units(found, active, size)
            patched = _largest(gain, size) if own else first_units(found, either, size)
            counts[:, c, s] = len(chosen), len(patched) if has_partner else 0
            values = _new_values(config, found, chosen, units, name)
            for k, kind in enumerate(kinds(config)):
                target, new = (patched, found.partner[patched]) if kind == "patch" else (chosen, values[k])
                for r, regime in enumerate(REGIMES):
                    if len(target) and np.isfinite(new).all():
                        plan.add("set", (c, s, k, r), found.edits(target, new), regime)
            generator = _generator(config.seed, name, f"{choice} {size}")
            for draw, controls in enumerate(
                matched_controls(found, chosen, config.controls, config.control_pool, generator)
            ):
                drawn = controls[controls >= 0]
                if len(drawn):
                    plan.add("control", (c, s, draw), found.edits(drawn, np.zeros(len(drawn))))
        for s, size in enumerate(config.swap_sizes):
            patched = _largest(gain, size) if choice == "own" else first_units(found, either, size)
            swapped[c, s] = len(patched) if has_partner else 0
            if swapped[c, s]:
                plan.add("swap", (c, s), found.edits(patched, found.partner[patched]))
    plan.facts["set_count"], plan.facts["patch_count"] = ((("choice", "size"), count) for count in counts)
    plan.facts["set_shared"] = ("size", np.array([len(shared) for shared in both], dtype=np.int32))
    plan.facts["swap_count"] = (("choice", "swap_size"), swapped)


def _circuits(plan: _Plan, config, found: Candidates, units: Units) -> None:
    """Circuits kept while everything else is replaced, and the other way round."""
    active = found.active
    fill = units.mean[found.unit] if config.fill == "mean" else np.zeros(len(active))
    plan.group("empty", (), ())
    plan.add("empty", (), found.edits(np.flatnonzero(active), fill[active]))
    for group in ("circuit", "complement"):
        plan.group(group, ("circuit_size",), (len(config.circuit_sizes),))
    counts = np.zeros(len(config.circuit_sizes), dtype=np.int32)
    for s, size in enumerate(config.circuit_sizes):
        inside = found.absolute_rank < size
        counts[s] = (active & inside).sum()
        for group, replaced in (("circuit", active & ~inside), ("complement", active & inside)):
            plan.add(group, (s,), found.edits(np.flatnonzero(replaced), fill[replaced]))
    plan.facts["circuit_count"] = ("circuit_size", counts)


def _new_values(config, found: Candidates, chosen: np.ndarray, units: Units, name: str) -> list[np.ndarray]:
    """The new activations of the chosen candidates, (n,) for every kind of edit; NaN where there is no
    partner.
    """
    old, unit = found.value[chosen], found.unit[chosen]
    generator = _generator(config.seed, name, "donor")
    donors = [i for i, train in enumerate(units.train) if train != name] or [0]
    donated = units.of_train_prompt(donors[int(generator.integers(len(donors)))])
    values = [
        np.zeros(len(old)),
        -config.inhibit * old,
        units.mean[unit],
        donated[unit],
        found.partner[chosen],
    ]
    return [*values, *((1 + strength) * old for strength in config.strengths)]


def _predicted(found: Candidates, graph: xr.Dataset) -> dict[str, np.ndarray]:
    """Attributions of each candidate to the margin by method, (candidate,) float64; NaN for what is no node
    of the graph.
    """
    active = np.flatnonzero(found.active)[graph.selected_features.values]
    result = {}
    for method in MARGIN_METHODS:
        result[method] = np.full(len(found.value), np.nan)
        result[method][active] = graph[f"{method}_attribution"].values[: len(active)]
    return result


def _patch_gain(
    model, transcoders, tokens: list[int], found: Candidates, answers: tuple[int, int]
) -> np.ndarray:
    """How much setting each candidate to its partner's activation should lower the margin, to first order:
    (candidate,) nats.

    Source: *Attribution Patching Outperforms Automated Circuit Discovery* (Syed et al., 2023), §2.
    """
    direction = model.parts.unembedding[answers[0]].float() - model.parts.unembedding[answers[1]].float()
    gradient = logit_gradients(model, tokens, direction[None])[0]
    slope = np.zeros(len(found.value))
    for layer in np.unique(found.layer).tolist():
        here = np.flatnonzero(found.layer == layer)
        decoders = transcoders.layer(layer).decoder_rows(found.feature[here])
        slope[here] = (
            (decoders * gradient[layer + 1, torch.from_numpy(found.position[here])]).sum(1).cpu().numpy()
        )
    return -slope * (found.partner - found.value)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the ``count`` largest values are, largest first; NaN never."""
    order = np.argsort(-values, kind="stable")
    return order[np.isfinite(values[order])][:count]


def _generator(seed: int, *what: str) -> np.random.Generator:
    words = hashlib.sha256("\0".join(what).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(words[:16], dtype="<u4").tolist()])


def _numbers(config) -> dict[str, np.ndarray]:
    sizes = {"size": config.sizes, "swap_size": config.swap_sizes, "circuit_size": config.circuit_sizes}
    return {
        **{name: np.array(values, dtype=np.int32) for name, values in sizes.items()},
        "predictor": np.array(MARGIN_METHODS),
    }
