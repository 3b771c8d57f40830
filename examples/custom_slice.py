"""A slice of the store as a picture: the activation of a feature, beside the margins of all behaviours.

python examples/custom_slice.py plural 2 17 slice.png [STORE [PROFILE]]
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np

import circuitstore as cs


def custom_slice(
    behaviour: str, layer: int, feature: int, path: str, store: str | None = None, profile: str | None = None
) -> np.ndarray:
    """Draw to `path`, in any format of matplotlib; returns the activations (prompt, position).

    They are NaN where a prompt is shorter.
    """
    features = cs.open("features", behaviour=behaviour, store=store, profile=profile)
    activation = features.activation.sel(layer=layer, feature=feature)  # only this is read
    baseline = cs.open("baseline", store=store, profile=profile)  # of all behaviours, along a dim

    figure, (left, right) = plt.subplots(1, 2, figsize=(6.7, 3), layout="constrained")
    positions = activation.position.values
    extent = (positions[0] - 0.5, positions[-1] + 0.5, len(activation), 0)
    image = left.imshow(activation.values, aspect="auto", interpolation="nearest", extent=extent)
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set(
        xlabel="position (−1 is the last token)", ylabel="prompt", title=f"layer {layer}, feature {feature}"
    )
    figure.colorbar(image, ax=left, label="activation")
    margins = [values[np.isfinite(values)] for values in baseline.logit_difference.values]
    right.boxplot(margins, tick_labels=baseline.behaviour.values.tolist())
    right.axhline(0, color="grey", linewidth=0.6)
    right.set(ylabel="margin (nats)", title="all behaviours")
    right.tick_params(axis="x", rotation=30)
    figure.savefig(path)
    plt.close(figure)
    return np.asarray(activation.values)


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    name, layer, feature, path, *where = sys.argv[1:]
    values = custom_slice(name, int(layer), int(feature), path, *where)
    active = (np.nan_to_num(values) > 0).any(1).sum()
    print(f"{np.nanmax(values):.2f} at most, active in {active} of {len(values)} prompts; see {path}")
