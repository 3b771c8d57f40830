"""Inputs that are plain data and mean what they say: the text to attribute, edits of it."""

from __future__ import annotations

from typing import Any


def given(value: dict[str, Any]) -> dict[str, Any]:
    """The value itself: both what it is and what a phase receives."""
    return value
