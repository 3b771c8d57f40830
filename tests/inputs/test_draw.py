"""Drawing prompts: how many, which fit, and what is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from circuitstore.errors import PromptError, UsageError
from circuitstore.models.load import load_tokenizer
from tasks import behaviours
from tasks.behaviours import Prompt
from tasks.inputs import draw
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import Fits, generate
from tasks.prompts import prompts as prompts_phase
from tasks.settings.phases import Prompts

SPLIT = (" rhinoceros", " hippopotamus")  # of several tokens


def test_other_counts_can_be_asked_for() -> None:
    assert [prompt.split for prompt in generate(declaration("capital"), train=4, test=2)] == ["train"] * 4 + [
        "test"
    ] * 2
    assert {prompt.split for prompt in generate(declaration("capital"), train=0, test=6)} == {"test"}
    assert {prompt.split for prompt in generate(declaration("capital"), train=6, test=0)} == {"train"}
    assert generate(declaration("capital"), train=0, test=0) == []


@pytest.mark.parametrize("count", [-2, 3])
def test_an_odd_or_negative_count_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match="even"):
        generate(declaration("plural"), train=count)


def test_a_lexicon_that_is_too_small_is_reported_with_what_it_gives() -> None:
    small = replace(declaration("antonym"), lexicon=declaration("antonym").lexicon[:8])
    with pytest.raises(PromptError, match=r"antonym.*expected 80 distinct prompts, got at most 60"):
        generate(small)


def test_far_too_many_prompts_are_refused_at_once(monkeypatch) -> None:
    """Not even all pairs of words with all templates would be enough, so none is made."""
    monkeypatch.setattr(draw, "_render", None)
    with pytest.raises(PromptError, match=r"antonym.*expected 100000 distinct prompts"):
        generate(declaration("antonym"), train=100_000)


def test_a_pair_of_words_is_put_into_a_template_once(monkeypatch) -> None:
    """Or the time to draw would grow with the square of the number of prompts."""
    rendered: Counter[tuple[str, int]] = Counter()
    original = draw._render

    def render(behaviour, template, contrast, split):
        rendered[template.name, id(contrast)] += 1
        return original(behaviour, template, contrast, split)

    monkeypatch.setattr(draw, "_render", render)
    assert len(generate(declaration("plural"), train=800, test=20)) == 820
    assert set(rendered.values()) == {1}


def test_pairs_that_do_not_fit_are_left_out_and_no_others_change() -> None:
    """Words that do not fit are not drawn, and the splits stay; if all fit, the prompts are the same."""
    usual = generate(declaration("antonym"))
    assert generate(declaration("antonym"), fits=lambda one, other: True) == usual
    fitting = generate(declaration("antonym"), fits=lambda one, other: "loud" not in one.group)
    assert len(fitting) == 100 and any("loud" in prompt.group for prompt in usual)
    assert not any("loud" in prompt.group for prompt in fitting)
    splits = {prompt.group: prompt.split for prompt in usual}
    assert all(splits.get(prompt.group, prompt.split) == prompt.split for prompt in fitting)


def test_words_that_a_tokenizer_splits_are_skipped_only_when_asked() -> None:
    """An answer of several tokens is an error by default; with `misfits` its minimal pair is left out."""
    tokenizer = load_tokenizer(Path(behaviours.__file__).parents[1] / "profiles" / "tiny" / "model")
    good = generate(declaration("plural"))[:2]
    odd = [
        replace(
            prompt,
            id=prompt.id + "x",
            partner=prompt.partner + "x",
            text="An " + prompt.text,
            correct=answer,
            incorrect=other,
        )
        for prompt, (answer, other) in zip(good, (SPLIT, SPLIT[::-1]), strict=True)
    ]

    def behaviour(settings: Prompts, fits: Fits | None) -> list[Prompt]:
        return [prompt for pair in (good, odd) if fits is None or fits(*pair) for prompt in pair]

    skipped = list(prompts_phase([{}], Prompts(misfits="skip"), behaviour, tokenizer))
    assert [coords["prompt"] for coords, _ in skipped] == [prompt.id for prompt in good]
    with pytest.raises(PromptError, match=r"' rhinoceros' is \d+ tokens.*--set prompts.misfits=skip"):
        list(prompts_phase([{}], Prompts(), behaviour, tokenizer))
