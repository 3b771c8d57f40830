"""What attribution costs: how large a prompt's graph is, and what is carried through the network for it."""

from __future__ import annotations

import math

import msgspec

from tasks.costs.job import COMMIT, Job, Product, Work
from tasks.settings.phases import Attribution

PRUNED_COPIES = 3.0  # of the matrix of edges: masks, and shares in float64 of the nodes that are kept
HEAP = 32e6  # bytes of freed blocks that the allocator keeps (glibc: those below 32 MiB)
EDGE_BYTES = 13  # target, source, weight, mask
EDGE_STORED = 2.9  # measured after compression


class Graph(msgspec.Struct, frozen=True):
    """How large the attribution graph of a prompt is."""

    active: int
    features: int
    nodes: int
    edges: int
    known_rows: int
    targets: int


class Meeting(msgspec.Struct, frozen=True):
    """A layer where targets and sources meet.

    late, early: rows carried backward and forward; starting: most that start at a layer; cost: products of
    two numbers.
    """

    late: float
    early: float
    starting: float
    cost: float


def graph(job: Job, tokens: int, encoded: int) -> Graph:
    """The graph of a prompt of so many tokens, at so many of which there are features."""
    config = job.profile.of(Attribution)
    active = round(job.kept_layers * encoded * job.active)
    features = min(active, config.max_feature_nodes)
    nodes = features + (job.layers + 1) * tokens + config.max_logits
    # Of pairs of layers, the source's is below the target's; of pairs of positions, it is not after it.
    below, before = 0.5 * (1 - 1 / job.layers), 0.5 * (1 + 1 / max(encoded, 1))
    sources = (features + job.layers * encoded) * below + encoded
    edges = features * sources * before + config.max_logits * nodes
    rows = config.max_logits + config.stage * ((features - 1) // config.stage) if features < active else 0
    kept = round(min(edges, config.max_edges or edges))
    return Graph(active, features, nodes, kept, rows, features + config.max_logits)


def attribution(job: Job) -> Work:
    """The work of phase `attribution`; the largest prompt decides on memory.

    Memory holds the matrix of edges, the rows that are kept while nodes are chosen, and the rows in flight.
    """
    largest = graph(job, job.longest, max(job.encoded, default=0))
    matrix = 4.0 * largest.targets * largest.nodes
    known = _known(job, largest, job.longest)
    if known > job.at_once.chosen_bytes:
        known = float(job.at_once.chosen_bytes + job.at_once.block_bytes)
    column = 20 * 512 * (largest.active if known else largest.nodes)  # a block of rows in float64
    flight = _flight(job, largest)
    carried = max(known + max(column, flight), matrix + max(flight, PRUNED_COPIES * matrix))
    carried += _kept(job, largest)
    finished = min(job.prompts, job.task.batch) * (
        EDGE_BYTES * largest.edges + 60 * largest.active + 32 * largest.nodes
    )
    inputs = job.captured(patterns=True) + 4 * 4 * job.layers * job.longest * job.d
    stored, products = 0.0, []
    for n, count in job.counted():
        one = graph(job, n, max(n - 1, 0))
        stored += count * (EDGE_STORED * one.edges + 12 * one.active + 20 * one.nodes)
        for product in (*job.forward(n, times=3), _carrying(job, one, n)):
            products.append(msgspec.structs.replace(product, times=product.times * count))
    host = max(finished * COMMIT - carried, finished)
    return Work(job.prompts, host, inputs + carried + HEAP, stored, products)


def _known(job: Job, one: Graph, tokens: int) -> float:
    """Bytes of all rows that nodes are chosen by."""
    return 4.0 * one.known_rows * (one.active + (job.layers + 1) * tokens)


def _flight(job: Job, one: Graph) -> float:
    """Bytes of the rows that are carried through the network, and of the weights folded for them."""
    head_dim, meeting = job.width / job.heads, _meeting(job, one, job.longest)
    folded = 4 * job.d * (2 * job.width + head_dim * (job.shape.kv_heads or 0))
    starting = 4 * min(job.at_once.starting_rows, meeting.starting) * job.heads * (job.d + head_dim)
    starting += 2 * 4 * job.d * job.width
    moving = 3 * 4 * job.at_once.moved_rows * job.width
    most = job.at_once.flight_bytes / 2 * job.d / (2 * job.d + job.width)  # of rows, each way
    reach = min((job.longest + job.at_once.span - 1) / 2, job.longest)
    back, on = (min(4 * job.d * rows * reach, most) for rows in (meeting.late, meeting.early))
    # Where they meet they are sorted, the second beside the sorted first.
    joined: float = max(3 * back + on, 2 * back + 3 * on) if on else 0.0
    return max(back + on + max(starting, moving), joined) + folded


def _kept(job: Job, one: Graph) -> float:
    """Bytes of the decoder rows of active features and the encoder rows of nodes that are kept."""
    row, most = job.encoder_bytes / max(job.features, 1), job.at_once.kept_bytes
    return min(one.active * row * job.written, most) + min(one.features * row, most)


def _meeting(job: Job, one: Graph, tokens: int) -> Meeting:
    """The cheapest layer to meet at, as attribution looks for it, with features spread evenly over layers."""
    config, head_dim = job.profile.of(Attribution), job.width / job.heads
    targets = (config.stage if one.known_rows else one.features) / job.layers  # features, of each layer
    # Features and errors of each layer; they enter above their layer, cross-layer ones above each.
    sources = (one.active if one.known_rows else one.features) / job.layers * job.written + tokens
    row = job.d * (job.width + head_dim * (job.shape.kv_heads or 0)) * tokens / 2  # through one layer
    first = job.d * 2 * job.width
    meetings = []
    for cut in range(job.layers + 1):
        above, below = job.layers - cut, max(cut - 1, 0)
        late, early = targets * above + config.max_logits, (sources * below + tokens) * (cut > 0)
        back = targets * (above * (above - 1) / 2 * row + above * first) + config.max_logits * above * row
        on = sources * (below * (below - 1) / 2 * row + below * first) + tokens * below * row
        cost = back + on + late * early * job.d * tokens / 3
        meetings.append(Meeting(late, early, max(targets * (above > 0), sources * (below > 0)), cost))
    return min(meetings, key=lambda meeting: meeting.cost)


def _carrying(job: Job, one: Graph, tokens: int) -> Product:
    stages = 1
    if one.known_rows:
        count = math.ceil(one.features / job.profile.of(Attribution).stage)
        again = _known(job, one, tokens) > job.at_once.chosen_bytes  # in every stage that follows
        stages = 1 + (count * (count + 1) // 2 if again else count)
    weights = 4.0 * job.layers * job.d * job.width * 1.25
    return Product(2 * _meeting(job, one, tokens).cost * stages, 5 * weights * stages, "float32")
