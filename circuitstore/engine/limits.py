"""How much of upstream phases is kept in memory. Imports nothing, so that cost estimates can read it."""

from __future__ import annotations

KEPT_BYTES = 1 << 26  # of all open objects together, whatever their number
SMALL_BYTES = 1 << 21  # an object of at most so many is read whole, however few of its cells are asked for

# How far numbers of one cell may differ between machines, as a share of the largest value of their variable.
# `docs/keys.md` says what was measured.
TOLERANCE = 1e-3
RANKED = 0.02  # how many choices that follow from an order may be others on another machine, as a share
