"""Circuits that are kept while every other feature is replaced, and the other way round.

What is not kept is replaced in two ways: by a mean or by zero, as configured, and by what the partner has
there. The second is the counterfactual of Mueller et al. (2025), *MIB: A Mechanistic Interpretability
Benchmark*, §3; random circuits of equal size stand beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tasks.parts.case import Case
    from tasks.parts.runs import Runs, Variables


def plan(runs: Runs, case: Case) -> Variables:
    """Plan circuits of every size, and returns how many features they keep."""
    config, candidates, active = case.config, case.candidates, case.candidates.active
    fill = case.units.mean[candidates.unit] if config.fill == "mean" else np.zeros(len(active))
    sizes = (len(config.circuit_sizes),)
    runs.group("empty", (), ())
    runs.add("empty", (), candidates.edits(np.flatnonzero(active), fill[active]))
    for group in ("circuit", "complement"):
        runs.group(group, ("circuit_size",), sizes)
    counts = np.zeros(sizes, dtype=np.int32)
    for s, size in enumerate(config.circuit_sizes):
        inside = candidates.absolute_rank < size
        counts[s] = (active & inside).sum()
        for group, replaced in (("circuit", active & ~inside), ("complement", active & inside)):
            runs.add(group, (s,), candidates.edits(np.flatnonzero(replaced), fill[replaced]))
    return {"circuit_count": ("circuit_size", counts), **_counterfactual(runs, case)}


def _counterfactual(runs: Runs, case: Case) -> Variables:
    """The same with the partner's activations, where there is a partner; a circuit may keep silent features.

    Features are all that are active in the prompt or in its partner. The random circuits of a draw grow: each
    holds the smaller ones.
    """
    config, candidates = case.config, case.candidates
    shape = (len(config.circuit_sizes), config.random_circuits)
    runs.group("counterfactual_empty", (), ())
    runs.group("counterfactual", ("circuit_size",), shape[:1])
    runs.group("counterfactual_random", ("circuit_size", "circuit_draw"), shape)
    count = len(candidates.value)
    kept = np.zeros(shape[0], dtype=np.int32)
    if np.isfinite(candidates.partner).all():
        generator = case.generator("random circuits")
        orders = [generator.permutation(count) for _ in range(config.random_circuits)]

        def replaced(group: str, index: tuple[int, ...], inside: np.ndarray) -> None:
            others = np.flatnonzero(~inside & (candidates.partner != candidates.value))
            runs.add(group, index, candidates.edits(others, candidates.partner[others]))

        replaced("counterfactual_empty", (), np.zeros(count, dtype=bool))
        for s, size in enumerate(config.circuit_sizes):
            inside = candidates.absolute_rank < size
            kept[s] = inside.sum()
            replaced("counterfactual", (s,), inside)
            for draw, order in enumerate(orders):
                replaced("counterfactual_random", (s, draw), np.isin(np.arange(count), order[: kept[s]]))
    return {
        "counterfactual_count": ("circuit_size", kept),
        "counterfactual_features": ((), np.int32(count)),
    }
