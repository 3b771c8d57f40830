"""Keys of artifacts: the hash over what a phase's whole output was made from.

An artifact states its components, so anyone can tell whether its key follows from them. What the phase
declared of its output is in the key too (`circuitstore.engine.task.Task.declared`), but not in the record
word for word: its axes are the axes of its cells or the one axis of its rows, and it has a summary or none.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuitstore.storage.encoding import digest
from circuitstore.storage.records import Components


def artifact_key(phase: str, declared: Sequence[object], components: Components) -> str:
    """Key of a phase's whole output."""
    return _key(components, phase, declared)


def gives_key(key: str, phase: str, axes: Sequence[str], components: Components) -> bool:
    """Whether an artifact of a phase with these axes, made from these components, has this key.

    Keys that were made before 2026-11-26 do not have what a phase declares in them.
    """
    kinds: list[tuple[Sequence[str], str | None]] = [(axes, None)]
    kinds += [((), axes[0])] if len(axes) == 1 else []
    declared = [[per, rows, summary] for per, rows in kinds for summary in (False, True)]
    found = (_key(components, phase, each) for each in declared)
    return any(each == key for each in found) or _key(components, phase) == key


def _key(components: Components, *first: object) -> str:
    parts = components.code, components.config, components.resources, components.upstream
    return digest("artifact", [*first, *parts])
