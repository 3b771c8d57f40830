"""One prompt of phase `interventions`: the features that can be edited in it, and the ways to edit them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.parts.matching import matched_controls

if TYPE_CHECKING:
    from tasks.parts.edits import Candidates, Units
    from tasks.parts.matching import Controls, Likeness
    from tasks.settings.phases import Interventions


def kinds(config: Interventions) -> list[str]:
    """Names of the ways in which a set of features is edited, in order."""
    steered = [f"steer {strength:+g}" for strength in config.strengths]
    return ["zero", "inhibit", "mean", "resample", "patch", *steered]


@dataclass(frozen=True)
class Case:
    """The candidates of one prompt, what is known of them, and the random numbers that it uses."""

    name: str
    config: Interventions
    units: Units
    candidates: Candidates
    alike: Likeness
    predicted: dict[str, np.ndarray]  # method → (candidate,) float64, nats; NaN for what is no node

    @property
    def attribution(self) -> np.ndarray:
        """The attributions by which the circuit is ranked, too: (candidate,) float64."""
        return self.predicted[self.units.rank_by]

    def generator(self, *purpose: str) -> np.random.Generator:
        """Random numbers that depend on the seed, the prompt and the purpose alone."""
        words = hashlib.sha256("\0".join((self.name, *purpose)).encode()).digest()
        return np.random.default_rng([self.config.seed, *np.frombuffer(words[:16], dtype="<u4").tolist()])

    def controls(self, chosen: np.ndarray, *purpose: str) -> Controls:
        """Matched random candidates."""
        config = self.config
        return matched_controls(
            self.candidates,
            self.alike,
            chosen,
            config.controls,
            config.control_pool,
            config.control_caliper,
            self.generator(*purpose),
        )

    def new_values(self, chosen: np.ndarray) -> list[np.ndarray]:
        """New activations of the chosen candidates, (n,) for every kind of edit; NaN where none is known."""
        old, unit = self.candidates.value[chosen], self.candidates.unit[chosen]
        generator = self.generator("donor")
        donors = [i for i, train in enumerate(self.units.train) if train != self.name]
        donated = np.full(len(self.units.mean), np.nan)
        if donors:
            donated = self.units.of_train_prompt(donors[int(generator.integers(len(donors)))])
        values = [
            np.zeros(len(old)),
            -self.config.inhibit * old,
            self.units.mean[unit],
            donated[unit],
            self.candidates.partner[chosen],
        ]
        return [*values, *((1 + strength) * old for strength in self.config.strengths)]
