"""Any selection of any variable of any phase is NumPy's on the dense array: values, dtype and shape."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from workspace import PIPELINE

import circuitstore as cs

PHASES = [task.name for task in PIPELINE.tasks]
WIDEST = 24  # indices are drawn among the first and last so many of a dim


def indices(size: int) -> st.SearchStrategy:
    """One dim's selection: a number, a slice with any step, a list with duplicates or empty, a mask."""
    near = st.integers(-size, max(size - 1, 0)).map(lambda i: i if abs(i) < WIDEST else i % WIDEST)
    bound = st.none() | st.integers(-size - 2, size + 2)
    step = st.none() | st.integers(-3, 3).filter(bool)
    some = [
        st.builds(slice, bound, bound, step),
        st.lists(near, max_size=6 if size else 0).map(lambda chosen: np.array(chosen, dtype=np.int64)),
    ]
    if size <= WIDEST:
        some.append(
            st.lists(st.booleans(), min_size=size, max_size=size).map(lambda m: np.array(m, dtype=bool))
        )
    return st.one_of(near, *some) if size else st.one_of(some)


def dense_selection(dense: np.ndarray, key: tuple) -> np.ndarray:
    """What NumPy gives where each dim is indexed by itself."""
    for axis in reversed(range(dense.ndim)):
        dense = dense[(slice(None),) * axis + (key[axis],)]
    return dense


def variables(opened: xr.Dataset | xr.DataTree) -> dict[str, xr.DataArray]:
    """Every variable by name, of the first node where cells are nodes."""
    dataset = opened if isinstance(opened, xr.Dataset) else opened.leaves[0].to_dataset()
    return {str(name): dataset[name] for name in dataset.data_vars}


class Both:
    """The variables of phases, lazy and as dense arrays."""

    def __init__(self, **where: str):
        self.where = where
        self._opened: dict[tuple[str, bool], dict[str, tuple[xr.DataArray, np.ndarray]]] = {}

    def of(self, phase: str, one_behaviour: bool = True) -> dict[str, tuple[xr.DataArray, np.ndarray]]:
        """Name → (lazy, dense) of each variable of a phase."""
        if (phase, one_behaviour) not in self._opened:
            which = {"behaviour": "mine"} if one_behaviour else {}
            lazy, dense = (variables(cs.open(phase, **self.where, **which)) for _ in range(2))
            pairs = {name: (lazy[name], np.asarray(dense[name].values)) for name in lazy}
            self._opened[phase, one_behaviour] = pairs
        return self._opened[phase, one_behaviour]


@pytest.fixture(scope="module")
def both(built) -> Both:
    return Both(profile=str(built.profile), store=str(built.store))


@pytest.mark.parametrize("one_behaviour", [True, False])
@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_selection_is_that_of_numpy(both, phase, one_behaviour, data):
    """Scalars, negative steps, empties, duplicates, masks, and all of them at once on different dims."""
    cases = both.of(phase, one_behaviour)
    lazy, dense = cases[data.draw(st.sampled_from(sorted(cases)))]
    key = tuple(data.draw(indices(size)) for size in dense.shape)
    got, expected = lazy[key].values, dense_selection(dense, key)
    np.testing.assert_array_equal(got, expected)
    assert np.asarray(got).shape == np.asarray(expected).shape
    if expected.dtype.kind != "U":
        assert np.asarray(got).dtype == expected.dtype


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_selections_one_after_the_other(both, phase, data):
    """A selection of a selection, lazy until the end."""
    cases = both.of(phase)
    lazy, dense = cases[data.draw(st.sampled_from(sorted(cases)))]
    for _ in range(2):
        key = tuple(data.draw(indices(size)) for size in dense.shape)
        lazy, dense = lazy[key], dense_selection(dense, key)
    np.testing.assert_array_equal(lazy.values, dense)


@pytest.mark.parametrize("phase", PHASES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_points_along_all_dims_at_once(both, phase, data):
    """Indices that go together, one point each, as `isel` takes them with a dim of their own."""
    cases = {name: pair for name, pair in both.of(phase).items() if pair[1].ndim and pair[1].size}
    lazy, dense = cases[data.draw(st.sampled_from(sorted(cases)))]
    count = data.draw(st.integers(1, 4))
    points = [
        np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=count, max_size=count)))
        for size in dense.shape
    ]
    chosen = {dim: ("point", index) for dim, index in zip(lazy.dims, points, strict=True)}
    np.testing.assert_array_equal(lazy.isel(chosen).values, dense[tuple(points)])
