"""Prompts as rows: exactly what `--prompts FILE.jsonl` takes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import xarray as xr

TEXTS = ("text", "correct", "incorrect", "split", "template", "group", "partner")


def rows(dataset: xr.Dataset) -> Iterator[dict[str, Any]]:
    """The prompts of an opened `prompts` phase, one after the other."""
    for i, name in enumerate(dataset.prompt.values):
        texts = {column: str(dataset[column].values[i]) for column in TEXTS}
        yield {"id": str(name), **texts, "labels": msgspec.json.decode(str(dataset.labels.values[i]))}


def line(row: dict[str, Any]) -> str:
    """One prompt for people."""
    return f"{row['id']:<20}{row['split']:<6}{row['text']!r} → {row['correct']!r} not {row['incorrect']!r}"
