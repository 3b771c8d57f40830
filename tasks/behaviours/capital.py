"""Two hops: "The capital of the state containing Dallas is" → " Austin", by way of Texas, which is not named.

A minimal pair asks the same of a city in another state. A lexical group is a state with all its cities. Every
capital and every city here is a single token of Qwen3's tokenizer. Cities whose names occur in many states
are left out.

Source: Lindsey et al. (2025), *On the Biology of a Large Language Model*, "Multi-step reasoning".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from tasks.behaviours import Behaviour, Contrast, Side, Template

State = tuple[str, str, str, str]

STATES: tuple[State, ...] = (  # state, region, capital, cities
    ("Alabama", "south", "Montgomery", "Birmingham Mobile"),
    ("Arizona", "west", "Phoenix", "Tucson Mesa"),
    ("California", "west", "Sacramento", "Oakland Fresno Anaheim Berkeley"),
    ("Colorado", "west", "Denver", "Boulder Aspen"),
    ("Connecticut", "northeast", "Hartford", "Stamford Greenwich"),
    ("Georgia", "south", "Atlanta", "Savannah Athens"),
    ("Illinois", "midwest", "Springfield", "Chicago"),
    ("Indiana", "midwest", "Indianapolis", "Gary"),
    ("Massachusetts", "northeast", "Boston", "Worcester Cambridge Lowell Plymouth"),
    ("Michigan", "midwest", "Lansing", "Detroit Flint"),
    ("Nebraska", "midwest", "Lincoln", "Omaha"),
    ("New York", "northeast", "Albany", "Buffalo Rochester Syracuse"),
    ("North Carolina", "south", "Raleigh", "Charlotte Durham"),
    ("Ohio", "midwest", "Columbus", "Cleveland Cincinnati Toledo Dayton Akron"),
    ("Oregon", "west", "Salem", "Portland Eugene"),
    ("Rhode Island", "northeast", "Providence", "Newport Warwick"),
    ("South Carolina", "south", "Columbia", "Charleston Greenville"),
    ("Tennessee", "south", "Nashville", "Memphis Knoxville Chattanooga"),
    ("Texas", "south", "Austin", "Dallas Houston Irving"),
    ("Virginia", "south", "Richmond", "Norfolk Alexandria Hampton"),
    ("Washington", "west", "Olympia", "Seattle Tacoma Spokane Everett"),
    ("Wisconsin", "midwest", "Madison", "Milwaukee"),
)


def pair(lexicon: tuple[State, ...]) -> Iterator[Contrast]:
    """A city of each of two states."""
    sides = [
        Side(group=state, words={"city": city, "capital": capital}, labels={"state": state, "region": region})
        for state, region, capital, cities in lexicon
        for city in cities.split()
    ]
    return ((one, other) for one, other in combinations(sides, 2) if one.group != other.group)


BEHAVIOUR = Behaviour(
    name="capital",
    title="Two-hop capitals",
    description="From a city to the state it lies in, and from there to that state's capital.",
    templates=(
        Template("containing", "The capital of the state containing {city} is", answer=" {capital}"),
        Template("located", "The capital of the state where {city} is located is", answer=" {capital}"),
        Template("whose", "The city of {city} is in a state whose capital is", answer=" {capital}"),
        Template("includes", "In the state that includes {city}, the capital city is", answer=" {capital}"),
        Template("fact", "Fact: the state with the city of {city} has its capital in", answer=" {capital}"),
    ),
    lexicon=STATES,
    pair=pair,
)
