"""The ones digit of a sum: "calc: 36+59=9" → "5".

Qwen3 writes numbers digit by digit. The prompt already holds the tens digit of the sum, and the next token is
its ones digit. The template "last" asks for that digit in words, after a space of its own. Sums stay below
100, and the first operand is the smaller one, so that no sum is asked again the other way round.

A minimal pair changes the ones digit of the second operand and keeps the tens digit of the sum. Since the
tens digit is given, the two ones digits determine the answer. So they are the lexical group, in either order:
a test prompt adds ones digits that no train prompt adds. Operands, templates and digits are shared otherwise.
The label says whether the ones digits carry.

Source: Lindsey et al. (2025), *On the Biology of a Large Language Model*, "Addition".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from tasks.behaviours import Behaviour, Contrast, Side, Template


def pair(lexicon: tuple[int, ...]) -> Iterator[Contrast]:
    """Two sums of one first operand that differ in the ones digits of the second operand and the result."""
    for a in lexicon:
        sums = [b for b in lexicon if a < b < 100 - a]
        for b, other in combinations(sums, 2):
            if b // 10 == other // 10 and (a + b) // 10 == (a + other) // 10:
                yield _side(a, b), _side(a, other)


def _side(a: int, b: int) -> Side:
    """The sum of two operands."""
    tens, ones = divmod(a + b, 10)
    return Side(
        group=ones_digits(a, b),
        words={"a": str(a), "b": str(b), "tens": str(tens), "ones": str(ones)},
        labels={"carry": "yes" if a % 10 + b % 10 > 9 else "no"},
    )


def ones_digits(a: int, b: int) -> str:
    """The ones digits of two operands in either order, such as "6+9"."""
    return "{}+{}".format(*sorted((a % 10, b % 10)))


BEHAVIOUR = Behaviour(
    name="addition",
    title="The ones digit of a sum",
    description="The last digit of the sum of two two-digit numbers.",
    templates=(
        Template("calc", "calc: {a}+{b}={tens}", answer="{ones}"),
        Template("spaced", "{a} + {b} = {tens}", answer="{ones}"),
        Template("sum", "The sum of {a} and {b} is {tens}", answer="{ones}"),
        Template("plus", "{a} plus {b} equals {tens}", answer="{ones}"),
        Template("last", "The last digit of {a}+{b} is ", answer="{ones}"),
    ),
    lexicon=tuple(range(11, 90)),
    pair=pair,
)
