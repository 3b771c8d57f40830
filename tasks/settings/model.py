"""Settings of what is analysed: the model, its transcoders, where their files are, and how large they are."""

import os
import re
from typing import Annotated, Any, Literal

import msgspec

from circuitstore.errors import UsageError
from tasks.settings.section import Count, Section

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PARTS = rf"{_PART}(/{_PART})*"
PATTERNS = {
    "repo": (rf"({_PART}/)?{_PART}", "OWNER/NAME"),
    "revision": (_PARTS, "a branch, tag or commit"),
    "subfolder": (_PARTS, "a folder inside"),
}
REFERENCE = rf"(?P<repo>{_PART}/{_PART})(/(?P<subfolder>{_PARTS}))?(@(?P<revision>{_PARTS}))?"
LOCATION = ("path", "repo", "revision")  # fields that say together where files are


class Model(Section, frozen=True):
    """The language model: a local folder in the Hugging Face layout, or a repository of the hub.

    path: relative to the profile's file.
    revision: a commit, or a branch or tag, which is resolved to a commit once. Keys hold the files' digests.
    device: where to compute; "auto" is a GPU if there is one. No part of any key.
    threads: of torch, 0 for its own choice. No part of any key.
    """

    path: str = ""
    repo: str = ""
    revision: str = "main"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0


class Transcoders(Section, frozen=True):
    """One transcoder a layer: a local folder or a repository of the hub, or a subfolder of either.

    path: relative to the profile's file.
    trained_on: the model's repository, if config.yaml does not say. A user is warned if another one is
        analysed.
    k: how many activations of each position top-k transcoders keep, if config.yaml does not say.
    """

    path: str = ""
    repo: str = ""
    revision: str = "main"
    subfolder: str = ""
    trained_on: str = ""
    k: Count | None = None


class Shape(Section, frozen=True):
    """Sizes of the model and its transcoders, for `plan` when their files are not here; no part of any key.

    dtype, transcoder_dtype: of the files; tied: whether embedding and unembedding are one matrix.
    features: of one layer's transcoder; active: features active at a position and layer, which no file says.
    cross_layer: whether features write to the layers above their own too; without it they do not.
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
    cross_layer: bool | None = None


def location(text: str) -> dict[str, str]:
    """The fields that name a folder, or a repository where there is no such folder.

    A repository is OWNER/NAME, with /SUBFOLDER and @REVISION if need be.
    """
    repository = re.fullmatch(REFERENCE, text)
    if os.path.isdir(text) or repository is None:
        return {"path": os.path.abspath(text)}
    return {field: value for field, value in repository.groupdict().items() if value}


def check_location(table: Model | Transcoders, section: str, where: str) -> None:
    """Raise UsageError unless a table names one folder or one repository; `where` says who wrote it."""
    if bool(table.path) == bool(table.repo):
        got = "both" if table.path else "neither"
        raise UsageError(f"{section} {where}", expected="either path or repo", got=got)
    if table.path and table.revision != "main":
        raise UsageError(f"{section} {where}", expected="revision only beside repo", got=repr(table.revision))
    for field, (pattern, meaning) in PATTERNS.items():
        value: Any = getattr(table, field, "")
        if value and not re.fullmatch(pattern, value):
            raise UsageError(f"{section}.{field} {where}", expected=meaning, got=repr(value))
