"""How much of the margin a circuit keeps, by its size: faithfulness, and the areas that sum it up.

With every other feature replaced, a circuit C has the margin m(C), and no circuit m(∅). Its faithfulness is
f = (m(C) - m(∅)) / (m(M) - m(∅)), a ratio of means over prompts. Two areas sum up a curve of f over the share
of features kept, from 0 to 1: CPR = ∫ f is how much a circuit keeps, and CMD = ∫ |1 - f| how far it is from
the model. CPR is best large, CMD best small.

Sources: faithfulness: *Sparse Feature Circuits* (Marks et al., 2024), §4; CPR and CMD: *MIB: A Mechanistic
Interpretability Benchmark* (Mueller et al., 2025), §3, where components are edges or nodes of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from tasks.parts.intervals import Intervals

    Column = Callable[[str], np.ndarray]


ROUNDING = 1e-4  # nats; margins are float32, so smaller differences are none


def faithfulness(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> list[dict[str, Any]]:
    """A row for each circuit size, features replaced as configured."""
    base, empty, rows = column("base_margin"), column("empty_margin"), []
    for s, size in enumerate(coordinates.circuit_size.values.tolist()):
        row: dict[str, Any] = {"size": size, "features": float(column("circuit_count")[:, s].mean())}
        for name, group in (("faithfulness", "circuit"), ("complement", "complement")):
            row[name] = intervals.of(_share, column(f"{group}_margin")[:, s], empty, base)
        rows.append(row)
    return rows


def empty_share(column: Column, intervals: Intervals) -> dict[str, Any]:
    """m(∅) / m(M): what share of the margin faithfulness 0 stands for, by what replaces features."""
    base = column("base_margin")
    return {
        fill: intervals.of(lambda none, whole: none / whole, column(f"{group}_margin"), base)
        for fill, group in (("configured", "empty"), ("partner", "counterfactual_empty"))
    }


def counterfactual(coordinates: xr.Dataset, column: Column, intervals: Intervals) -> dict[str, Any]:
    """Features replaced by the partner's: a row for each size, and both areas, also of random circuits.

    `measured` is the part of CPR that lies under circuits that were run; the rest lies under the straight
    line from the largest of them to the whole model.
    """
    whole, none = column("base_margin"), column("counterfactual_empty_margin")
    known = np.isfinite(none)
    base = np.where(known, whole, np.nan)
    kept = column("counterfactual_count") / np.maximum(column("counterfactual_features"), 1)[:, None]
    kept = np.where(known[:, None], kept, np.nan)
    curves = {
        "circuit": column("counterfactual_margin"),
        "random": column("counterfactual_random_margin").mean(axis=2),
    }
    result: dict[str, Any] = {"rows": []}
    for s, size in enumerate(coordinates.circuit_size.values.tolist()):
        row: dict[str, Any] = {"size": size, "share": intervals.mean(kept[:, s])}
        for name, margins in curves.items():
            row[name] = intervals.of(_share, margins[:, s], none, base)
        result["rows"].append(row)
    for name, margins in curves.items():
        columns = (none, base, *margins.T, *kept.T)
        result[name] = {
            area: intervals.of(lambda *means, i=i: areas(*means)[i], *columns)
            for i, area in enumerate(("cpr", "cmd", "measured"))
        }
    return result


def areas(none: np.ndarray, whole: np.ndarray, *rest: np.ndarray) -> tuple[np.ndarray, ...]:
    """CPR and CMD, from means: m(∅), m(M), then m(C) of each size, then the share of features kept of each.

    The curve begins at (0, 0) and ends at (1, 1); between its points it is straight. The third result is the
    part of CPR up to the largest circuit. The arguments are numbers or arrays (draw,), and so are the
    results.
    """
    count = len(rest) // 2
    zero, one = np.zeros_like(whole, dtype=float), np.ones_like(whole, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        f = np.stack([zero, *(_share(margin, none, whole) for margin in rest[:count]), one])
    kept = np.stack([zero, *rest[count:], one])
    order = np.argsort(kept, axis=0, kind="stable")
    f, kept = np.take_along_axis(f, order, 0), np.take_along_axis(kept, order, 0)
    cpr, cmd, measured = (
        np.trapezoid(y, x, axis=0) for y, x in ((f, kept), (np.abs(1 - f), kept), (f[:-1], kept[:-1]))
    )
    return cpr, cmd, measured


def _share(margin: np.ndarray, none: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Faithfulness from mean margins; NaN where replacing everything changes nothing beyond rounding."""
    room = np.asarray(whole - none)
    share: np.ndarray = (margin - none) / np.where(np.abs(room) > ROUNDING, room, np.nan)
    return share
