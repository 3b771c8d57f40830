"""Runs of one prompt with sets of edits: planned by name, made together, and measured.

Equal sets of edits are run once. Runs are made in chunks of one size, in the order in which they were
planned, so that their last bits follow from the plan of this prompt and from nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from circuitstore.circuits.batching import EDITED_RUNS
from circuitstore.circuits.intervene import intervene

if TYPE_CHECKING:
    from circuitstore.models.capture import Capture
    from circuitstore.models.load import LanguageModel
    from circuitstore.transcoders.per_layer import Transcoders

REGIMES = ("free", "frozen_attention")
MEASURES = ("margin", "probability_correct", "probability_incorrect", "rank_correct", "rank_incorrect")
NOTHING = np.zeros((0, 4))  # the empty set of edits

Index = tuple[int, ...]
Variables = dict[str, tuple[Any, ...]]  # name → (dims, values) or (dims, values, attributes)


class Runs:
    """Groups of runs. A group is an array of measures; each of its entries is filled by one set of edits."""

    def __init__(self) -> None:
        self._sets: dict[str, dict[bytes, np.ndarray]] = {regime: {} for regime in REGIMES}
        self._dims: dict[str, tuple[str, ...]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._planned: dict[str, list[tuple[Index, str, bytes]]] = {}

    def group(self, name: str, dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
        """Declare a group with these axes."""
        self._dims[name], self._shapes[name], self._planned[name] = dims, shape, []

    def add(self, group: str, index: Index, edits: np.ndarray, regime: str = "free") -> None:
        """Plan a run with `edits` (edit, 4), whose measures go to this entry of a group."""
        ordered = edits[np.lexsort(edits[:, 2::-1].T)]
        self._sets[regime].setdefault(ordered.tobytes(), ordered)
        self._planned[group].append((index, regime, ordered.tobytes()))

    def make(
        self,
        model: LanguageModel,
        transcoders: Transcoders,
        tokens: list[int],
        base: Capture,
        answers: tuple[int, int],
    ) -> Variables:
        """Make all runs of a prompt: `tokens` (position,), its unedited run, and the ids of both answers.

        Returns a variable GROUP_MEASURE for every group and measure, with the group's axes: float32, or int32
        for ranks; NaN or -1 where no run was planned.
        """
        outcome: dict[tuple[str, bytes], np.ndarray] = {}
        for regime, sets in self._sets.items():
            keys = list(sets)
            for start in range(0, len(keys), EDITED_RUNS):
                part = keys[start : start + EDITED_RUNS]
                edits = [sets[key] for key in part]
                run = intervene(
                    model, transcoders, tokens, edits, regime=regime, base=base, last_only=True, inputs=False
                )
                measures = measured(run.logits[:, -1], *answers)
                outcome.update(zip(((regime, key) for key in part), measures, strict=True))
        variables: Variables = {}
        for group, planned in self._planned.items():
            values = np.full((*self._shapes[group], len(MEASURES)), np.nan)
            for index, regime, key in planned:
                values[index] = outcome[regime, key]
            for i, name in enumerate(MEASURES):
                variables[f"{group}_{name}"] = _variable(name, self._dims[group], values[..., i])
        return variables


def measured(logits: torch.Tensor, correct: int, incorrect: int) -> np.ndarray:
    """The `MEASURES` of runs, (run, measure) float64, from logits (run, token) float32 and two token ids.

    Ranks are 1 for the most probable token; the margin is in nats.
    """
    probability = torch.softmax(logits, dim=-1)
    columns = [logits[:, correct] - logits[:, incorrect], probability[:, correct], probability[:, incorrect]]
    columns += [1 + (logits > logits[:, [token]]).sum(1) for token in (correct, incorrect)]
    return torch.stack([column.double() for column in columns], dim=1).cpu().numpy()


def _variable(measure: str, dims: tuple[str, ...], values: np.ndarray) -> tuple[Any, ...]:
    """One measure as a variable, from float64 values that are NaN where there was no run."""
    if measure.startswith("rank"):
        return dims, np.where(np.isnan(values), -1, values).astype(np.int32), {}
    return dims, values.astype(np.float32), {"units": "nats"} if measure == "margin" else {}
