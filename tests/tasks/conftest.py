"""Fixtures of the tests of phases: a store of minimal pairs, and what figures are drawn from."""

from drawn import given, stored, upstream  # noqa: F401
from interpreted import interpreted  # noqa: F401
from minimal_pairs import cells_of, intervened, minimal_pairs, reading  # noqa: F401
