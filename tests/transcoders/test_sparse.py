"""Sparse rows are read from datasets, and reconstruction measures follow their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from circuitstore.transcoders.reconstruction import explained_variance, normalised_mse, variance_about_mean
from circuitstore.transcoders.sparse import SparseRows


def test_rows_of_a_dataset_give_every_entry_its_position():
    """Positions without entries count too, from the first row and from the last."""
    cell = xr.Dataset(
        {
            "activation.pointer": ("row", np.array([0, 0, 2, 2, 3])),
            "activation.feature": ("entry", np.array([4, 7, 1], dtype=np.int32)),
            "activation.value": ("entry", np.array([0.5, 1, 2], dtype=np.float32)),
        }
    )
    rows = SparseRows.of(cell, "activation")
    assert rows.n_positions == 4 and rows.feature.tolist() == [4, 7, 1]
    assert rows.position.tolist() == [1, 1, 3] and rows.position_from_end.tolist() == [-3, -3, -1]


def test_measures_of_reconstruction_are_their_definitions():
    """From sums over positions alone, several layers at once."""
    rng = np.random.default_rng(0)
    output, error = rng.normal(size=(2, 50, 8)) + 0.4, rng.normal(size=(2, 50, 8)) / 3
    squares, missed = (output**2).sum((1, 2)), (error**2).sum((1, 2))
    variance = [variance_about_mean(squares[i], output[i].sum(0), 50) for i in range(2)]
    centred = output - output.mean(1, keepdims=True)
    expected = 1 - missed / (centred**2).sum((1, 2))
    np.testing.assert_allclose(explained_variance(missed, variance), expected)
    np.testing.assert_allclose(normalised_mse(missed, squares), missed / squares)


@pytest.mark.parametrize("measure", [explained_variance, normalised_mse])
def test_nothing_to_explain_is_zero_and_nan_stays_nan(measure):
    """A NaN of a transcoder must not read as a number."""
    assert measure(0.0, 0.0) == 0
    assert np.isnan(measure(np.nan, 1.0)) and np.isnan(measure(1.0, np.nan))
