"""Areas under faithfulness: known where one feature has all of the effect, and where none has any."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tasks.parts.faithfulness import areas, counterfactual
from tasks.parts.intervals import Intervals

PROMPTS, FEATURES, DRAWS = 60, 100, 200
SIZES = (1, 10, 40)
SHARES = np.array(SIZES) / FEATURES
EMPTY, WHOLE = -3.0, 5.0  # margins, nats


def outcome(margin) -> dict:
    """The summary of margins of every kept set (prompt, size, draw, feature) bool, by `margin` of such sets.

    The circuit keeps the first features, a random circuit any.
    """
    rng = np.random.default_rng(4)
    first = np.arange(FEATURES) < np.array(SIZES)[:, None]
    order = rng.random((PROMPTS, 1, DRAWS, FEATURES)).argsort(-1)
    drawn = order < np.array(SIZES)[:, None, None]
    columns = {
        "base_margin": np.full(PROMPTS, WHOLE),
        "counterfactual_empty_margin": np.full(PROMPTS, EMPTY),
        "counterfactual_count": np.tile(SIZES, (PROMPTS, 1)),
        "counterfactual_features": np.full(PROMPTS, FEATURES),
        "counterfactual_margin": margin(np.broadcast_to(first, (PROMPTS, *first.shape))),
        "counterfactual_random_margin": margin(drawn),
    }
    names = [f"g{i}" for i in range(PROMPTS)]
    coordinates = xr.Dataset(coords={"circuit_size": list(SIZES)})
    return counterfactual(coordinates, columns.__getitem__, Intervals(names, 1, 200, 0.95))


def test_one_feature_that_has_all_of_the_effect():
    """A circuit with it is the model from there on; a random one has it as often as it has any feature."""
    found = outcome(lambda kept: EMPTY + (WHOLE - EMPTY) * kept[..., 0])
    circuit, random = found["circuit"], found["random"]
    assert circuit["cpr"]["value"] == pytest.approx(1 - SHARES[0] / 2)
    assert circuit["cmd"]["value"] == pytest.approx(SHARES[0] / 2)
    assert circuit["measured"]["value"] == pytest.approx(SHARES[-1] - SHARES[0] / 2)
    assert random["cpr"]["value"] == pytest.approx(0.5, abs=0.01)
    assert random["cmd"]["value"] == pytest.approx(0.5, abs=0.01)
    assert random["measured"]["value"] == pytest.approx(SHARES[-1] ** 2 / 2, abs=0.01)


def test_an_effect_in_no_feature_that_is_kept():
    """Margins that are noise about m(∅): nothing was measured, and CPR is what the straight line gives."""
    rng = np.random.default_rng(5)
    found = outcome(lambda kept: EMPTY + 0.1 * rng.standard_normal(kept.shape[:-1]))
    for row in (found["circuit"], found["random"]):
        assert row["measured"]["value"] == pytest.approx(0, abs=0.01)
        assert row["cpr"]["value"] == pytest.approx((1 - SHARES[-1]) / 2, abs=0.02)
        assert row["cpr"]["value"] + row["cmd"]["value"] == pytest.approx(1, abs=0.01)
        assert row["measured"]["low"] < 0 < row["measured"]["high"]


def test_more_than_the_model_counts_against_a_circuit():
    """A circuit without what speaks against the answer has f = 2: CPR is above 1, CMD as far from 0."""
    cpr, cmd, measured = areas(*map(np.array, (0.0, 4.0, 8.0, 8.0, 0.0, 1.0)))
    assert (cpr, cmd, measured) == (2.0, 1.0, 2.0)


def test_an_effect_that_is_not_there_has_no_area():
    """Replacing everything changes nothing: no faithfulness, rather than one of rounding."""
    assert np.isnan(areas(*map(np.array, (5.0, 5.0, 5.00001, 0.5)))).all()
