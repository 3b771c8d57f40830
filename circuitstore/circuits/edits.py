"""Sets of edits, and what they do to one layer of an edited run (`intervene`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture
from circuitstore.transcoders.feature_rows import FeatureRows
from circuitstore.transcoders.layer import LayerTranscoder
from circuitstore.transcoders.per_layer import Transcoders


class Edit(NamedTuple):
    """Set the activation of one feature at one position."""

    layer: int
    position: int
    feature: int
    value: float


@dataclass(frozen=True)
class _Spot:
    """The edits of one layer at one position, as a table of variants and features."""

    position: int
    variants: Tensor  # (variant,) int64
    columns: Tensor  # (feature,) int64: places among the features of the layer
    value: Tensor  # (variant, feature) float32: the new activation
    edited: Tensor  # (variant, feature) bool: whether this variant edits this feature


@dataclass(frozen=True)
class LayerEdits:
    """The edits of one layer, position by position."""

    features: NDArray[np.int64]  # (feature,) ids, each once
    spots: list[_Spot]

    @classmethod
    def of(cls, edits: NDArray[np.int64], values: NDArray[np.float64]) -> LayerEdits:
        """From columns variant, position and feature, (edit, 3), and new activations (edit,)."""
        features, place = np.unique(edits[:, 2], return_inverse=True)
        spots = []
        for position in np.unique(edits[:, 1]).tolist():
            here = edits[:, 1] == position
            variants, row = np.unique(edits[here, 0], return_inverse=True)
            columns, column = np.unique(place[here], return_inverse=True)
            value = torch.zeros(len(variants), len(columns))
            edited = torch.zeros(value.shape, dtype=torch.bool)
            value[row, column] = torch.from_numpy(values[here].astype(np.float32))
            edited[row, column] = True
            table = (torch.from_numpy(variants), torch.from_numpy(columns), value, edited)
            spots.append(_Spot(position, *table))
        return cls(features, spots)


def edits_by_layer(
    variants: Sequence[Sequence[Edit]] | Sequence[NDArray[np.float64]],
    transcoders: Transcoders,
    n_positions: int,
) -> dict[int, LayerEdits]:
    """The edits by layer. Raises UsageError outside the model, and for two values of one feature."""
    tables = [np.asarray(edits, dtype=np.float64).reshape(-1, 4) for edits in variants]
    layer, position, feature, value = np.concatenate(tables).T
    variant = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    outside = ~np.isin(layer, list(transcoders.layers)) | (position < 0) | (position >= n_positions)
    if outside.any():
        bounds = f"a layer below {transcoders.n_layers}, in use, and a position below {n_positions}"
        edit = tuple(np.concatenate(tables)[outside][0].tolist())
        raise UsageError("intervention", expected=bounds, got=edit)
    edited = np.stack([variant, layer, position, feature], axis=1).astype(np.int64)
    order = np.lexsort(edited.T[::-1])
    twice = (np.diff(edited[order], axis=0) == 0).all(axis=1)
    if twice.any():
        which = int(edited[order][:-1][twice][0, 0])
        raise UsageError(
            f"intervention {which}", expected="one value for a feature at a position", got="several"
        )
    result = {}
    for index in np.unique(edited[:, 1]).tolist():
        here = order[edited[order, 1] == index]
        result[index] = LayerEdits.of(edited[here][:, [0, 2, 3]], value[here])
    return result


class Change(NamedTuple):
    """How far edits move the activations of features at one position of an edited run."""

    spot: _Spot
    features: FeatureRows
    change: Tensor  # (variant, feature) float32


class EditedMLP:
    """Adds the edits of one layer to what its transcoder writes.

    For variants that are ``held`` (variant,) bool, the output is first put back as it was.
    """

    def __init__(
        self,
        transcoder: LayerTranscoder | None,
        edits: LayerEdits | None,
        base: Capture,
        index: int,
        held: Tensor,
        changes: list[Change],
        reach: Callable[[int], range],
    ):
        """``changes`` are those of the layers below, and will hold its own.

        ``reach`` gives the layers that the features of a layer write to.
        """
        self.transcoder, self.edits, self.held, self.index = transcoder, edits, held, index
        self.changes, self.reach = changes, reach
        self.any_held = bool(held.any())
        self.base_input, self.base_output = base.mlp_input[index], base.mlp_output[index]
        self.x: Tensor | None = None

    def read(self, x: Tensor) -> None:
        """Take what the transcoder reads in the edited runs, (variant, position, d_model)."""
        self.x = x

    def written(self, module: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """The output (variant, position, d_model) with the edits: a hook for the module that writes it."""
        x, transcoder = cast(Tensor, self.x), self.transcoder
        if self.any_held:
            before = self.base_output.expand_as(output)
            if transcoder is not None and (skip := transcoder.skip) is not None:
                before = before + ((x - self.base_input).float() @ skip.T).to(output.dtype)
            output = torch.where(self.held[:, None, None], before, output)
        if self.edits is not None and transcoder is not None:
            features = FeatureRows(transcoder, self.edits.features)
            for spot in self.edits.spots:
                self.changes.append(Change(spot, features, self._change(spot, features, x)))
        here = [each for each in self.changes if self.index in self.reach(each.features.transcoder.index)]
        if not here:
            return output
        total = output.float()
        for spot, features, change in here:
            decoders = features.decoders(self.index)[spot.columns]
            total[spot.variants, spot.position] += change @ decoders
        return total.to(output.dtype)

    def _change(self, spot: _Spot, features: FeatureRows, x: Tensor) -> Tensor:
        """New less old activations, (variant, feature), where these are edited, else 0."""
        read = x[spot.variants, spot.position]
        if self.any_held:
            read = torch.where(self.held[spot.variants, None], self.base_input[spot.position], read)
        change = spot.value.to(x.device) - features.activations(read, spot.columns)
        return torch.where(spot.edited.to(x.device), change, 0)
