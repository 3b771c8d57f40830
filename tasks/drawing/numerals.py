"""Numbers and intervals as figures and the report print them.

A minus is a minus sign, zero has none, and an interval that reaches below zero has its ends joined by a word.
"""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN = "not measured"
Statistic = Mapping[str, float | None]  # value, low, high; None where nothing was measured


def printed(value: float, form: str = ".2f") -> str:
    """A number by a format of Python."""
    digits = format(value, form)
    if digits.startswith("-") and not digits.strip("-0.,%"):
        digits = digits[1:]  # it rounds to zero
    return digits.replace("-", "−", 1) if digits.startswith("-") else digits


def number(row: Statistic, form: str = ".2f") -> str:
    """A statistic without its interval."""
    return UNKNOWN if row["value"] is None else printed(row["value"], form)


def bounds(row: Statistic, form: str = ".2f") -> str:
    """The ends of an interval; an end without bound is an infinity."""
    low, high = row["low"], row["high"]
    if low is None and high is None:
        return "no interval"
    ends = ("−∞" if low is None else printed(low, form), "∞" if high is None else printed(high, form))
    return (" to " if ends[0].startswith("−") else "–").join(ends)


def ranged(row: Statistic, form: str = ".2f") -> str:
    """A statistic with its interval; "" where nothing was measured."""
    return "" if row["value"] is None else f"{number(row, form)} ({bounds(row, form)})"


def percent(row: Statistic) -> str:
    """A share."""
    return number(row, ".0%")


def share(row: Statistic) -> str:
    """A share with its interval; "" where nothing was measured."""
    return ranged(row, ".0%")
