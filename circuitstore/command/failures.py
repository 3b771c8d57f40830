"""Errors as JSON, for those who call a command with --json."""

from __future__ import annotations

from circuitstore.errors import CircuitstoreError


class ToldError(Exception):
    """An error that is part of the JSON that a command has printed already."""

    def __init__(self, error: CircuitstoreError):
        super().__init__(str(error))
        self.error = error


def described(error: CircuitstoreError) -> dict[str, object]:
    """The key `error` of what a command prints: kind, message, and the parts of the message."""
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "where": error.where,
        "expected": None if error.expected is None else str(error.expected),
        "got": None if error.got is None else str(error.got),
        "remedy": error.remedy,
    }
