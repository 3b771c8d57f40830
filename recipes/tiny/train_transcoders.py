"""How the JumpReLU transcoders of the tiny model are trained: all layers side by side.

The training itself is in `circuitstore.transcoders.training`.
"""

from __future__ import annotations

from torch import Tensor

from circuitstore.transcoders.training import Recipe, train

# The behaviours in which single words matter have larger shares.
SHARES = {"addition": 0.12, "antonym": 0.38, "capital": 0.33, "plural": 0.17}
SENTENCES = 50_000
RECIPE = Recipe(features=1024, steps=1200, batch=1024, rate=2e-3, l0_start=80.0, l0=15.0)


def train_all(inputs: Tensor, outputs: Tensor, seed: int) -> dict[str, Tensor]:
    """The weights of all layers, with a leading layer axis, from pairs (layer, sample, d_model)."""
    return train(inputs, outputs, RECIPE, seed, _print)


def _print(step: int, unexplained: Tensor, l0: Tensor, silent: int) -> None:
    """Print the progress: explained variance and L0 of every layer."""
    shown = "  ".join(f"{1 - u:.3f}@{n:.1f}" for u, n in zip(unexplained.tolist(), l0.tolist(), strict=True))
    print(f"  step {step:5d}  explained@L0 {shown}  silent {silent}", flush=True)
