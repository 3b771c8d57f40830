"""Where in a prompt a patch works: at the words that differ, between these and the answer, or at the answer.

The positions of a minimal pair fall into places:

    contrast   the partner has another token here
    between    after the first of these, before the last token: what the difference passes through
    last       the last token, where the answer is predicted
    before     before the first difference, where activations are those of the partner

All features of a place are patched from the partner, with everything else left to react. If features between
the words and the answer carry an intermediate result, patching them alone changes the answer. If only the
last position does, an intermediate result is found there or nowhere, and `DEPTHS` tell its lower layers from
its upper ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from tasks.parts.edits import Candidates
    from tasks.parts.runs import Runs, Variables

WHERE = ("contrast", "between", "last", "before")
PLACES = {  # what is patched → the places that belong to it
    "contrast": ("contrast",),
    "between": ("between",),
    "last": ("last",),
    "all but last": ("contrast", "between"),
    "all": ("contrast", "between", "last"),
}
DEPTHS = ("all", "lower", "upper")  # layers; "lower" is the first half of them


def where(role: np.ndarray) -> np.ndarray:
    """The place of each position, (position,) text, from the position roles (position,) text."""
    contrast = np.flatnonzero(role == "contrast")
    first = contrast[0] if len(contrast) else len(role) - 1
    places = np.where(np.arange(len(role)) < first, "before", "between").astype("<U8")
    places[contrast] = "contrast"
    places[-1] = "last"
    return places


def plan(runs: Runs, candidates: Candidates, pair: xr.Dataset, n_layers: int) -> Variables:
    """Plan a patch of each place and depth; returns how many features each one sets to another value."""
    shape = (len(PLACES), len(DEPTHS))
    runs.group("place", ("place", "depth"), shape)
    counts = np.zeros(shape, dtype=np.int32)
    if not np.isfinite(candidates.partner).all() or not bool(pair.has_partner):
        return {"place_count": (("place", "depth"), counts)}
    of_candidate = where(pair.role.values)[candidates.position]
    lower = candidates.layer < (n_layers + 1) // 2
    differs = candidates.partner != candidates.value
    for p, members in enumerate(PLACES.values()):
        inside = np.isin(of_candidate, members) & differs
        for d, depth in enumerate((inside, inside & lower, inside & ~lower)):
            chosen = np.flatnonzero(depth)
            counts[p, d] = len(chosen)
            runs.add("place", (p, d), candidates.edits(chosen, candidates.partner[chosen]))
    return {"place_count": (("place", "depth"), counts)}


def counted(candidates: Candidates, pair: xr.Dataset, chosen: np.ndarray) -> np.ndarray:
    """How many of the candidates `chosen` (n,) are at each place: (where,) int32."""
    places = where(pair.role.values)[candidates.position[chosen]]
    return np.array([(places == name).sum() for name in WHERE], dtype=np.int32)
