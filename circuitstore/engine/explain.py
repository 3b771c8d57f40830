"""Why a phase is not fresh: which inputs differ from those of its newest output, from what to what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from circuitstore.errors import DamageError
from circuitstore.storage.artifact import Artifact, apart, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Components

SHOWN_CELLS = 5
KINDS = ("config", "code", "resources")


def changes(
    store: Store, previous: Artifact | None, now: Components, upstream: Mapping[str, Artifact] | None = None
) -> list[str]:
    """One line for each input that differs from those of the newest artifact; none without an artifact."""
    if previous is None:
        return []
    lines = []
    for kind in KINDS:
        before, after = getattr(previous.components, kind), getattr(now, kind)
        lines += [change(kind, path, old, new) for path, old, new in differences(before, after)]
    contents = previous.components.upstream
    for name, artifact in (upstream or {}).items():
        if contents.get(name) != artifact.content:
            lines.append(f"{name}: {_upstream_change(store, previous, name, artifact)}")
    return lines


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted path, old, new) of every leaf in which two nested dicts differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*new, *(name for name in old if name not in new)]
        inner = ((name, f"{path}.{name}" if path else name) for name in names)
        return [leaf for name, where in inner for leaf in differences(old.get(name), new.get(name), where)]
    same = msgspec.json.encode(old) == msgspec.json.encode(new)  # what was read back has lists for tuples
    return [] if same else [(path, old, new)]


def _upstream_change(store: Store, previous: Artifact, name: str, artifact: Artifact) -> str:
    """How the cells of an upstream phase differ from those that the newest artifact was made from."""
    try:
        old = read_artifact(store, previous.upstream.get(name, "0" * 64))
        then = previous.components.upstream.get(name)  # its key may have another content by now
        leaves = apart(old, artifact) if old and old.content == then else None
    except DamageError:
        leaves = None
    if leaves is None:
        return "content changed"
    before, after = (
        {
            tuple(sorted(coords.items())): content
            for leaf in each
            for coords, content in zip(leaf.coordinates, leaf.content, strict=True)
        }
        for each in leaves
    )
    groups = {
        "changed": [c for c in after if c in before and after[c] != before[c]],
        "added": [c for c in after if c not in before],
        "removed": [c for c in before if c not in after],
    }
    parts = [f"{len(cells)} {verb} ({_some(cells)})" for verb, cells in groups.items() if cells]
    return f"of {artifact.count} cells " + ", ".join(parts) if parts else "order changed"


def change(kind: str, path: str, old: Any, new: Any) -> str:
    if kind == "code":
        verb = "no longer used" if new is None else "newly used" if old is None else "changed"
        return f"code: {path} {verb} ({short(old)} → {short(new)})"
    return f"{kind}: {path} {short(old)} → {short(new)}"


def short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return text[:12] + "…"
    return text if len(text) <= 60 else text[:57] + "…"


def _some(cells: list[tuple[tuple[str, str | int], ...]]) -> str:
    names = ["/".join(str(value) for _, value in cell) for cell in cells[:SHOWN_CELLS]]
    return ", ".join(names) + (", …" if len(cells) > SHOWN_CELLS else "")
