"""What phase `supernodes` says of the whole: its circuit and groups in numbers, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.parts.intervals import Intervals, clusters, plain

if TYPE_CHECKING:
    import xarray as xr

    from tasks.settings.phases import Supernodes


def summarise(cell: xr.Dataset, config: Supernodes) -> dict[str, Any]:
    """Plain data, with an entry for each split of the prompts:

    circuit_size       units of the circuit
    groups             a row for each group of units, see `_groups`
    train, test        see `_of_split`
    overlap, halves_agreement, seeds_agreement   means; None where there are none
    """
    split = cell.measured_split.values
    return {
        "circuit_size": int(cell.circuit_size),
        "groups": _groups(cell),
        **{name: _of_split(cell.isel(measured=split == name), config) for name in sorted({*split.tolist()})},
        **{
            name: plain(float(cell[name].mean())) if cell[name].size else None
            for name in ("overlap", "halves_agreement", "seeds_agreement")
        },
    }


def _groups(cell: xr.Dataset) -> list[dict[str, Any]]:
    """A row for each group, with the mean change of the margin on test prompts when it is taken away."""
    rows: list[dict[str, Any]] = []
    test = cell.isel(measured=cell.measured_split.values == "test")
    for i in np.flatnonzero(cell.supernode_kind.values == "group").tolist():
        change = (test.without_supernode_margin.values[:, i] - test.base_margin.values).astype(np.float64)
        known = np.isfinite(change)
        rows.append(
            {
                **{key: str(cell[f"supernode_{key}"].values[i]) for key in ("name", "role")},
                "units": int(cell.supernode_units[i]),
                "likeness": plain(float(cell.supernode_likeness[i])),
                "total": plain(float(cell.supernode_total[i])),
                "change": plain(float(change[known].mean())) if known.any() else None,
                "prompts": int(known.sum()),
            }
        )
    return rows


def _of_split(cell: xr.Dataset, config: Supernodes) -> dict[str, Any]:
    """Necessity and sufficiency of the circuit over the prompts of a split, beside random circuits.

    Means over prompts have intervals; medians are those of the prompts, as published. `exceeded` is the mean
    share of random circuits that are at least as necessary, or sufficient, as the circuit.
    """
    names = (cell[f"measured_{name}"].values.tolist() for name in ("group", "prompt", "partner"))
    intervals = Intervals(clusters(*names), config.seed, config.bootstrap, config.confidence)
    s = cell["size"].values.tolist().index(int(cell.circuit_size))
    result: dict[str, Any] = {
        "prompts": cell.sizes["measured"],
        "features": intervals.mean(cell.circuit_count.values[:, s].astype(np.float64)),
    }
    for name in ("necessity", "sufficiency"):
        value, random = (cell[key].values.astype(np.float64) for key in (name, f"random_{name}"))
        above = np.where(np.isfinite(random), random >= value[:, s, None], np.nan)
        result[name] = {
            "mean": intervals.mean(value[:, s]),
            "median": plain(float(np.median(value[:, s]))),
            "random": intervals.mean(_mean(random)),
            "exceeded": intervals.mean(_mean(above)),
            "by_size": {
                str(size): plain(float(np.median(value[:, i])))
                for i, size in enumerate(cell["size"].values.tolist())
            },
        }
    result |= {
        key: intervals.mean(cell[f"random_{key}"].values.astype(np.float64))
        for key in ("missing", "elsewhere", "inside", "ratio")
    }
    return result


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis, NaN left out; NaN where there is nothing."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)
