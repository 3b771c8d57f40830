"""An amount of memory as a setting says it, such as "4GB"; `plan` reckons with it, so nothing is imported."""

from __future__ import annotations

UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12}


def memory_bytes(text: str) -> int:
    """The amount in bytes, at least one."""
    return max(int(float(text[:-2]) * UNITS[text[-2:]]), 1)
