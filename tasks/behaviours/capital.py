"""Two hops: "The capital of the state containing Dallas is" → " Austin", by way of Texas, which is not named.

A minimal pair asks the same of a city in another state. A lexical group is a state with all its cities.

A state has one capital. If all prompts asked for capitals, state and answer would be one partition of them,
and nothing could tell a feature of the state from a feature of the answer. Two templates therefore ask for
the state itself, which takes one hop. The label `asked` tells the kinds apart.

Every capital and every city here is a single token of Qwen3's tokenizer, and so is every state that is asked
for; states of two words are not. Cities whose names occur in many states are left out.

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
    """A city of each of two states. A state of two words is no answer, so its sides lack that word."""
    sides = [
        Side(
            group=state,
            words={"city": city, "capital": capital} | ({} if " " in state else {"state": state}),
            labels={"state": state, "region": region},
        )
        for state, region, capital, cities in lexicon
        for city in cities.split()
    ]
    return ((one, other) for one, other in combinations(sides, 2) if one.group != other.group)


def _two_hops(name: str, text: str) -> Template:
    """A template that asks for the capital of a city's state."""
    return Template(name, text, answer=" {capital}", labels={"asked": "capital"})


def _one_hop(name: str, text: str) -> Template:
    """A template that asks for the state of a city."""
    return Template(name, text, answer=" {state}", labels={"asked": "state"})


BEHAVIOUR = Behaviour(
    name="capital",
    title="Two-hop capitals",
    description="From a city to its state, and from there to the capital; some prompts ask for the state.",
    templates=(
        _two_hops("containing", "The capital of the state containing {city} is"),
        _one_hop("lies", "The city of {city} lies in the state of"),
        _two_hops("located", "The capital of the state where {city} is located is"),
        _two_hops("whose", "The city of {city} is in a state whose capital is"),
        _two_hops("includes", "In the state that includes {city}, the capital city is"),
        _one_hop("home", "The state that is home to {city} is"),
        _two_hops("fact", "Fact: the state with the city of {city} has its capital in"),
    ),
    lexicon=STATES,
    pair=pair,
)
