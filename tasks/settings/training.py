"""The settings of training transcoders, in the order of its phases. Part of `config`, which see."""

from typing import Annotated, Literal

import msgspec

from tasks.settings.section import Count, Section

Positive = Annotated[float, msgspec.Meta(gt=0)]
Part = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Texts(Section, frozen=True):
    """What transcoders are trained on: a file with one text a line, relative to the profile's file."""

    path: str = ""


class Corpus(Section, frozen=True):
    """How much of the texts is used, in an order that the seed gives.

    tokens: most tokens in all; context: most tokens of one sequence, which begins with the prepended one
    (`prompts.prepend`); shard: tokens whose activations are kept together; held_out: share of the tokens that
    is measured on instead of trained on.
    """

    tokens: Count = 1_000_000
    context: Annotated[int, msgspec.Meta(ge=2)] = 128
    shard: Count = 4096
    held_out: Part = 0.1
    seed: int = 123


class CorpusActivations(Section, frozen=True):
    """How MLP inputs and outputs are kept; half precision takes half the room."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def coordinates(self, axis: str, resources: dict) -> list[int]:
        """All layers of the model."""
        return list(range(resources["model"].identity()["layers"]))


class Training(Section, frozen=True):
    """How each layer's transcoder is trained (docs/training.md).

    kind: "jumprelu" has a learned threshold a feature, and l0 is the number of active features above which it
    is penalised, in the end; l0_start at first; "topk" keeps the k largest. skip: with a linear skip
    connection. batch: samples a step; rate: of learning.
    """

    kind: Literal["jumprelu", "topk"] = "jumprelu"
    features: Count = 1024
    steps: Count = 1200
    batch: Count = 1024
    rate: Positive = 2e-3
    l0_start: Positive = 80.0
    l0: Positive = 15.0
    k: Count = 32
    skip: bool = False
    seed: int = 123


class Replacement(Section, frozen=True):
    """How many held-out tokens the replacement model is compared with the model on."""

    tokens: Count = 4096
