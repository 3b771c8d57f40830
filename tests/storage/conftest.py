"""Fixtures of the tests of the store: one of plain cells, part of which has no name."""

from plain_store import plain, plain_once  # noqa: F401
