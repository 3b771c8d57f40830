"""An amount of memory as settings state it, such as "4GB". Command `plan` uses it, so nothing is imported."""

from __future__ import annotations

UNITS = {"MB": 1e6, "GB": 1e9, "TB": 1e12}


def memory_bytes(text: str) -> int:
    """The amount in bytes, at least one: "1.5 MB" is 1500000."""
    return max(int(float(text[:-2]) * UNITS[text[-2:]]), 1)
