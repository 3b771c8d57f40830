"""Phase `supernodes`: a circuit of a behaviour, found by itself, and its features in groups.

**The circuit** is the smallest of `sizes` units (docs/interventions.md, "Names") that is as sufficient and as
necessary as the settings say, in the medians over the *train* prompts; the largest, where none is. Test
prompts have no part in the choice. Both are measured on them too, beside random circuits of equal size
(`tasks.parts.circuit_runs`):

    necessity     P(correct answer) − P(correct answer | the circuit's features are 0), in points
    sufficiency   P(correct answer | all other active features are 0) / P(correct answer)

**Supernodes** are groups of its units that write, read, go with and stand beside the same
(`circuitstore.circuits.supernodes`). Each is named by a label of its features, and taken away by itself.

Built only when asked for. Sources: necessity and sufficiency: N. Vaziri, *CircuitExplorer* (2026), whose
circuits are of one prompt each, and where "all other" are the features of the pruned graph;
docs/supernodes.md says how its numbers differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from circuitstore.circuits.supernodes import agreement, grouped, necessity, needed, sufficiency
from tasks.parts import circuit_runs
from tasks.parts.edits import Units, candidates_of
from tasks.parts.halves import Halves, overlap, ranked, units_of
from tasks.parts.intervals import clusters
from tasks.parts.likeness_of_units import Measures
from tasks.parts.matching import likeness
from tasks.parts.runs import Runs, Variables
from tasks.parts.supernode_graph import Nodes
from tasks.parts.supernode_summary import summarise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.parts.edits import Candidates
    from tasks.settings.phases import Supernodes

OTHER_SEEDS = 5  # groupings with other shuffles, to see how far the groups depend on them
FACTS = ("text", "split", "group", "partner")  # of prompts
UNIT = ("layer", "feature", "role")
NATS = {"units": "nats"}


def supernodes(
    cells: list[Coords],
    config: Supernodes,
    prompts: Upstream,
    pairs: Upstream,
    interpretation: Upstream,
    circuit: Upstream,
    attribution: Upstream,
    model: LanguageModel,
    transcoders: Transcoders,
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset. `measured` runs over all prompts, `unit` over the circuit's, in order of rank.

    The circuit:

        circuit_size                      int32: its units
        unit_layer, unit_feature          (unit,) int32
        unit_role                         (unit,) text
        unit_attribution                  (unit,) float32, nats: the mean contribution that ranks it
        unit_supernode                    (unit,) int32

    Supernodes. First come the groups of two units and more, then single units, each by the size of their
    contribution; then all features outside the circuit, all errors, the embeddings by role, and the margin:

        supernode_kind                    (supernode,) text: "group", "feature", "others", "error",
                                          "embedding" or "margin"
        supernode_name, supernode_role    (supernode,) text: of features, by the label and the role that most
                                          of their contribution has
        supernode_units, supernode_first_layer, supernode_last_layer   (supernode,) int32; -1 for no layers
        supernode_likeness                (supernode,) float32: mean over pairs of units; NaN without any
        supernode_total                   (supernode,) float32, nats: mean total contribution to the margin
        edge_target, edge_source          (edge,) int32
        edge_weight                       (edge,) float32, nats: mean over train prompts of what the source
                                          contributes to the margin by way of the target
        likeness_needed                   float32: what chance does not reach; NaN for fewer than two units

    Runs. GROUP_MEASURE, as in phase `interventions`, for the groups base (measured,), circuit and complement
    (measured, size): the circuit alone and taken away; random_circuit and random_complement (measured,
    draw): random circuits of equal size in its place; without_supernode (measured, group). From them:

        necessity, sufficiency                  (measured, size) float32: points; share
        random_necessity, random_sufficiency    (measured, draw) float32: NaN where a draw lacks a control
        circuit_count                           (measured, size) int32: active features of the circuit
        random_missing, random_elsewhere, random_inside, random_ratio   (measured,) float32: how good the
                                                match is (`tasks.parts.circuit_runs`)
        measured_prompt, measured_text, measured_split, measured_group, measured_partner   (measured,) text

    Stability. Where the train prompts are one lexical group, there are no halves:

        overlap             (split,) float32: Jaccard index of the circuits of two halves of the train prompts
        halves_agreement    (split,) float32: adjusted Rand index of the groups that the halves make of the
                            circuit's units
        seeds_agreement     (other_seed,) float32: the same, of the groups and those with another seed
    """
    cell = cells[0]
    merged = circuit.one(cell)
    units, rank_by = Units(merged), str(merged.attrs["rank_by"])
    rows = {str(coords["prompt"]): row for coords, row in prompts.all(cell)}
    pair = {str(coords["prompt"]): row for coords, row in pairs.all(cell)}
    train = [str(name) for name in merged.train_prompt.values]
    halves = Halves(_clusters({name: rows[name] for name in train}), config.splits, config.seed)
    candidates: dict[str, Candidates] = {}
    made: dict[str, Variables] = {}
    for coords, graph in attribution.each(cell):
        name = str(coords["prompt"])
        candidates[name], runs = candidates_of(graph, pair[name], units), Runs()
        counts = circuit_runs.of_sizes(runs, candidates[name], config.sizes)
        made[name] = {"circuit_count": (("size",), counts)}
        made[name] |= circuit_runs.make(runs, model, transcoders, rows[name])
        if name in train:
            halves.add(name, graph, pair[name])

    size = _smallest([made[name] for name in train], config)
    chosen = ranked(merged, rank_by)[:size]
    members, value = units_of(merged, chosen), merged[f"{rank_by}_attribution"].values[chosen]
    measures = Measures(members, transcoders)
    alike = measures.on(merged)
    group = _grouped(alike, config, config.seed)
    nodes = Nodes(members, group, value, merged.unit_role.values[merged.unit_kind.values == "embedding"])

    of_unit = np.full(merged.sizes["unit"] + 1, -1)  # the last stands for no unit
    of_unit[chosen] = nodes.of_unit
    for name, each in candidates.items():
        runs = Runs()
        made[name] |= circuit_runs.at_random(runs, each, likeness(each, transcoders), size, name, config)
        circuit_runs.of_supernodes(runs, each, of_unit[each.unit], nodes.groups)
        made[name] |= circuit_runs.make(runs, model, transcoders, rows[name])
    yield (
        cell,
        xr.Dataset(
            {
                "circuit_size": ((), np.int32(size)),
                **{
                    f"unit_{key}": ("unit", np.array([unit[i] for unit in members], dtype=kind))
                    for i, (key, kind) in enumerate(
                        (("layer", np.int32), ("feature", np.int32), ("role", str))
                    )
                },
                "unit_attribution": ("unit", value, NATS),
                "unit_supernode": ("unit", nodes.of_unit.astype(np.int32)),
                **nodes.variables(alike.mean(axis=0), interpretation.one(cell)),
                **nodes.edges(attribution.each(cell), pair, train),
                "likeness_needed": ((), np.float32(_needed(alike, config, config.seed))),
                **_measured(made, rows),
                **_stability(halves.finish(), measures, group, alike, rank_by, config),
            },
            coords={"size": np.array(config.sizes, dtype=np.int32)},
            attrs={"structure": "tree", "rank_by": rank_by},
        ),
    )


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Supernodes) -> dict[str, object]:
    """The circuit's size and groups, necessity and sufficiency beside random circuits, and stability."""
    ((_, cell),) = cells
    return summarise(cell, config)


def _clusters(rows: dict[str, xr.Dataset]) -> dict[str, str]:
    """What stands in one half, by prompt: its lexical group, else its minimal pair."""
    groups, partners = ([str(row[name].values) for row in rows.values()] for name in ("group", "partner"))
    return dict(zip(rows, clusters(groups, list(rows), partners), strict=True))


def _smallest(made: list[Variables], config: Supernodes) -> int:
    """The smallest size that is necessary and sufficient in the median of these prompts, or the largest."""
    lost, held = (np.median(np.stack(side), axis=0) for side in zip(*map(_share, made), strict=True))
    enough = (lost >= config.necessity) & (held >= config.sufficiency)
    return min(np.array(config.sizes)[enough].tolist(), default=max(config.sizes))


def _share(made: Variables, prefix: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Necessity, in points, and sufficiency from the runs of one prompt."""
    whole = made["base_probability_correct"][1]
    without, alone = (made[f"{prefix}{name}_probability_correct"][1] for name in ("complement", "circuit"))
    return necessity(whole, without), sufficiency(whole, alone)


def _needed(alike: np.ndarray, config: Supernodes, seed: int) -> float:
    """How alike units must be to form a group, from their measures (measure, unit, unit)."""
    return needed(alike, config.shuffles, config.level, seed)


def _grouped(alike: np.ndarray, config: Supernodes, seed: int) -> np.ndarray:
    """The group of each unit, from the same."""
    return grouped(alike.mean(axis=0), _needed(alike, config, seed))


def _measured(made: dict[str, Variables], rows: dict[str, xr.Dataset]) -> Variables:
    """The runs of all prompts, with what follows from them, and what the prompts are."""
    for each in made.values():
        dims = {"": ("size",), "random_": ("draw",)}
        for prefix, axes in dims.items():
            lost, held = _share(each, prefix)
            each[f"{prefix}necessity"] = (axes, lost.astype(np.float32), {"units": "points"})
            each[f"{prefix}sufficiency"] = (axes, held.astype(np.float32))
    runs = {
        key: (("measured", *dims), np.stack([each[key][1] for each in made.values()]), *rest)
        for key, (dims, _, *rest) in next(iter(made.values())).items()
    }
    return {
        **runs,
        "measured_prompt": ("measured", np.array(list(made))),
        **{
            f"measured_{name}": ("measured", np.array([str(rows[prompt][name].values) for prompt in made]))
            for name in FACTS
        },
    }


def _stability(
    halves: list[tuple[xr.Dataset, xr.Dataset]],
    measures: Measures,
    group: np.ndarray,
    alike: np.ndarray,
    rank_by: str,
    config: Supernodes,
) -> Variables:
    """How far circuit and groups depend on the prompts and on the seed."""
    count = len(measures.members)
    shared, agreed = [], []
    for both in halves:
        shared.append(overlap(*(units_of(half, ranked(half, rank_by)[:count]) for half in both)))
        agreed.append(agreement(*(_grouped(measures.on(half), config, config.seed) for half in both)))
    again = [_grouped(alike, config, config.seed + 1 + other) for other in range(OTHER_SEEDS)]
    numbers = {
        "overlap": ("split", shared),
        "halves_agreement": ("split", agreed),
        "seeds_agreement": ("other_seed", [agreement(group, other) for other in again]),
    }
    return {name: (dim, np.array(values, dtype=np.float32)) for name, (dim, values) in numbers.items()}
