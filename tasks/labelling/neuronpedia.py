"""Explanations that Neuronpedia publishes, as labels of the features of a behaviour.

Read are its exports: the JSON lines of its public bucket (`v1/MODEL/SOURCE/explanations/batch-0.jsonl.gz`),
and the list that its API gives. A row has `layer`, the name of a source such as
"20-gemmascope-transcoder-16k", whose first number is the layer; `index`, the feature; and `description`.
Whether a source is about the transcoders at hand nobody can check: whoever imports it says so.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from circuitstore.errors import InputError, some_of
from circuitstore.storage.reviews import Reviewed
from tasks.labelling.keeping import keep, subject

MOST_BYTES, TIMEOUT, LISTED = 256 * 1024**2, 60, 20
SOURCE = re.compile(r"(\d+)-")  # how the name of a source begins


class Row(msgspec.Struct):
    """One explanation, as Neuronpedia writes it; other fields are passed over."""

    layer: str
    index: str | int
    description: str
    explanationModelName: str | None = None  # noqa: N815 (the name in the file, as below)
    typeName: str | None = None  # noqa: N815


def import_labels(
    sources: tuple[str, ...], *, behaviour: str, profile: str | None, store: str
) -> tuple[int, str]:
    """Store the explanations of features that are active in a behaviour; (number, path of the record).

    `sources` are files or http(s) addresses. Of several explanations of a feature, the first counts. Raises
    InputError listing every bad row, MissingError, StoreError.
    """
    about = subject(behaviour, profile, store)
    active = set(about.ids())
    chosen: dict[tuple[int, int], Row] = {}
    for source in sources:
        for unit, row in read_rows(source):
            if unit in active:
                chosen.setdefault(unit, row)
    rows = [
        Reviewed(unit[0], unit[1], chosen[unit].description.strip(), _note(chosen[unit]))
        for unit in sorted(chosen)
    ]
    return keep(about, "Neuronpedia", rows)


def read_rows(source: str) -> list[tuple[tuple[int, int], Row]]:
    """((layer, feature), row) of every explanation in a file or at an address. Raises InputError."""
    data = _unpacked(source, _read(source))
    try:
        whole = data.lstrip()[:1] == b"["
        rows = msgspec.json.decode(data, type=list[Row]) if whole else _lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(source, expected="explanations as Neuronpedia exports them", got=error) from error
    result, problems = [], []
    for number, row in enumerate(rows, 1):
        layer, feature = SOURCE.match(row.layer), str(row.index)
        if layer is None or not (feature.isascii() and feature.isdecimal() and len(feature) < 10):
            problems.append(f"row {number}: layer {row.layer!r} index {row.index!r}")
        elif row.description.strip():
            result.append(((int(layer[1]), int(feature)), row))
    if problems:
        expected = "layers such as '20-transcoder-16k', and numbers of features"
        raise InputError(source, expected=expected, got=some_of(problems, LISTED))
    return result


def _lines(data: bytes) -> list[Row]:
    return msgspec.json.Decoder(Row).decode_lines(data)


def _note(row: Row) -> str:
    return ", ".join(filter(None, (row.layer, row.explanationModelName, row.typeName)))


def _read(source: str) -> bytes:
    """The bytes of a file or of an address, at most `MOST_BYTES`. Raises InputError."""
    try:
        if source.startswith(("http://", "https://")):
            with urlopen(source, timeout=TIMEOUT) as answer:
                data: bytes = answer.read(MOST_BYTES + 1)
        else:
            with open(source, "rb") as file:
                data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        got = error.reason if isinstance(error, URLError) else getattr(error, "strerror", None) or error
        raise InputError(source, expected="a file or address that can be read", got=got) from error
    return _bounded(source, data)


def _unpacked(source: str, data: bytes) -> bytes:
    """The bytes, decompressed if they are gzip. Raises InputError."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.open(io.BytesIO(data)) as file:
            return _bounded(source, file.read(MOST_BYTES + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(source, expected="a whole gzip file", got=error) from error


def _bounded(source: str, data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise InputError(source, expected=f"at most {MOST_BYTES // 1024**2} MiB", got="more")
    return data
