"""What each phase computes, holds and stores, as formulas over shapes: the arithmetic behind `plan`.

One function a phase, of a `Job` (the sizes of a model, its prompts and settings) to its `Work`. They follow
what the phases do and are to be changed with them; the constants are measured (docs/real-models.md says on
what, and how far the sums are from measurements).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec

from circuitstore.engine.task import Task
from tasks.costs.shapes import BYTES, Sizes, lengths, parameters
from tasks.parts.layers import layer_range
from tasks.parts.memory import memory_bytes
from tasks.settings.phases import Activations, Attribution, Interventions
from tasks.settings.selection import Selection

ASSUMED_ACTIVE = 70.0
PRUNED_COPIES = 3.0  # of the matrix of edges: masks, and shares in float64 of the nodes that are kept
PRELOADED = 1 << 26  # bytes of upstream objects kept open (engine/inputs.py)
STARTING = 256  # rows that start at a time (models/effects.py)
CHUNK = 2048  # rows moved at a time (models/effects.py)
VARIANTS = 64  # edited runs at a time (tasks/interventions.py)
READ_CELL = 30_000  # bytes of a small cell that is read, beside its arrays
UNIT = 300  # bytes of an entry in a table by unit, or by edge
HEAP = (
    32e6  # bytes of smaller blocks that the allocator keeps when they are freed (glibc: those below 32 MiB)
)
COMMIT = 3.0  # copies of a batch while it is written: as cells, joined, and packed
ACTIVATIONS_STORED = {2: 0.68, 4: 0.74}  # of their bytes, by bytes of a number: measured after compression
PER_CELL_STORED, OBJECT_STORED = (
    320,
    12_500,
)  # bytes: in a journal; names, shapes and hashes of an object of small arrays
EDGE_BYTES, EDGE_STORED = 13, 2.9  # target, source, weight, mask; measured after compression


class Product(msgspec.Struct, frozen=True):
    """A matrix product, so many times: floating-point operations, bytes of weights it reads, and dtype."""

    flop: float
    read: float
    dtype: str
    times: float = 1


class Work(msgspec.Struct):
    """What a phase does: cells; bytes of tensors and of other memory at its peak, and stored; products."""

    cells: int
    host: float
    tensors: float
    stored: float
    products: list[Product]
    files: float = 0  # bytes of transcoders that are read


class Job:
    """The numbers of one phase of one selection, by the names that the formulas use."""

    def __init__(self, selection: Selection, known: Sizes, task: Task):
        shape, profile = known.shape, selection.profile
        self.shape, self.profile, self.task = shape, profile, task
        self.layers, self.d, self.heads, self.d_mlp, self.vocabulary = (
            int(getattr(shape, name) or 0) for name in ("layers", "d_model", "heads", "d_mlp", "vocabulary")
        )
        self.width = self.heads * int(shape.head_dim or 0)  # of all heads
        self.features, self.active = int(shape.features or 0), shape.active or ASSUMED_ACTIVE
        self.dtype = profile.model.dtype
        self.itemsize = BYTES[self.dtype]
        count = parameters(shape) or 0
        self.trunk = (
            count - (1 if shape.tied else 2) * self.vocabulary * self.d
        )  # parameters that a forward pass multiplies with
        self.model_bytes = count * self.itemsize
        self.copies_model = self.dtype != shape.dtype
        self.encoder_bytes = self.features * self.d * BYTES[shape.transcoder_dtype or "bfloat16"]
        self.tokens = lengths(selection)
        self.prompts, self.longest = len(self.tokens), max(self.tokens, default=0)
        self.kept_layers = len(layer_range(profile.of(Activations).layers, self.layers))
        self.kept = [min(n, profile.of(Activations).positions or n) for n in self.tokens]
        self.encoded = [
            kept - (kept == n) for kept, n in zip(self.kept, self.tokens, strict=True)
        ]  # not the prepended token

    def forward(self, tokens: int, copies: int = 1, times: float = 1) -> list[Product]:
        """One forward pass of so many copies, and the logits of the last position."""
        run = Product(2 * self.trunk * tokens * copies, self.trunk * self.itemsize, self.dtype, times)
        last = Product(
            2 * self.vocabulary * self.d * copies, self.vocabulary * self.d * self.itemsize, "float32", times
        )
        return [run, last]

    def captured(self, *, patterns: bool) -> float:
        """Bytes of one forward pass with everything kept: four streams a layer, twice while they are stacked,
        logits, the MLP.
        """
        n = self.longest
        streams = 7 * self.layers * n * self.d * self.itemsize
        attention = self.layers * self.heads * n * n * (2 * self.itemsize + 4) if patterns else 0
        return streams + attention + n * self.d_mlp * 3 * self.itemsize + 16 * self.vocabulary


def _prompts(job: Job) -> Work:
    return Work(1, 0, 0, 450 * job.prompts + 6000, [])


def _baseline(job: Job) -> Work:
    batch = 2000 * min(job.prompts, job.task.batch)
    stored = OBJECT_STORED * math.ceil(job.prompts / job.task.batch) + 580 * job.prompts
    return Work(job.prompts, batch, job.captured(patterns=False), stored, _each(job, job.forward))


def _activations(job: Job) -> Work:
    cells = job.prompts * job.kept_layers
    row = 3 * job.d * job.itemsize
    batch = min(cells, job.task.batch) * max(job.kept, default=0) * row
    stored = (
        ACTIVATIONS_STORED[job.itemsize] * sum(job.kept) * job.kept_layers * row + PER_CELL_STORED * cells
    )
    return Work(cells, COMMIT * batch, job.captured(patterns=False), stored, _each(job, job.forward))


def _features(job: Job) -> Work:
    """A batch is one layer of many prompts: read and raised to float32, their features found, and written."""
    cells = job.prompts * job.kept_layers
    together = min(job.task.batch, job.prompts) / max(job.prompts, 1)
    kept, encoded = (together * sum(values) for values in (job.kept, job.encoded))
    entries = encoded * job.active
    opened = min(PRELOADED, sum(job.kept) * job.kept_layers * 3 * job.d * job.itemsize)
    host = (
        opened + kept * 3 * job.d * job.itemsize + COMMIT * (entries * 8 + together * job.prompts * job.d * 8)
    )
    tensors = kept * job.d * (4 * 2 + job.itemsize) + entries * 40
    stored = job.kept_layers * sum(job.encoded) * job.active * 5.5 + cells * (
        PER_CELL_STORED + 0.6 * 8 * job.d
    )
    one = Product(2 * job.features * job.d * sum(job.encoded), job.encoder_bytes, "float32", job.kept_layers)
    return Work(cells, host, tensors, stored, [one], job.kept_layers * job.encoder_bytes)


class Meeting(msgspec.Struct, frozen=True):
    """Where targets and sources meet: rows carried backward and forward, most that start at a layer, and
    multiplications.
    """

    late: float
    early: float
    starting: float
    cost: float


class Graph(msgspec.Struct, frozen=True):
    """How large the attribution graph of a prompt is."""

    active: int
    features: int
    nodes: int
    edges: int
    known_rows: int


def graph(job: Job, tokens: int, encoded: int) -> Graph:
    """Of a prompt of so many tokens, at so many of which there are features."""
    config = job.profile.of(Attribution)
    active = round(job.kept_layers * encoded * job.active)
    features = min(active, config.max_feature_nodes)
    nodes = features + (job.layers + 1) * tokens + config.max_logits
    below = 0.5 * (
        1 - 1 / job.layers
    )  # of pairs of layers: the source's is below the target's; errors likewise
    before = 0.5 * (1 + 1 / max(encoded, 1))  # of pairs of positions: the source's is not after the target's
    edges = (
        features * ((features + job.layers * encoded) * below + encoded) * before + config.max_logits * nodes
    )
    rows = config.max_logits + config.stage * ((features - 1) // config.stage) if features < active else 0
    return Graph(active, features, nodes, round(min(edges, config.max_edges or edges)), rows)


def _attribution(job: Job) -> Work:
    """The largest prompt decides on memory: the matrix of edges, the rows known while nodes are chosen, and
    the rows in flight.
    """
    config = job.profile.of(Attribution)
    largest = graph(job, job.longest, max(job.encoded, default=0))
    matrix, known = (
        4.0 * largest.nodes**2,
        4.0 * largest.known_rows * (largest.active + (job.layers + 1) * job.longest),
    )
    column = 20 * 512 * (largest.active if known else largest.nodes)  # a block of rows in float64
    head_dim = job.width / job.heads
    folded = 4 * job.d * (2 * job.width + head_dim * int(job.shape.kv_heads or 0))
    meeting = _meeting(job, largest, job.longest)
    starting = (
        4 * min(STARTING, meeting.starting) * job.heads * (job.d + head_dim) + 2 * 4 * job.d * job.width
    )
    moving = 3 * 4 * CHUNK * job.width
    most = (
        memory_bytes(config.memory) / 4 * job.d / (2 * job.d + job.width)
    )  # of rows in flight, each way (`effects`)
    back, on = (min(4 * job.d * rows * job.longest / 2, most) for rows in (meeting.late, meeting.early))
    joined = (
        max(3 * back + on, 2 * back + 3 * on) if on else 0
    )  # where they meet they are sorted, the second beside the sorted first
    flight = max(back + on + max(starting, moving), joined)
    carried = max(known + column, matrix + max(flight + folded, PRUNED_COPIES * matrix))
    finished = min(job.prompts, job.task.batch) * (
        EDGE_BYTES * largest.edges + 60 * largest.active + 32 * largest.nodes
    )
    inputs = job.captured(patterns=True) + 4 * 4 * job.layers * job.longest * job.d
    stored, products = 0.0, []
    for n, count in _counted(job):
        one = graph(job, n, max(n - 1, 0))
        stored += count * (EDGE_STORED * one.edges + 12 * one.active + 20 * one.nodes)
        products += [
            Product(p.flop, p.read, p.dtype, p.times * count)
            for p in (*job.forward(n, times=3), _carrying(job, one, n))
        ]
    return Work(
        job.prompts, max(finished * COMMIT - carried, finished), inputs + carried + HEAP, stored, products
    )


def _meeting(job: Job, one: Graph, tokens: int) -> Meeting:
    """The cheapest layer to meet at, as models/effects.py looks for it, with features spread evenly over
    layers.
    """
    config, head_dim = job.profile.of(Attribution), job.width / job.heads
    targets = (config.stage if one.known_rows else one.features) / job.layers  # features, of each layer
    sources = (
        one.active if one.known_rows else one.features
    ) / job.layers + tokens  # and errors; they enter above their layer
    place = job.d * (job.width + head_dim * int(job.shape.kv_heads or 0)) * tokens / 2
    first = job.d * 2 * job.width
    meetings = []
    for cut in range(job.layers + 1):
        above, below = job.layers - cut, max(cut - 1, 0)
        late, early = targets * above + config.max_logits, (sources * below + tokens) * (cut > 0)
        back = targets * (above * (above - 1) / 2 * place + above * first) + config.max_logits * above * place
        on = sources * (below * (below - 1) / 2 * place + below * first) + tokens * below * place
        cost = back + on + late * early * job.d * tokens / 3
        meetings.append(Meeting(late, early, max(targets * (above > 0), sources * (below > 0)), cost))
    return min(meetings, key=lambda meeting: meeting.cost)


def _carrying(job: Job, one: Graph, tokens: int) -> Product:
    stages = 1 + math.ceil(one.features / job.profile.of(Attribution).stage) if one.known_rows else 1
    multiplied = _meeting(job, one, tokens).cost
    weights = 4.0 * job.layers * job.d * job.width * 1.25
    return Product(2 * multiplied * stages, 5 * weights * stages, "float32")


def _read_features(job: Job) -> float:
    """Bytes of all features of all prompts, read at once."""
    return (
        job.prompts * job.kept_layers * (READ_CELL + 8 * job.d)
        + job.kept_layers * sum(job.encoded) * job.active * 8
    )


def _pairs(job: Job) -> Work:
    entries = job.kept_layers * sum(job.encoded) * job.active
    return Work(1, _read_features(job) + entries * 16, 0, entries * 6 + PER_CELL_STORED * job.prompts, [])


def _interpretation(job: Job) -> Work:
    """At most: every position of every prompt could have features of its own; a layer at a time is dense."""
    contexts, block = sum(job.encoded), min(16_384, job.vocabulary)
    units = min(job.features, contexts * job.active)
    dense = units * (8 * contexts + 8 * job.prompts * job.longest + 800)
    lens = 4 * block * (2 * 1024 + job.d) + 8 * units * job.d
    one = Product(
        2 * units * job.vocabulary * job.d, job.vocabulary * job.d * job.itemsize, "float32", job.kept_layers
    )
    return Work(1, _read_features(job) + dense, lens, job.kept_layers * units * 400, [one])


def _circuit(job: Job) -> Work:
    """Graphs are read one at a time and added up by unit."""
    graphs = [graph(job, n, encoded) for n, encoded in zip(job.tokens, job.encoded, strict=True)]
    largest = max((one.edges for one in graphs), default=0)
    tables = sum(UNIT * one.active + 80 * one.nodes + 0.02 * UNIT * one.edges for one in graphs)
    read = PRELOADED + 2 * EDGE_BYTES * largest
    return Work(1, read + tables, 0, sum(60 * one.active for one in graphs), [])


def _figures(job: Job) -> Work:
    return Work(1, _read_features(job) + PRELOADED, 0, 12e6, [])


def _interventions(job: Job) -> Work:
    """Every set of edits is one run of the model; equal sets run once."""
    config, kinds = job.profile.of(Interventions), 5 + len(job.profile.of(Interventions).strengths)
    runs = (
        config.features * kinds * 2
        + config.features * config.controls
        + 2 * len(config.sizes) * (2 * kinds + config.controls)
    )
    runs += 2 * len(config.swap_sizes) + 2 * len(config.circuit_sizes) + 2
    n = job.longest
    layer = (
        VARIANTS * n * (3 * job.d_mlp + 8 * job.d + 3 * job.width) * job.itemsize
        + 3 * 4 * VARIANTS * n * job.d
    )
    logits = 5 * 4 * VARIANTS * job.vocabulary
    largest = graph(job, n, max(job.encoded, default=0))
    edits = 3 * 4 * job.d * largest.active / job.layers
    opened = min(PRELOADED, job.task.batch * EDGE_BYTES * largest.edges) + EDGE_BYTES * largest.edges
    products = _each(job, lambda m: job.forward(m, VARIANTS, runs / VARIANTS))
    return Work(
        job.prompts,
        opened,
        job.captured(patterns=True) + max(layer, logits) + edits,
        20_000 * job.prompts,
        products,
    )


def _each(job: Job, work: Callable[[int], list[Product]]) -> list[Product]:
    """The products of all prompts, given those of one with so many tokens."""
    return [Product(p.flop, p.read, p.dtype, p.times * count) for n, count in _counted(job) for p in work(n)]


def _counted(job: Job) -> Iterator[tuple[int, int]]:
    """(tokens, how many prompts have so many)."""
    yield from ((n, job.tokens.count(n)) for n in sorted(set(job.tokens)))


WORK: dict[str, Callable[[Job], Work]] = {
    "prompts": _prompts,
    "baseline": _baseline,
    "activations": _activations,
    "features": _features,
    "interpretation": _interpretation,
    "pairs": _pairs,
    "attribution": _attribution,
    "circuit": _circuit,
    "interventions": _interventions,
    "figures": _figures,
}
