"""Settings of what is analysed: the model, its transcoders, and how large they are."""

from typing import Annotated, Literal

import msgspec

from tasks.settings.section import Count, Section


class Model(Section, frozen=True):
    """The language model: a local folder in the Hugging Face layout, relative to the profile's file, or a
    repository of the hub.

    revision: a commit, or a branch or tag, which is resolved to a commit once. What is in keys are the files'
    digests.
    """

    path: str = ""
    repo: str = ""
    revision: str = "main"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"  # where to compute, "auto" for a GPU if there is one; no part of any key
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0  # of torch, 0 for its own choice; no part of any key


class Transcoders(Section, frozen=True):
    """One transcoder a layer: a local folder, relative to the profile's file, or a repository of the hub; or
    a subfolder of either.

    trained_on: the model's repository, if config.yaml does not say; another one than is analysed is warned
    of.
    """

    path: str = ""
    repo: str = ""
    revision: str = "main"
    subfolder: str = ""
    trained_on: str = ""


class Shape(Section, frozen=True):
    """Sizes of the model and its transcoders, for `plan` when their files are not here; no part of any key.

    dtype, transcoder_dtype: of the files; tied: one matrix for embedding and unembedding; features: of one
    layer's transcoder; active: features active at a position and layer, which no file says.
    """

    layers: Count | None = None
    d_model: Count | None = None
    heads: Count | None = None
    kv_heads: Count | None = None
    head_dim: Count | None = None
    d_mlp: Count | None = None
    vocabulary: Count | None = None
    tied: bool | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    features: Count | None = None
    transcoder_dtype: Literal["float32", "bfloat16", "float16"] | None = None
    active: Annotated[float, msgspec.Meta(gt=0)] | None = None
