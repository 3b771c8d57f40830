"""Runs of one prompt with a circuit alone, without it, and with random circuits of equal size in its place.

Every feature that is not to be there is set to 0. Attention, embeddings and errors stay. A random circuit has
a control for each feature of the circuit: a feature of the same layer and position that takes away about as
much (`tasks.parts.matching`). Where none is left there, it is one of the same layer at another position.
Without a random circuit, controls beyond the caliper are scaled, so that as much is taken away as without the
circuit.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from circuitstore.models.capture import capture
from tasks.parts.matching import Controls, matched_controls
from tasks.parts.runs import NOTHING

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.models.load import LanguageModel
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.parts.edits import Candidates
    from tasks.parts.matching import Likeness
    from tasks.parts.runs import Runs, Variables
    from tasks.settings.phases import Supernodes


def make(runs: Runs, model: LanguageModel, transcoders: Transcoders, prompt: xr.Dataset) -> Variables:
    """Make the runs of one prompt, a row of phase `prompts`: see `Runs.make`."""
    tokens = prompt.tokens.values.tolist()
    base = capture(model, tokens, patterns=True, last_only=True, hooks=transcoders.hooks)
    return runs.make(model, transcoders, tokens, base, (int(prompt.correct_id), int(prompt.incorrect_id)))


def of_sizes(runs: Runs, candidates: Candidates, sizes: tuple[int, ...]) -> np.ndarray:
    """Plan circuits of every size, alone and taken away: how many features each has here, (size,) int32."""
    runs.group("base", (), ())
    runs.add("base", (), NOTHING)
    for group in ("circuit", "complement"):
        runs.group(group, ("size",), (len(sizes),))
    counts = np.zeros(len(sizes), dtype=np.int32)
    for s, size in enumerate(sizes):
        inside = candidates.active & (candidates.absolute_rank < size)
        counts[s] = inside.sum()
        _zero(runs, "circuit", (s,), candidates, candidates.active & ~inside)
        _zero(runs, "complement", (s,), candidates, inside)
    return counts


def at_random(
    runs: Runs, candidates: Candidates, alike: Likeness, size: int, name: str, config: Supernodes
) -> Variables:
    """Plan random circuits as large as the circuit of a size; returns how like it they are, see `_likeness`.

    `name` is the prompt's. Draws that lack a control are not run.
    """
    for group in ("random_circuit", "random_complement"):
        runs.group(group, ("draw",), (config.controls,))
    inside = candidates.active & (candidates.absolute_rank < size)
    chosen = np.flatnonzero(inside)
    controls = _controls(candidates, alike, chosen, name, config)
    for draw, index in enumerate(controls.index):
        if not controls.complete(draw):
            continue
        kept = np.zeros(len(inside), dtype=bool)
        kept[index] = True
        _zero(runs, "random_circuit", (draw,), candidates, candidates.active & ~kept)
        left = candidates.value[index] * (1 - controls.scale(draw))
        runs.add("random_complement", (draw,), candidates.edits(index, left))
    return _likeness(candidates, controls, chosen)


def of_supernodes(runs: Runs, candidates: Candidates, supernode: np.ndarray, count: int) -> None:
    """Plan each of the first `count` supernodes to be taken away, where a feature of it is active.

    `supernode` (candidate,) is -1 for none.
    """
    runs.group("without_supernode", ("group",), (count,))
    for number in range(count):
        inside = candidates.active & (supernode == number)
        if inside.any():
            _zero(runs, "without_supernode", (number,), candidates, inside)


def _zero(
    runs: Runs, group: str, index: tuple[int, ...], candidates: Candidates, silenced: np.ndarray
) -> None:
    where = np.flatnonzero(silenced)
    runs.add(group, index, candidates.edits(where, np.zeros(len(where))))


def _controls(
    candidates: Candidates, alike: Likeness, chosen: np.ndarray, name: str, config: Supernodes
) -> Controls:
    """Controls of each chosen candidate, of its layer and position, else of its layer."""
    words = hashlib.sha256(name.encode()).digest()
    generator = np.random.default_rng([config.seed, *np.frombuffer(words[:16], dtype="<u4").tolist()])
    limits = (config.controls, config.control_pool, config.control_caliper)
    index = matched_controls(candidates, alike, chosen, *limits, generator).index
    layers = candidates.layer.tolist()
    taken = {(layers[i], int(alike.twin[i])) for i in chosen}
    free = candidates.active & (alike.size > 0)
    free &= np.array(
        [pair not in taken for pair in zip(layers, alike.twin.tolist(), strict=True)], dtype=bool
    )
    for drawn in index:
        for n in np.flatnonzero(drawn < 0):
            left = np.flatnonzero(free & (candidates.layer == candidates.layer[chosen[n]]))
            left = left[~np.isin(left, drawn)]
            with np.errstate(divide="ignore"):
                apart = np.abs(np.log(alike.size[left] / alike.size[chosen[n]]))
            nearest = left[np.argsort(apart, kind="stable")][: config.control_pool]
            if len(nearest):
                drawn[n] = nearest[int(generator.integers(len(nearest)))]
    size = np.append(alike.size, np.nan)  # the last stands for no control
    ratio = alike.size[chosen] / size[index]
    with np.errstate(divide="ignore"):
        inside = np.abs(np.log(ratio)) <= np.log(config.control_caliper)
    return Controls(index, ratio, inside)


def _likeness(candidates: Candidates, controls: Controls, chosen: np.ndarray) -> Variables:
    """How good the match is, float32: random_missing, random_elsewhere, random_inside and random_ratio.

    These are shares of features and draws without a control, with one at another position, and within the
    caliper, and the median size of a feature over that of its control.
    """
    there = controls.index >= 0
    moved = candidates.position[controls.index] != candidates.position[chosen]
    with np.errstate(invalid="ignore"):
        numbers = {
            "missing": 1 - there.mean() if there.size else np.nan,
            "elsewhere": moved[there].mean() if there.any() else np.nan,
            "inside": controls.inside[there].mean() if there.any() else np.nan,
            "ratio": np.median(controls.ratio[there]) if there.any() else np.nan,
        }
    return {f"random_{name}": ((), np.float32(value)) for name, value in numbers.items()}
