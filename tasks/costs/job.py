"""The numbers that cost formulas reckon with, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from circuitstore.circuits.batching import batching
from circuitstore.engine.task import Task
from circuitstore.models.raising import RAISED_BYTES_ELSEWHERE, READERS
from tasks.costs.shapes import BYTES, Sizes, lengths, parameters
from tasks.parts.layers import layer_range
from tasks.settings.phases import Activations
from tasks.settings.selection import Selection

ASSUMED_ACTIVE = 70.0
COMMIT = 3.0  # copies of a batch while it is written: as cells, joined, and packed
PER_CELL_STORED = 320  # bytes in a journal
OBJECT_STORED = 12_500  # bytes: names, shapes and hashes of an object of small arrays


class Product(msgspec.Struct, frozen=True):
    """A matrix product, so many times: floating-point operations, bytes of weights it reads, and dtype."""

    flop: float
    read: float
    dtype: str
    times: float = 1


class Work(msgspec.Struct, frozen=True):
    """What a phase does.

    cells: how many; host, tensors: bytes of tensors and of other memory at its peak; stored: bytes; files:
    bytes of transcoders that are read.
    """

    cells: int
    host: float
    tensors: float
    stored: float
    products: list[Product]
    files: float = 0


class Job:
    """The numbers of one phase of one selection, by the names that the formulas use."""

    def __init__(self, selection: Selection, known: Sizes, task: Task, device: str):
        shape, profile = known.shape, selection.profile
        self.shape, self.profile, self.task = shape, profile, task
        self.layers, self.d, self.heads = shape.layers or 0, shape.d_model or 0, shape.heads or 0
        self.d_mlp, self.vocabulary = shape.d_mlp or 0, shape.vocabulary or 0
        self.width = self.heads * (shape.head_dim or 0)  # of all heads
        self.features, self.active = shape.features or 0, shape.active or ASSUMED_ACTIVE
        self.at_once = batching(device)
        self.dtype = profile.model.dtype
        self.itemsize = BYTES[self.dtype]
        count = parameters(shape) or 0
        # Parameters that a forward pass multiplies with.
        self.trunk = count - (1 if shape.tied else 2) * self.vocabulary * self.d
        self.model_bytes = count * self.itemsize
        self.copies_model = self.dtype != shape.dtype
        self.encoder_bytes = self.features * self.d * BYTES[shape.transcoder_dtype or "bfloat16"]
        # Layers that a feature writes to, on average.
        self.written = (self.layers + 1) / 2 if shape.cross_layer else 1.0
        # On an accelerator: the part of an encoder in use, in float32, and the parts on their way.
        arriving = (READERS + 1) * BYTES[shape.transcoder_dtype or "bfloat16"] / 4
        self.uploaded = 0.0 if device == "cpu" else RAISED_BYTES_ELSEWHERE * (1 + arriving)
        self.tokens = lengths(selection)
        self.prompts, self.longest = len(self.tokens), max(self.tokens, default=0)
        kept = profile.of(Activations)
        self.kept_layers = len(layer_range(kept.layers, self.layers))
        self.kept = [min(n, kept.positions or n) for n in self.tokens]
        # The prepended token has no features.
        self.encoded = [some - (some == n) for some, n in zip(self.kept, self.tokens, strict=True)]

    def forward(self, tokens: int, copies: int = 1, times: float = 1) -> list[Product]:
        """One forward pass of so many copies, and the logits of the last position."""
        trunk = Product(2 * self.trunk * tokens * copies, self.trunk * self.itemsize, self.dtype, times)
        size = self.vocabulary * self.d
        return [trunk, Product(2 * size * copies, size * self.itemsize, "float32", times)]

    def captured(self, *, patterns: bool) -> float:
        """Bytes of one forward pass with everything kept.

        These are four streams a layer, twice while they are stacked, the logits, and the MLP.
        """
        n = self.longest
        streams = 7 * self.layers * n * self.d * self.itemsize
        attention = self.layers * self.heads * n * n * (2 * self.itemsize + 4) if patterns else 0
        return streams + attention + n * self.d_mlp * 3 * self.itemsize + 16 * self.vocabulary

    def each(self, work: Callable[[int], list[Product]]) -> list[Product]:
        """The products of all prompts, given those of one with so many tokens."""
        return [
            Product(one.flop, one.read, one.dtype, one.times * count)
            for tokens, count in self.counted()
            for one in work(tokens)
        ]

    def counted(self) -> Iterator[tuple[int, int]]:
        """(tokens, how many prompts have so many)."""
        yield from ((n, self.tokens.count(n)) for n in sorted(set(self.tokens)))
