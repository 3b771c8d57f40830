"""Sets of features that are edited in all ways, and the matched random sets beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasks.parts import places
from tasks.parts.case import kinds
from tasks.parts.edits import first_units, largest
from tasks.parts.runs import REGIMES

if TYPE_CHECKING:
    import xarray as xr

    from tasks.parts.case import Case
    from tasks.parts.runs import Runs, Variables

CHOICES = ("own", "train")
STEERED = "train"  # the choice whose steering has controls
STEERED_DRAWS = 5  # of a set's controls that are steered too, each with every strength
QUALITY = ("set_norm", "control_inside", "control_missing", "control_ratio")


def plan(runs: Runs, case: Case, gain: np.ndarray, pair: xr.Dataset) -> Variables:
    """Plan sets of several sizes, edited in all ways, and matched random sets; returns their facts."""
    config, candidates, attribution = case.config, case.candidates, case.attribution
    active = candidates.active
    either = active | (np.nan_to_num(candidates.partner) != 0)
    sizes, swap_sizes = (len(CHOICES), len(config.sizes)), (len(CHOICES), len(config.swap_sizes))
    runs.group("set", ("choice", "size", "kind", "regime"), (*sizes, len(kinds(config)), len(REGIMES)))
    runs.group("control", ("choice", "size", "draw"), (*sizes, config.controls))
    steered = (len(config.sizes), len(config.strengths), STEERED_DRAWS)
    runs.group("steered_control", ("size", "strength", "steered_draw"), steered)
    runs.group("swap", ("choice", "swap_size"), swap_sizes)
    counts, swapped = np.zeros((2, *sizes), dtype=np.int32), np.zeros(swap_sizes, dtype=np.int32)
    spread, swap_spread = (np.zeros((*shape, len(places.WHERE)), np.int32) for shape in (sizes, swap_sizes))
    quality = np.full((len(QUALITY), *sizes), np.nan, dtype=np.float32)
    shared = [
        np.intersect1d(largest(attribution, size), first_units(candidates, active, size))
        for size in config.sizes
    ]
    has_partner = bool(np.isfinite(candidates.partner).all())

    def to_patch(choice: str, size: int) -> np.ndarray:
        chosen = largest(gain, size) if choice == "own" else first_units(candidates, either, size)
        return chosen if has_partner else chosen[:0]

    for c, choice in enumerate(CHOICES):
        for s, size in enumerate(config.sizes):
            chosen = largest(attribution, size) if choice == "own" else first_units(candidates, active, size)
            patched = to_patch(choice, size)
            counts[:, c, s] = len(chosen), len(patched)
            spread[c, s] = places.counted(candidates, pair, patched)
            values = case.new_values(chosen)
            for k, kind in enumerate(kinds(config)):
                target, new = chosen, values[k]
                if kind == "patch":
                    target, new = patched, candidates.partner[patched]
                for r, regime in enumerate(REGIMES):
                    if len(target) and np.isfinite(new).all():
                        runs.add("set", (c, s, k, r), candidates.edits(target, new), regime)
            quality[:, c, s] = _controlled(runs, case, (c, s), chosen)
        for s, size in enumerate(config.swap_sizes):
            patched = to_patch(choice, size)
            swapped[c, s], swap_spread[c, s] = len(patched), places.counted(candidates, pair, patched)
            if len(patched):
                runs.add("swap", (c, s), candidates.edits(patched, candidates.partner[patched]))
    return {
        "set_count": (("choice", "size"), counts[0]),
        "patch_count": (("choice", "size"), counts[1]),
        "set_shared": ("size", np.array([len(both) for both in shared], dtype=np.int32)),
        "swap_count": (("choice", "swap_size"), swapped),
        "patch_where": (("choice", "size", "where"), spread),
        "swap_where": (("choice", "swap_size", "where"), swap_spread),
        **{name: (("choice", "size"), values) for name, values in zip(QUALITY, quality, strict=True)},
    }


def _controlled(runs: Runs, case: Case, entry: tuple[int, int], chosen: np.ndarray) -> tuple[float, ...]:
    """Plan the matched random sets of a set; returns the numbers `QUALITY` says."""
    candidates, (c, s) = case.candidates, entry
    controls = case.controls(chosen, f"{CHOICES[c]} {case.config.sizes[s]}")
    for draw, index in enumerate(controls.index):
        if controls.complete(draw):
            left = candidates.value[index] * (1 - controls.scale(draw))
            runs.add("control", (c, s, draw), candidates.edits(index, left))
            if CHOICES[c] == STEERED and draw < STEERED_DRAWS:
                for t, strength in enumerate(case.config.strengths):
                    new = candidates.value[index] * (1 + strength * controls.scale(draw))
                    runs.add("steered_control", (s, t, draw), candidates.edits(index, new))
    there = controls.index >= 0
    if not there.any():
        return float(case.alike.size[chosen].sum()), np.nan, 1.0 if len(chosen) else np.nan, np.nan
    return (
        float(case.alike.size[chosen].sum()),
        float(controls.inside[there].mean()),
        float(1 - there.mean()),
        float(np.median(controls.ratio[there])),
    )
