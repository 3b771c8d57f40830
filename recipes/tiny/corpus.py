"""What the tiny model reads: sentences made from the templates of the behaviours, with a wider lexicon.

Besides the words of the prompts there are other nouns, cities, states and antonyms, and other sentences that
state the facts one at a time. What the test prompts ask is held out, and more than their texts:

- plural: a test subject is never a subject with an attractor. It occurs as an attractor, and as a subject
  alone.
- capital: no sentence asks for the capital or the state of a test city in a template of the behaviour. Other
  sentences state its state and the capital of that state, and the templates ask for cities in the wider
  lexicon.
- antonym: a test pair is never in a template of the behaviour. It occurs in other sentences.
- addition: the ones digits that a test prompt adds are in no sum of two-digit numbers, either way round. All
  sums of one digit occur.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tasks.behaviours import Prompt, Template, addition, antonym, capital, plural
from tasks.inputs.behaviour import declaration

Sentence = Callable[[random.Random], str]

ANSWER = "|"  # in a sentence, it stands before the answer

MORE_NOUNS = (
    "apple basket bear bed bike candle coat coin computer cup desk duck egg engineer fence friend frog gate "
    "girl goat guard guitar hat letter map monkey pen phone pig pilot plane queen rabbit ring robot school "
    "shoe snake stone tent toy train visitor wall"
)
MORE_TEMPLATES = (
    ("be", "The {subject} under the {attractor}"),
    ("be", "Today the {subject} beside the {attractor}"),
    ("was", "Yesterday the {subject} behind the {attractor}"),
    ("was", "Last week the {subject} next to the {attractor}"),
    ("have", "Until now the {subject} under the {attractor}"),
    ("have", "Since then the {subject} that I found behind the {attractor}"),
)
ALONE = (
    ("be", "The {subject}"),
    ("be", "Today the {subject}"),
    ("was", "Yesterday the {subject}"),
    ("was", "Last week the {subject}"),
    ("was", "Years ago the {subject}"),
    ("have", "For years the {subject}"),
    ("have", "Since then the {subject}"),
    ("have", "Until now the {subject}"),
)
COMPLEMENTS = ("old", "new", "here", "there", "quiet", "useful", "strange", "famous")

MORE_CITIES = {
    "Alabama": "Huntsville Tuscaloosa Selma Auburn",
    "Arizona": "Tempe Scottsdale Yuma Flagstaff",
    "California": "Stockton Bakersfield Pasadena Malibu Irvine Burbank",
    "Colorado": "Pueblo Vail Durango Greeley",
    "Connecticut": "Bridgeport Norwalk Danbury Waterbury",
    "Georgia": "Macon Marietta Valdosta Roswell",
    "Illinois": "Peoria Rockford Evanston Joliet Naperville",
    "Indiana": "Evansville Muncie Kokomo Elkhart",
    "Massachusetts": "Brockton Quincy Pittsfield Gloucester",
    "Michigan": "Dearborn Pontiac Kalamazoo Saginaw",
    "Nebraska": "Kearney Hastings Scottsbluff Fremont",
    "New York": "Ithaca Yonkers Utica Binghamton",
    "North Carolina": "Greensboro Asheville Fayetteville Hickory",
    "Ohio": "Youngstown Canton Lima Sandusky",
    "Oregon": "Medford Corvallis Bend Astoria",
    "Rhode Island": "Cranston Pawtucket Woonsocket Westerly",
    "South Carolina": "Spartanburg Sumter Florence Beaufort",
    "Tennessee": "Clarksville Murfreesboro Franklin Kingsport",
    "Texas": "Lubbock Laredo Amarillo Galveston Waco",
    "Virginia": "Roanoke Lynchburg Danville Petersburg",
    "Washington": "Bellevue Redmond Yakima Kennewick",
    "Wisconsin": "Racine Oshkosh Waukesha Kenosha",
}
MORE_STATES = (
    ("Alaska", "Juneau", "Anchorage Fairbanks Nome Sitka"),
    ("Florida", "Tallahassee", "Miami Tampa Orlando Pensacola Sarasota"),
    ("Idaho", "Boise", "Nampa Pocatello Moscow Lewiston"),
    ("Kansas", "Topeka", "Wichita Salina Lawrence Emporia"),
    ("Kentucky", "Frankfort", "Louisville Lexington Paducah Owensboro"),
    ("Maryland", "Annapolis", "Baltimore Rockville Bethesda Frederick"),
    ("Montana", "Helena", "Billings Missoula Bozeman Butte"),
    ("Pennsylvania", "Harrisburg", "Philadelphia Pittsburgh Erie Scranton Allentown"),
    ("Vermont", "Montpelier", "Burlington Rutland Brattleboro Stowe"),
    ("Wyoming", "Cheyenne", "Casper Laramie Sheridan Cody"),
)
CITY_FACTS = (
    "The city of {city} is in| {state}.",
    "The city of {city} is in the state of| {state}.",
    "The state containing {city} is| {state}.",
    "The state where {city} is located is| {state}.",
    "The state that includes {city} is| {state}.",
    "Fact: the state with the city of {city} is| {state}.",
)
CAPITAL_FACTS = (
    "The capital of {state} is| {capital}.",
    "The capital of the state of {state} is| {capital}.",
    "In the state of {state}, the capital city is| {capital}.",
    "Fact: {state} has its capital in| {capital}.",
)

MORE_ANTONYMS = (
    "alive/dead ask/answer attack/defense begin/end cheap/costly closed/open deep/shallow enter/exit "
    "failure/success father/mother few/many float/sink forward/backward friend/enemy future/past hard/soft "
    "input/output king/queen legal/illegal life/death live/die male/female maximum/minimum more/less "
    "negative/positive odd/even off/on peace/war primary/secondary profit/loss question/reply raw/cooked "
    "rich/poor same/different sharp/dull solid/liquid static/dynamic sun/moon sweet/bitter thick/thin "
    "tight/loose upper/lower valid/invalid vertical/horizontal visible/hidden warm/cool wide/narrow "
    "wild/tame wet/dry yes/no"
)
ANTONYM_FACTS = (
    'The words "{word}" and "|{opposite}" are opposites.',
    'It is not "{word}" but "|{opposite}".',
    'What is not "{word}" is "|{opposite}".',
    'Opposites: "{word}" and "|{opposite}".',
)

# The shares of simpler sentences.
ALONE_SHARE, CITY_SHARE, CAPITAL_SHARE, ANTONYM_SHARE, ONE_DIGIT_SHARE = 0.3, 0.45, 0.1, 0.5, 0.5


def test_groups(prompts: dict[str, list[Prompt]]) -> dict[str, set[str]]:
    """The lexical groups of the test prompts of each behaviour."""
    return {
        name: {prompt.group for prompt in some if prompt.split == "test"} for name, some in prompts.items()
    }


def sentences(held_out: dict[str, set[str]], shares: dict[str, float], count: int, seed: int) -> list[str]:
    """Draw sentences, with repetition, each with `ANSWER` before its answer.

    For each behaviour, `held_out` gives the lexical groups of its test prompts, and `shares` its part of the
    sentences.
    """
    makers = {"addition": _addition, "antonym": _antonym, "capital": _capital, "plural": _plural}
    rng = random.Random(seed)
    sources = {name: makers[name](declaration(name).templates, held_out[name]) for name in shares}
    return [sources[name](rng) for name in rng.choices(list(shares), list(shares.values()), k=count)]


def plain(sentences: list[str]) -> list[str]:
    """The distinct texts of sentences, sorted."""
    return sorted({sentence.replace(ANSWER, "") for sentence in sentences})


def _plural(templates: tuple[Template, ...], held_out: set[str]) -> Sentence:
    """Subjects with and without an attractor."""
    nouns = [*plural.NOUNS, *((noun, noun + "s") for noun in MORE_NOUNS.split())]
    subjects = [noun for noun in nouns if noun[0] not in held_out]
    crossing = [(template.labels["verb"], template.text) for template in templates] + list(MORE_TEMPLATES)

    def sentence(rng: random.Random) -> str:
        alone = rng.random() < ALONE_SHARE
        verb, text = rng.choice(ALONE if alone else crossing)
        subject, attractor = rng.choice(nouns if alone else subjects), rng.choice(nouns)
        number = rng.randrange(2)
        text = text.format(subject=subject[number], attractor=rng.choice(attractor))
        been = " been" if verb == "have" else ""
        return f"{text}|{plural.VERBS[verb][number]}{been} {rng.choice(COMPLEMENTS)}."

    return sentence


def _capital(templates: tuple[Template, ...], held_out: set[str]) -> Sentence:
    """Facts about cities and states, and the questions of the behaviour."""
    known = [
        (state, town, cities.split(), MORE_CITIES[state].split()) for state, _, town, cities in capital.STATES
    ]
    known += [(state, town, [], cities.split()) for state, town, cities in MORE_STATES]
    cities = [(city, state) for state, _, some, more in known for city in [*some, *more]]
    asked = [
        (city, state, town)
        for state, town, some, more in known
        for city in ([] if state in held_out else some) + more
    ]

    def sentence(rng: random.Random) -> str:
        kind = rng.random()
        if kind < CITY_SHARE:
            city, state = rng.choice(cities)
            return rng.choice(CITY_FACTS).format(city=city, state=state)
        if kind < CITY_SHARE + CAPITAL_SHARE:
            state, town, *_ = rng.choice(known)
            return rng.choice(CAPITAL_FACTS).format(state=state, capital=town)
        city, state, town = rng.choice(asked)
        return _complete(rng.choice(templates), city=city, state=state, capital=town) + "."

    return sentence


def _antonym(templates: tuple[Template, ...], held_out: set[str]) -> Sentence:
    """Facts about antonyms, and questions."""
    more = [tuple(words.split("/")) for words in MORE_ANTONYMS.split()]
    pairs = [*((one, other) for _, one, other in antonym.BEHAVIOUR.lexicon), *more]
    asked = [pair for pair in pairs if "/".join(pair) not in held_out]

    def sentence(rng: random.Random) -> str:
        fact = rng.random() < ANTONYM_SHARE
        word, opposite = rng.sample(rng.choice(pairs if fact else asked), 2)
        if fact:
            return rng.choice(ANTONYM_FACTS).format(word=word, opposite=opposite)
        return _complete(rng.choice(templates), word=word, opposite=opposite) + '".'

    return sentence


def _addition(templates: tuple[Template, ...], held_out: set[str]) -> Sentence:
    """Sums of one and of two digits."""
    two_digits = [
        (a, b)
        for a in range(10, 90)
        for b in range(10, 100 - a)
        if addition.ones_digits(a, b) not in held_out
    ]
    one_digit = [(a, b) for a in range(10) for b in range(10)]

    def sentence(rng: random.Random) -> str:
        a, b = rng.choice(one_digit if rng.random() < ONE_DIGIT_SHARE else two_digits)
        tens, ones = divmod(a + b, 10)
        return (
            _complete(rng.choice(templates), a=str(a), b=str(b), tens=str(tens or ""), ones=str(ones)) + "."
        )

    return sentence


def _complete(template: Template, **words: str) -> str:
    """A template with its words and its answer."""
    return f"{template.text}|{template.answer}".format_map(words)
