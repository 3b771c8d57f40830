"""Declaring behaviours: what is found, what is refused, one more file."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitstore.errors import PromptError, UsageError
from tasks import behaviours
from tasks.behaviours import Behaviour, Side, Template
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate
from tasks.settings import selection


def test_the_four_built_in_behaviours_are_found() -> None:
    assert {"addition", "antonym", "capital", "plural"} <= set(selection.behaviour_names())


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"addition, antonym, capital,.* plural.*did you mean plural"):
        declaration("plurals")


@pytest.mark.parametrize("name", ["", "../errors", "__init__", "tasks.behaviours.plural"])
def test_only_a_behaviour_is_loaded(name: str) -> None:
    with pytest.raises(UsageError, match="unknown behaviour"):
        declaration(name)


def test_one_more_file_is_one_more_behaviour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = (behaviours.__doc__ or "").split("::\n")[1].split("\nIt has five pairs")[0]
    code = "\n".join(
        line.removeprefix("    ") for line in example.splitlines() if line.startswith("    ") or not line
    )
    (tmp_path / "number.py").write_text(code)
    monkeypatch.setattr(selection, "BEHAVIOURS", str(tmp_path))
    monkeypatch.setattr(behaviours, "__path__", [str(tmp_path)])
    assert selection.behaviour_names() == ["number"]
    prompts = generate(declaration("number"), train=6, test=2)
    assert {prompt.split for prompt in prompts} == {"train", "test"} and len(prompts) == 8
    assert all(prompt.text.startswith("Today the ") for prompt in prompts)


def declared(text: str, answer: str, sides: tuple[Side, Side]) -> Behaviour:
    template = Template("only", text, answer)
    return Behaviour("mine", "Mine", "Mine.", (template,), (sides,), lambda lexicon: iter(lexicon))


@pytest.mark.parametrize(
    ("text", "answer", "complaint"),
    [
        ("The {nuon}", "{word}", "slot 'nuon'"),
        ("The {noun}", "same", "different answers"),
        ("The {noun}", "{word}", "equally many words"),
    ],
)
def test_a_wrong_declaration_is_refused(text: str, answer: str, complaint: str) -> None:
    sides = Side("a", {"noun": "a", "word": "x"}), Side("b", {"noun": "b c", "word": "y"})
    with pytest.raises(PromptError, match=f"mine, template only.*{complaint}"):
        generate(declared(text, answer, sides), train=0, test=2)
