"""The features that contribute most to a behaviour, with what they stand for.

python examples/top_features.py plural [STORE [PROFILE]]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import circuitstore as cs


def top_features(
    behaviour: str, store: str | None = None, profile: str | None = None, count: int = 15
) -> list[dict[str, Any]]:
    """A row for each feature: layer, feature, role (where in the prompt), contribution (nats), label, …"""
    circuit = cs.open("circuit", behaviour=behaviour, store=store, profile=profile)
    known = cs.open("interpretation", behaviour=behaviour, store=store, profile=profile)
    labels = dict(
        zip(
            zip(known.layer.values.tolist(), known.feature.values.tolist(), strict=True),
            known.label.values,
            strict=True,
        )
    )

    contribution = circuit.gradient_attribution.values  # or direct_attribution, total_attribution
    features = np.flatnonzero(circuit.unit_kind.values == "feature")
    rows = []
    for i in features[np.argsort(-np.abs(contribution[features]), kind="stable")][:count]:
        layer, feature = int(circuit.unit_layer[i]), int(circuit.unit_feature[i])
        numbers = {"contribution": float(contribution[i]), "frequency": float(circuit.active_frequency[i])}
        rows.append(
            {
                "layer": layer,
                "feature": feature,
                "role": str(circuit.unit_role.values[i]),
                **numbers,
                "label": str(labels[layer, feature]),
            }
        )
    return rows


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(f"{'layer':>5} {'feature':>8}  {'role':<10}{'nats':>7}{'active':>8}  label")
    behaviour, *where = sys.argv[1:4]
    store, profile, *_ = *where, None, None
    for row in top_features(behaviour, store, profile):
        numbers = f"{row['contribution']:>7.2f}{row['frequency']:>8.0%}"
        print(f"{row['layer']:>5} {row['feature']:>8}  {row['role']:<10}{numbers}  {row['label']}")
