"""Fixtures of the tests of labels: a store whose features are interpreted."""

from interpreted import interpreted  # noqa: F401
