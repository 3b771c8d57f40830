"""A tokenizer: which files make it, and the tokenizer that loads from them.

transformers takes a fast tokenizer's one file if there is one, and else a vocabulary and its merges. Which
file the fast one is, a configuration may say by version of transformers. Source: transformers,
`tokenization_utils_base.py`, `get_fast_tokenizer_file` and `PreTrainedTokenizerBase.from_pretrained`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from circuitstore.engine.task import Sources
from circuitstore.errors import ModelError
from circuitstore.hub.place import Place
from circuitstore.models.config import CONFIG as MODEL_CONFIG
from tasks.inputs.files import File, Files, of, parsed, required

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KIND = "tokenizer"
CONFIG = "tokenizer_config.json"
OPTIONAL = (CONFIG, "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")
FAST, SLOW = "tokenizer.json", ("vocab.json", "merges.txt")
VERSIONED = re.compile(r"tokenizer\.(.*)\.json")
REMEDY = "name a folder or repository that holds a model's tokenizer"


def files(place: Place) -> Files:
    """The files that loading the tokenizer opens. Raises ModelError."""
    config = required(place, [MODEL_CONFIG], "tokenizer", REMEDY)  # it says which kind of tokenizer
    optional = [File(place, name) for name in OPTIONAL if place.has(name)]
    fast = _fast_file(place)
    words = [fast] if place.has(fast) else [name for name in SLOW if place.has(name)] or [fast]
    return of(place, [*config, *optional, *required(place, words, "tokenizer", REMEDY)])


def identity(place: Place) -> dict[str, Any]:
    """What the tokenizer is: the digest of each file. Raises ModelError."""
    return place.pinned(KIND) or files(place).identity()


def sources(place: Place) -> Sources:
    """What loading reads on this machine. Raises ModelError."""
    return files(place).sources()


def load(place: Place) -> PreTrainedTokenizerBase:
    """The tokenizer. Raises ModelError."""
    return _opened(files(place))


def keep(place: Place) -> None:
    """Let the store keep what the tokenizer was. Raises ModelError, StoreError."""
    place.pin(KIND, identity(place))


def check(place: Place) -> list[str]:
    """Raise ModelError for what `load` could not use; what a user should know all the same, in lines."""
    wanted = files(place)
    notes = wanted.check()
    if not wanted.missing():
        _opened(wanted)
    return notes


def _opened(wanted: Files) -> PreTrainedTokenizerBase:
    from circuitstore.models.load import load_tokenizer

    wanted.fetch()
    with wanted.view() as folder:
        return load_tokenizer(folder)


def _fast_file(place: Place) -> str:
    """The name of the file of a fast tokenizer, for the transformers that is installed."""
    listed = parsed(place, CONFIG).get("fast_tokenizer_files") if place.has(CONFIG) else None
    if listed is None:
        return FAST
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        where = f"fast_tokenizer_files in {CONFIG} in {place}"
        raise ModelError(where, expected="a list of file names", got=listed)
    from importlib.metadata import version

    return fast_tokenizer_file(listed, version("transformers"))


def fast_tokenizer_file(listed: Sequence[str], installed: str) -> str:
    """Of the files of a fast tokenizer, the one for the newest version that is not above `installed`."""
    from packaging.version import parse

    by_version = {named[1]: name for name in listed if (named := VERSIONED.search(name))}
    chosen = FAST
    for version in sorted(by_version):  # as text, which is how transformers orders them
        if parse(version) > parse(installed):
            break
        chosen = by_version[version]
    return chosen
