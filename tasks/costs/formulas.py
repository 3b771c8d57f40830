"""What each phase computes, holds and stores, as formulas over shapes: the arithmetic behind `plan`.

One function a phase, of a `Job` (the sizes of a model, its prompts and settings) to its `Work`. They follow
what the phases do and are to be changed with them. A phase without one costs an unknown amount. The constants
are measured; docs/real-models.md says on what, and how far the sums are from measurements.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from circuitstore.circuits.batching import EDITED_RUNS
from circuitstore.engine.limits import KEPT_BYTES
from tasks.costs.graphs import EDGE_BYTES, attribution, graph
from tasks.costs.job import COMMIT, OBJECT_STORED, PER_CELL_STORED, Job, Product, Work
from tasks.settings.phases import Interventions, Supernodes

MB = 1_000_000
READ_CELL = 30_000  # bytes of a small cell that is read, beside its arrays
GROUPINGS = 6  # of the whole circuit: with its seed and with others
STEERED = 5  # draws of a set's controls that are steered too
UNIT = 300  # bytes of an entry in a table by unit, or by edge
ACTIVATIONS_STORED = {2: 0.68, 4: 0.74}  # of their bytes, by bytes of a number: measured after compression


class Formula(msgspec.Struct, frozen=True):
    """How a phase's work follows from its job, and the bytes that a process takes that imports the phase.

    Of a phase that reads the model, `plan` knows what importing takes.
    """

    work: Callable[[Job], Work]
    imported: int = 0


def _prompts(job: Job) -> Work:
    return Work(1, 0, 0, 450 * job.prompts + 6000, [])


def _baseline(job: Job) -> Work:
    batch = 2000 * min(job.prompts, job.task.batch)
    stored = OBJECT_STORED * math.ceil(job.prompts / job.task.batch) + 580 * job.prompts
    return Work(job.prompts, batch, job.captured(patterns=False), stored, job.each(job.forward))


def _activations(job: Job) -> Work:
    cells = job.prompts * job.kept_layers
    row = 3 * job.d * job.itemsize
    batch = min(cells, job.task.batch) * max(job.kept, default=0) * row
    arrays = ACTIVATIONS_STORED[job.itemsize] * sum(job.kept) * job.kept_layers * row
    stored = arrays + PER_CELL_STORED * cells
    return Work(cells, COMMIT * batch, job.captured(patterns=False), stored, job.each(job.forward))


def _features(job: Job) -> Work:
    """A batch is one layer of many prompts: read and raised to float32, their features found, and written."""
    cells = job.prompts * job.kept_layers
    together = min(job.task.batch, job.prompts) / max(job.prompts, 1)
    kept, encoded = (together * sum(values) for values in (job.kept, job.encoded))
    entries = encoded * job.active
    opened = min(KEPT_BYTES, sum(job.kept) * job.kept_layers * 3 * job.d * job.itemsize)
    written = COMMIT * (entries * 8 + together * job.prompts * job.d * 8)
    host = opened + kept * 3 * job.d * job.itemsize + written
    tensors = kept * job.d * (4 * 2 + job.itemsize) + entries * 40 + job.uploaded
    sparse = job.kept_layers * sum(job.encoded) * job.active * 5.5
    stored = sparse + cells * (PER_CELL_STORED + 0.6 * 8 * job.d)
    one = Product(2 * job.features * job.d * sum(job.encoded), job.encoder_bytes, "float32", job.kept_layers)
    return Work(cells, host, tensors, stored, [one], job.kept_layers * job.encoder_bytes)


def _read_features(job: Job) -> float:
    """Bytes of all features of all prompts, read at once."""
    cells = job.prompts * job.kept_layers * (READ_CELL + 8 * job.d)
    return cells + job.kept_layers * sum(job.encoded) * job.active * 8


def _pairs(job: Job) -> Work:
    entries = job.kept_layers * sum(job.encoded) * job.active
    return Work(1, _read_features(job) + entries * 16, 0, entries * 6 + PER_CELL_STORED * job.prompts, [])


def _interpretation(job: Job) -> Work:
    """At most: every position of every prompt could have features of its own. A layer at a time is dense."""
    contexts, block = sum(job.encoded), min(16_384, job.vocabulary)
    units = min(job.features, contexts * job.active)
    dense = units * (8 * contexts + 8 * job.prompts * job.longest + 800)
    lens = 4 * block * (2 * 1024 + job.d) + 8 * units * job.d
    size = job.vocabulary * job.d
    one = Product(2 * units * size, size * job.itemsize, "float32", job.kept_layers)
    return Work(1, _read_features(job) + dense, lens, job.kept_layers * units * 400, [one])


def _circuit(job: Job) -> Work:
    """Graphs are read one at a time and added up by unit."""
    graphs = [graph(job, n, encoded) for n, encoded in zip(job.tokens, job.encoded, strict=True)]
    largest = max((one.edges for one in graphs), default=0)
    tables = sum(UNIT * one.active + 80 * one.nodes + 0.02 * UNIT * one.edges for one in graphs)
    read = KEPT_BYTES + 2 * EDGE_BYTES * largest
    return Work(1, read + tables, 0, sum(60 * one.active for one in graphs), [])


def _figures(job: Job) -> Work:
    return Work(1, _read_features(job) + KEPT_BYTES, 0, 12e6, [])


def _interventions(job: Job) -> Work:
    """Every set of edits is one run of the model. Equal sets run once."""
    config = job.profile.of(Interventions)
    kinds = 5 + len(config.strengths)
    runs = config.features * (kinds * 2 + config.controls)
    runs += 2 * len(config.sizes) * (2 * kinds + config.controls)
    runs += len(config.sizes) * len(config.strengths) * min(config.controls, STEERED)
    runs += 2 * len(config.swap_sizes) + 2 * len(config.circuit_sizes) + 2
    return _edited(job, runs, 20_000 * job.prompts)


def _supernodes(job: Job) -> Work:
    """Circuits of every size and random ones are run; then the units of the chosen one are compared."""
    config = job.profile.of(Supernodes)
    most = max(config.sizes)
    runs = 2 * len(config.sizes) + 2 * config.controls + most / 4 + 1  # groups of four units
    work = _edited(job, runs, 4000 * job.prompts)
    compared = config.shuffles * (GROUPINGS + 2 * config.splits) * most**2
    tables = 12 * 8 * most**2 + 2 * config.splits * _circuit(job).host
    products = [*work.products, Product(8 * compared, 0, "float32")]  # shuffling and linkage, about
    return Work(1, work.host + tables, work.tensors, work.stored, products)


def _edited(job: Job, runs: float, stored: float) -> Work:
    """So many edited runs of each prompt, each prompt's graph being read."""
    n = job.longest
    layer = EDITED_RUNS * n * (3 * job.d_mlp + 8 * job.d + 3 * job.width) * job.itemsize
    layer += 3 * 4 * EDITED_RUNS * n * job.d
    logits = 5 * 4 * EDITED_RUNS * job.vocabulary
    largest = graph(job, n, max(job.encoded, default=0))
    edits = 3 * 4 * job.d * largest.active / job.layers
    opened = min(KEPT_BYTES, job.task.batch * EDGE_BYTES * largest.edges) + EDGE_BYTES * largest.edges
    tensors = job.captured(patterns=True) + max(layer, logits) + edits
    products = job.each(lambda m: job.forward(m, EDITED_RUNS, runs / EDITED_RUNS))
    return Work(job.prompts, opened, tensors, stored, products)


FORMULAS = {
    "prompts": Formula(_prompts, 231 * MB),
    "baseline": Formula(_baseline),
    "activations": Formula(_activations),
    "features": Formula(_features, 216 * MB),
    "interpretation": Formula(_interpretation),
    "pairs": Formula(_pairs, 60 * MB),
    "attribution": Formula(attribution),
    "difference": Formula(attribution),
    "circuit": Formula(_circuit, 60 * MB),
    "interventions": Formula(_interventions),
    "supernodes": Formula(_supernodes),
    "figures": Formula(_figures, 310 * MB),
}
