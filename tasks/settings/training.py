"""The settings of training transcoders: its texts, and one struct for each of its phases, in their order."""

from typing import Annotated, Literal

import msgspec

from tasks.settings.section import Count, Section

Positive = Annotated[float, msgspec.Meta(gt=0)]
Part = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Texts(Section, frozen=True):
    """What transcoders are trained on.

    path: a file with one text a line, relative to the profile's file.
    """

    path: str = ""


class Corpus(Section, frozen=True):
    """How much of the texts is used.

    tokens: most tokens in all; seed: of the order of texts.
    context: most tokens of one sequence, the prepended token (`prompts.prepend`) included.
    shard: tokens whose activations are kept together.
    held_out: the share of tokens that is measured on instead of trained on.
    """

    tokens: Count = 1_000_000
    context: Annotated[int, msgspec.Meta(ge=2)] = 128
    shard: Count = 4096
    held_out: Part = 0.1
    seed: int = 123


class CorpusActivations(Section, frozen=True):
    """Of which layers MLP inputs and outputs are kept, and how.

    layers: those that transcoders are trained for: "all", "10-24" or "3,5,7".
    dtype: half precision takes half the room.
    """

    layers: str = "all"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


class Training(Section, frozen=True):
    """How each layer's transcoder is trained (docs/training.md).

    kind: "jumprelu" learns a threshold for each feature, "topk" keeps the k largest.
    features, steps, batch, rate: of the transcoder, of training, samples a step, of learning.
    l0_start, l0: of "jumprelu": the number of active features above which it is penalised, at first and last.
    k: of "topk"; skip: whether there is a linear skip connection.
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
