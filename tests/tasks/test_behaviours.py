"""Behaviours: what every declaration promises, and how prompts are drawn."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import FrozenInstanceError
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from tasks import behaviours
from tasks.behaviours import Behaviour, Prompt, Side, Template, capital, plural
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate

NAMES = ["addition", "antonym", "capital", "plural"]


@cache
def drawn(name: str, seed: int = 42) -> list[Prompt]:
    return generate(declaration(name), seed=seed)


@pytest.fixture(params=NAMES)
def prompts(request: pytest.FixtureRequest) -> list[Prompt]:
    return drawn(request.param)


def split(prompts: list[Prompt], name: str) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.split == name]


def spread(values: list[str]) -> int:
    counts = Counter(values).values()
    return max(counts) - min(counts)


# What every behaviour promises


def test_eighty_train_and_twenty_test_prompts_with_distinct_texts_and_ids(prompts: list[Prompt]) -> None:
    assert [prompt.split for prompt in prompts] == ["train"] * 80 + ["test"] * 20
    assert len({prompt.text for prompt in prompts}) == 100
    assert len({prompt.id for prompt in prompts}) == 100


def test_lexical_groups_do_not_straddle_the_split(prompts: list[Prompt]) -> None:
    train, test = ({prompt.group for prompt in split(prompts, name)} for name in ("train", "test"))
    assert train and test and not train & test


# What determines an answer, and whatever else is only of one split; all other words may be in both.
ITEMS = {
    "addition": lambda text: {"+".join(sorted(n[-1] for n in re.findall(r"\d+", text)[:2]))},
    "antonym": lambda text: {re.findall(r'"(\w+)"', text)[0]},
    "capital": lambda text: set(re.findall(r"\w+", text)) & CITIES,
    "plural": lambda text: (
        {NUMBERS.get(word, word) for word in re.findall(r"\w+", text)} & set(NUMBERS.values())
    ),
}
CITIES = {city for _, _, _, cities in capital.STATES for city in cities.split()}
NUMBERS = {many: one for one, many in plural.NOUNS} | {one: one for one, _ in plural.NOUNS}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [42, 43])
def test_nothing_that_determines_an_answer_is_in_both_splits(name: str, seed: int) -> None:
    """Read from the texts: ones digits, antonyms, cities and all nouns, attractors too."""
    train, test = (
        {item for prompt in split(drawn(name, seed), part) for item in ITEMS[name](prompt.text)}
        for part in ("train", "test")
    )
    assert len(train) >= 20 and len(test) >= 8 and not train & test


@pytest.mark.parametrize("name", NAMES)
def test_the_test_prompts_are_of_enough_groups_to_resample(name: str) -> None:
    assert len({prompt.group for prompt in split(drawn(name), "test")}) >= 7


def test_states_and_their_capitals_are_not_one_partition() -> None:
    """Most train states are asked for, too, so that a feature of the state can be told from the answer."""
    answers: dict[str, set[str]] = {}
    for prompt in split(drawn("capital"), "train"):
        answers.setdefault(prompt.labels["state"], set()).add(prompt.correct)
    assert sum(len(some) == 2 for some in answers.values()) >= 0.7 * len(answers)


def test_a_template_is_filled_from_contrasts_that_have_its_words() -> None:
    """Sides without the word "size" are not used for the template that needs it, and are for the other."""
    sides = [
        Side(f"g{i}", {"noun": f"n{i}", "word": f"w{i}"} | ({"size": f"s{i}"} if i % 2 else {}))
        for i in range(40)
    ]
    templates = Template("all", "The {noun}", "{word}"), Template("some", "A {size} {noun}", "{word}")
    pairs = tuple((sides[i], sides[(i + 2) % 40]) for i in range(40))
    mine = Behaviour("mine", "Mine", "Mine.", templates, pairs, lambda lexicon: iter(lexicon))
    prompts = generate(mine, train=16, test=4)
    assert all(int(prompt.group[1:]) % 2 for prompt in prompts if prompt.template == "some")
    assert {int(prompt.group[1:]) % 2 for prompt in prompts if prompt.template == "all"} == {0, 1}


def test_partners_mirror_each_other(prompts: list[Prompt]) -> None:
    by_id = {prompt.id: prompt for prompt in prompts}
    for prompt in prompts:
        partner = by_id[prompt.partner]
        assert partner.partner == prompt.id != partner.id
        assert (partner.correct, partner.incorrect) == (prompt.incorrect, prompt.correct)
        assert (partner.split, partner.template) == (prompt.split, prompt.template)
        assert len(partner.text.split()) == len(prompt.text.split())


def test_every_incorrect_answer_is_correct_elsewhere_in_its_split(prompts: list[Prompt]) -> None:
    for name in "train", "test":
        some = split(prompts, name)
        assert Counter(prompt.correct for prompt in some) == Counter(prompt.incorrect for prompt in some)
        assert all(prompt.correct != prompt.incorrect for prompt in some)


@pytest.mark.parametrize("name", ["train", "test"])
def test_answers_and_templates_are_balanced(prompts: list[Prompt], name: str) -> None:
    """Sums and cities are few a group, so that answers are balanced a little less there."""
    some = split(prompts, name)
    assert spread([prompt.template for prompt in some]) <= 2
    kinds = {prompt.labels.get("asked") for prompt in some}
    for kind in kinds:
        answers = [prompt.correct for prompt in some if prompt.labels.get("asked") == kind]
        assert spread(answers) <= (3 if "carry" in some[0].labels or kind else 2)


@pytest.mark.parametrize("name", ["train", "test"])
def test_classes_of_plural_and_addition_are_half_and_half(name: str) -> None:
    some = split(drawn("plural"), name)
    for label in "subject_number", "attractor_number", "attractor":
        assert spread([prompt.labels[label] for prompt in some]) == 0
    assert spread([prompt.labels["verb"] for prompt in some]) <= 2
    assert spread([prompt.labels["carry"] for prompt in split(drawn("addition"), name)]) == 0


def test_all_prompts_of_a_behaviour_have_the_same_labels(prompts: list[Prompt]) -> None:
    assert len({tuple(prompt.labels) for prompt in prompts}) == 1
    assert all(isinstance(value, str) for prompt in prompts for value in prompt.labels.values())


# Each behaviour is right about the world


def test_plural_agrees_with_the_subject_and_not_with_the_attractor() -> None:
    for prompt in drawn("plural"):
        number = prompt.labels["subject_number"]
        assert (prompt.correct in {" are", " were", " have"}) == (number == "plural")
        assert (prompt.labels["attractor"] == "match") == (number == prompt.labels["attractor_number"])


def test_addition_answers_with_the_ones_digit() -> None:
    for prompt in drawn("addition"):
        digits = "".join(c if c.isdigit() else " " for c in prompt.text).split()
        total = int(digits[0]) + int(digits[1])
        assert prompt.correct == str(total % 10)
        assert prompt.template == "last" or digits[2] == str(total // 10)


def test_antonym_partners_ask_for_each_other() -> None:
    for prompt in drawn("antonym"):
        assert f'"{prompt.incorrect}"' in prompt.text and f'"{prompt.correct}"' not in prompt.text


def test_capital_never_names_the_state_or_its_capital() -> None:
    for prompt in drawn("capital"):
        assert prompt.labels["state"] not in prompt.text
        assert prompt.correct.strip() not in prompt.text
        assert (prompt.correct == f" {prompt.labels['state']}") == (prompt.labels["asked"] == "state")


# Drawing


def test_the_same_seed_gives_the_same_prompts_in_another_process() -> None:
    code = (
        "import sys; from tasks.inputs.behaviour import *; from tasks.inputs.draw import *;"
        "print([p.id for n in sys.argv[1:] for p in generate(declaration(n))])"
    )
    here = [prompt.id for name in NAMES for prompt in drawn(name)]
    root = Path(behaviours.__file__).parents[2]
    for salt in "1", "2":
        env = {"PYTHONHASHSEED": salt, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", code, *NAMES], env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == str(here)


def test_the_default_prompts_are_pinned() -> None:
    """They are part of results that people share: another way of drawing would change all of those."""
    ids = {name: " ".join(prompt.id for prompt in drawn(name)) for name in NAMES}
    digests = {name: sha256(text.encode()).hexdigest()[:8] for name, text in ids.items()}
    assert digests == {
        "addition": "1c14a032",
        "antonym": "ca34452e",
        "capital": "a4112cb4",
        "plural": "2dc8d966",
    }


def test_another_seed_gives_other_prompts(prompts: list[Prompt]) -> None:
    other = {prompt.id for prompt in drawn(prompts[0].id.partition("-")[0], seed=43)}
    assert len(other & {prompt.id for prompt in prompts}) < 50


def test_an_id_depends_on_text_and_answers_only() -> None:
    few = {prompt.text: prompt.id for prompt in generate(declaration("plural"), train=20, test=20)}
    many = {prompt.text: prompt.id for prompt in generate(declaration("plural"), train=400, test=20)}
    shared = few.keys() & many.keys()
    assert shared and all(few[text] == many[text] for text in shared)


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        drawn("plural")[0].text = "other"


def test_importing_and_drawing_need_the_standard_library_only() -> None:
    code = (
        "import sys; from tasks.inputs.behaviour import *; from tasks.inputs.draw import *;"
        "[generate(declaration(n)) for n in selection.behaviour_names()];"
        "print(*sys.modules.keys() & {'numpy', 'torch', 'transformers', 'xarray', 'zarr'})"
    )
    env = {"PYTHONPATH": str(Path(behaviours.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
