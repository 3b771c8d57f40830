"""Phase `features`: what is counted where."""

from __future__ import annotations

import numpy as np

from tasks.features import summary
from tasks.settings.phases import Features


def test_activity_of_the_prepended_token_is_no_number(cells_of):
    """NaN there, so that a plain mean over positions is over those that have features."""
    for _, cell in cells_of["features"].pairs:
        counts = np.diff(cell["activation.pointer"].values)
        assert np.isnan(cell.l0.values[0]) and counts[0] == 0
        np.testing.assert_array_equal(cell.l0.values[1:], counts[1:])


def test_the_summary_is_a_mean_over_positions_with_features(cells_of):
    """The same as the mean of all numbers that are there."""
    first = [(coords, cell) for coords, cell in cells_of["features"].pairs if coords["layer"] == 0]
    every = np.concatenate([cell.l0.values for _, cell in first])
    assert np.isclose(summary(first, Features())["layers"]["0"]["l0"], np.nanmean(every))
