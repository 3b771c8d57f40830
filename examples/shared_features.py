"""Which features two behaviours share, and whether they do the same work in both.

python examples/shared_features.py plural capital [STORE [PROFILE]]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import circuitstore as cs


def contributions(behaviour: str, store: str | None, profile: str | None) -> dict[tuple[int, int], float]:
    """(layer, feature) → mean contribution to the margin on train prompts, nats, over all position roles."""
    circuit = cs.open("circuit", behaviour=behaviour, store=store, profile=profile)
    features = circuit.unit_kind.values == "feature"
    ids = zip(
        circuit.unit_layer.values[features].tolist(),
        circuit.unit_feature.values[features].tolist(),
        strict=True,
    )
    total: dict[tuple[int, int], float] = {}
    for feature, value in zip(ids, circuit.total_attribution.values[features].tolist(), strict=True):
        total[feature] = total.get(feature, 0.0) + value
    return total


def shared_features(
    first: str, second: str, store: str | None = None, profile: str | None = None, top: int = 100
) -> dict[str, Any]:
    """How many of the `top` features of each behaviour both share, and how many chance would give.

    `features` lists them with both contributions side by side.
    """
    totals = [contributions(behaviour, store, profile) for behaviour in (first, second)]
    best = [set(sorted(total, key=lambda feature: -abs(total[feature]))[:top]) for total in totals]
    both = sorted(best[0] & best[1], key=lambda feature: -abs(totals[0][feature] * totals[1][feature]))
    pairs = np.array([[total[feature] for total in totals] for feature in both]).reshape(-1, 2)
    active = len(totals[0].keys() | totals[1].keys())
    return {
        "shared": len(both),
        "by_chance": len(best[0]) * len(best[1]) / max(active, 1),
        "same_sign": float((pairs.prod(1) > 0).mean()) if len(both) else float("nan"),
        "features": [(*feature, *values) for feature, values in zip(both, pairs.tolist(), strict=True)],
    }


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    first, second, *where = sys.argv[1:5]
    store, profile, *_ = *where, None, None
    answer = shared_features(first, second, store, profile)
    agree = f"; {answer['same_sign']:.0%} push both margins the same way" if answer["shared"] else ""
    print(f"{answer['shared']} shared, {answer['by_chance']:.1f} by chance{agree}")
    for layer, feature, one, other in answer["features"][:15]:
        print(f"layer {layer:>2} feature {feature:>6}  {one:>7.2f}  {other:>7.2f} nats")
