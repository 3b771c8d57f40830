"""Which features two behaviours share, and whether they do the same work in both.

python examples/shared_features.py plural capital [STORE [PROFILE]]
"""

from __future__ import annotations

import sys

import numpy as np

import circuitstore as cs


def contributions(behaviour: str, store: str | None, profile: str | None) -> dict[tuple[int, int], float]:
    """(layer, feature) → mean contribution to the behaviour's margin on train prompts, nats, over all
    position roles.
    """
    circuit = cs.open("circuit", behaviour=behaviour, store=store, profile=profile)
    features = circuit.unit_kind.values == "feature"
    places = zip(
        circuit.unit_layer.values[features].tolist(),
        circuit.unit_feature.values[features].tolist(),
        strict=True,
    )
    total: dict[tuple[int, int], float] = {}
    for place, value in zip(places, circuit.total_attribution.values[features].tolist(), strict=True):
        total[place] = total.get(place, 0.0) + value
    return total


def shared_features(
    first: str, second: str, store: str | None = None, profile: str | None = None, top: int = 100
) -> dict:
    """Of the `top` features of each: how many both have, how many chance would give, and their contributions
    side by side.
    """
    found = [contributions(behaviour, store, profile) for behaviour in (first, second)]
    best = [set(sorted(one, key=lambda place: -abs(one[place]))[:top]) for one in found]
    both = sorted(best[0] & best[1], key=lambda place: -abs(found[0][place] * found[1][place]))
    pairs = np.array([[one[place] for one in found] for place in both]).reshape(-1, 2)
    active = len(found[0].keys() | found[1].keys())
    return {
        "shared": len(both),
        "by_chance": len(best[0]) * len(best[1]) / max(active, 1),
        "same_sign": float((pairs.prod(1) > 0).mean()) if len(both) else float("nan"),
        "features": [(*place, *values) for place, values in zip(both, pairs.tolist(), strict=True)],
    }


if __name__ == "__main__":
    found = shared_features(*sys.argv[1:5])
    agree = f"; {found['same_sign']:.0%} push both margins the same way" if found["shared"] else ""
    print(f"{found['shared']} shared, {found['by_chance']:.1f} by chance{agree}")
    for layer, feature, one, other in found["features"][:15]:
        print(f"layer {layer:>2} feature {feature:>6}  {one:>7.2f}  {other:>7.2f} nats")
