"""Which active features become nodes, where there are too many of them: the most influential ones.

They are chosen a stage at a time, by influence over the rows known so far. The logits come first. A row holds
every active feature, so all rows together grow with the length of a prompt and may not fit into memory. Those
of a stage are kept if they do. Else they are computed again whenever influence is, one level and
`Batching.block_bytes` at a time, and forgotten when the level has passed its influence on.

Source: the choice in stages follows circuit-tracer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.circuits import pruning
from circuitstore.circuits.batching import batching

if TYPE_CHECKING:
    from circuitstore.circuits.edges import Edges

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """Targets whose rows are known: logits, or features of one stage, or a part of these of one level."""

    targets: Numbers  # (target,) as in `Edges`
    rows: Tensor | None  # (target, possible node); None: to be computed when needed


class Choice:
    """The choice of the feature nodes of one prompt."""

    def __init__(self, edges: Edges):
        self.edges, self.everything = edges, np.arange(edges.n_active)
        self.levels = edges.levels(self.everything)
        self.at_once = batching(edges.device.type)
        self.known: list[Known] = []
        self.kept = 0  # bytes of rows

    def of(self, weights: NDArray[np.float32], limit: int, stage: int) -> Numbers:
        """``limit`` features (feature node,), ascending, chosen ``stage`` at a time.

        ``weights`` (logit,) are those of the logits.
        """
        edges = self.edges
        weight = torch.from_numpy(pruning.padded(weights, len(self.levels))).to(edges.device)
        self._know(edges.n_active + np.arange(edges.n_logits))
        chosen = self.everything[:0]
        while True:
            influence = self._influence(weight)[: edges.n_active]
            ranked = np.argsort(-influence, kind="stable")
            new = np.sort(ranked[~np.isin(ranked, chosen)][: min(stage, limit - len(chosen))])
            chosen = np.concatenate([chosen, new])
            if len(chosen) == limit:
                return np.sort(chosen)
            self._know(new)

    def _know(self, targets: Numbers) -> None:
        """Add targets to those whose rows count, and keep their rows if there is room."""
        size = 4 * len(targets) * len(self.levels)
        if self.kept + size <= self.at_once.chosen_bytes:
            self.kept += size
            self.known.append(Known(targets, self._rows(targets)))
            return
        most = max(self.at_once.block_bytes // (4 * len(self.levels)), 1)
        levels = self.edges.level[targets]
        for level in np.unique(levels):
            same = targets[levels == level]
            parts = np.split(same, range(most, len(same), most))
            self.known += [Known(part, None) for part in parts]

    def _rows(self, targets: Numbers) -> Tensor:
        rows = torch.zeros(len(targets), len(self.levels), device=self.edges.device)
        self.edges.fill(rows, targets, np.arange(len(targets)), self.everything)
        return rows

    def _influence(self, weight: Tensor) -> NDArray[np.float64]:
        """Influence of every possible node over the rows known: (possible node,)."""
        result, edges = torch.zeros_like(weight), self.edges
        for level in range(edges.n_layers, -1, -1):
            for targets, rows in self._of_level(level):
                nodes = np.where(targets < edges.n_active, targets, targets + edges.n_inputs)
                pruning.pass_on(result, weight, nodes, rows)
        return np.asarray(result.cpu().numpy())

    def _of_level(self, level: int) -> Iterator[tuple[Numbers, Tensor]]:
        """Targets of a level, with their rows."""
        for known in self.known:
            members = np.flatnonzero(self.edges.level[known.targets] == level)
            if not len(members):
                continue
            if known.rows is None:
                yield known.targets, self._rows(known.targets)
            else:  # targets ascend, and so do their levels
                yield known.targets[members], known.rows[int(members[0]) : int(members[-1]) + 1]
