"""How alike the units of a circuit are, by the four measures of `circuitstore.circuits.supernodes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitstore.circuits.supernodes import correlations, cosines, neighbours

if TYPE_CHECKING:
    import xarray as xr

    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.parts.halves import Unit


class Measures:
    """The measures of some units. What they write and read is the same on all prompts, and is read once."""

    def __init__(self, members: list[Unit], transcoders: Transcoders):
        self.members = members
        layer, feature = np.array([unit[:2] for unit in members], dtype=np.int64).reshape(-1, 2).T
        rows: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        for index in np.unique(layer).tolist():
            ids = np.unique(feature[layer == index])
            of_layer = transcoders.layer(index)
            read, written = (
                part.cpu().numpy() for part in (of_layer.encoder_rows(ids), of_layer.decoder_rows(ids))
            )
            rows |= {(index, i): each for i, *each in zip(ids.tolist(), read, written, strict=True)}
        encoders, decoders = (np.array([rows[unit[:2]][side] for unit in members]) for side in (0, 1))
        self._fixed = [cosines(decoders), cosines(encoders)]

    def on(self, circuit: xr.Dataset) -> np.ndarray:
        """(measure, unit, unit) float64 on the prompts of an aggregated graph, as phase `circuit` has it.

        A unit that the graph does not have is never active in it, and has no edges.
        """
        names = zip(
            circuit.unit_layer.values.tolist(),
            circuit.unit_feature.values.tolist(),
            circuit.unit_role.values.tolist(),
            strict=True,
        )
        number, absent = {unit: i for i, unit in enumerate(names)}, circuit.sizes["unit"]
        rows = np.array([number.get(unit, absent + i) for i, unit in enumerate(self.members)], dtype=np.int64)
        place = np.full(absent + len(rows), -1)
        place[rows] = np.arange(len(rows))
        entry, prompt = place[circuit.activation_unit.values], circuit.activation_prompt.values
        activations = np.zeros((len(rows), int(prompt.max(initial=-1)) + 1))
        there = entry >= 0
        activations[entry[there], prompt[there]] = circuit.activation_value.values[there]
        target, source = (circuit[f"edge_{name}"].values.astype(np.int64) for name in ("target", "source"))
        beside = neighbours(target, source, circuit.edge_weight.values, rows)
        return np.stack([*self._fixed, correlations(activations), beside])
