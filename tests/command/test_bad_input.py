"""Wrong input: one line that says what is wrong and what to do, exit code 1 or 2, no traceback, and nothing
is written.
"""

from __future__ import annotations

import json

import pytest
from refusals import build, refused
from workspace import TEXTS, one_line_error, prompt, run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "attributon"], ["unknown phase 'attributon'", "baseline", "attribution"]),
        (["explain", "attributon"], ["unknown phase 'attributon'", "attribution"]),
        (["build", "-b", "plurals"], ["unknown behaviour 'plurals'", "plural", "--prompts"]),
        (["build", "--profile", "huge"], ["unknown profile 'huge'", "tiny", ".toml"]),
        (["build", "--profile", "no/such.toml"], ["unknown profile", "no/such.toml"]),
        (["build", "--jobs", "0"], ["--jobs", "0"]),
        (["build", "--fast"], ["--fast"]),
        (["bild"], ["bild"]),
        (["show", "prompts"], ["--behaviour"]),
    ],
    ids=" ".join,
)
def test_unknown_names_and_options(new_workspace, arguments, words):
    """A name that does not exist is answered with those that do; exit code 2."""
    refused(
        new_workspace,
        *arguments,
        *([] if arguments == ["bild"] else ["--store", new_workspace.store]),
        code=2,
        words=words,
    )


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("baselin.gate=0.5", ["unknown phase", "'baselin'", "prompts, baseline", "did you mean baseline?"]),
        ("baseline.gat=0.5", ["unknown setting of baseline", "'gat'", "one of top_k, gate"]),
        ("features.gate=0.5", ["no settings"]),
        ("gate", ["phase.field=value", "for example"]),
        ("baseline.gate", ["phase.field=value"]),
        ("baseline.top_k=many", ["baseline.top_k", "int"]),
        ("baseline.top_k=2.5", ["baseline.top_k", "int"]),
        ("baseline.top_k=0", ["baseline.top_k", ">= 1"]),
        ("baseline.gate=2", ["baseline.gate", "<= 1"]),
        ("baseline.gate=nan", ["baseline.gate"]),
        ("prompts.prepend=cls", ["prompts.prepend", "cls"]),
        ("model.dtype=float8", ["model.dtype", "float8"]),
        ("model.device=abacus", ["abacus"]),
        ("activations.layers=2-9", ["activations.layers", "layers from 0 to 3", "'2-9'"]),
        ("activations.layers=3-1", ["activations.layers", "'3-1'"]),
        ("activations.layers=upper", ["activations.layers", "all", "10-24", "3,5,7"]),
        ("activations.layers=-1", ["activations.layers"]),
        ("activations.layers=0-300000000", ["activations.layers", "layers from 0 to 3"]),
        ("activations.layers=" + "9" * 5000, ["activations.layers", "layers from 0 to 3"]),
        ("prompts.train=999999999998", ["prompts.train", "<= 100000"]),
    ],
)
def test_settings_that_cannot_be(new_workspace, setting, words):
    """An unknown field, a value of another type or out of range, layers that the model does not have: named,
    with what is allowed.
    """
    refused(new_workspace, *build(new_workspace, "--set", setting), code=2, words=words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[model\n", ["readable TOML"]),
        ("", ["model"]),
        ("[model]\npath = 3\n[transcoders]\npath = 'x'\n", ["model.path", "str"]),
        ("[modl]\n", ["modl"]),
        ("[model]\npath = 'm'\nrevison = 'x'\n[transcoders]\npath = 't'\n", ["revison"]),
    ],
    ids=["no TOML", "empty", "type", "table", "field"],
)
def test_profiles_that_cannot_be(new_workspace, text, words):
    """A profile's mistakes are named by table and field, with the file."""
    new_workspace.profile.write_text(text)
    refused(new_workspace, *build(new_workspace), code=2, words=[*words, new_workspace.profile.name])


A_DOG, A_CAT, NO_ID = (
    json.dumps(prompt(*row)) for row in (("a", "the dog"), ("a", "the cat"), ("", "the dog"))
)
ANSWERS = '"correct": " are", "incorrect": " is"'
UNREADABLE = {
    "malformed": (
        ["{", '{"text": "the dog"}', f'{{"text": 3, {ANSWERS}}}'],
        ["line 1: ", "line 2: ", "`correct`", "line 3: ", "$.text"],
    ),
    "same answers": (
        ['{"text": "a", "correct": " are", "incorrect": " are"}'],
        ["line 1: correct and incorrect are the same"],
    ),
    "empty fields": (
        ['{"text": "", "correct": " are", "incorrect": ""}'],
        ["line 1: text is empty; line 1: incorrect is empty"],
    ),
    "unknown field": (
        [f'{{"text": "a", "txet": 1, {ANSWERS}}}', "[]", "3"],
        ["line 1: ", "txet", "line 2: ", "line 3: "],
    ),
    "same id": ([A_DOG, A_DOG, A_CAT], ["line 2: the same id or prompt as line 1", "line 3: the same id"]),
    "same prompt": ([NO_ID, NO_ID], ["line 2: the same id or prompt as line 1"]),
    "unknown split": (
        [f'{{"text": "a", "split": "validation", {ANSWERS}}}'],
        ["line 1: ", "validation", "split"],
    ),
    "empty": ([], ["no prompts in it"]),
    "blank": (["\n\n"], ["no prompts in it"]),
    "no JSON": (["the dog"], ["line 1: "]),
}


@pytest.mark.parametrize(("lines", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_prompts_files_that_cannot_be_read(new_workspace, lines, words):
    """All bad lines are reported at once, each with its number and reason; exit code 1."""
    new_workspace.prompts.write_text("\n".join(lines))
    refused(new_workspace, *build(new_workspace), code=1, words=[str(new_workspace.prompts), *words])


def test_prompts_file_of_other_bytes(new_workspace):
    """Text that is not UTF-8 is named by its line."""
    new_workspace.prompts.write_bytes(
        json.dumps(prompt("a", "the dog")).encode() + b'\n{"text": "\xff\xfe"}\n'
    )
    refused(new_workspace, *build(new_workspace), code=1, words=["line 2: "])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"correct": " are is"},
            ["a ('the keys to the cabinet'): answer ' are is' is 2 tokens, not one", "c ('"],
        ),
        ({"correct": " are", "incorrect": "are"}, ["a ('the keys to the cabinet'): ", "same token"]),
        ({"partner": "nobody"}, ["a ('the keys to the cabinet'): partner nobody is no prompt"]),
        ({"partner": "b"}, ["partner b has"]),
    ],
    ids=["two tokens", "same token", "no partner", "longer partner"],
)
def test_prompts_that_do_not_fit_the_tokenizer(new_workspace, change, words):
    """Answers that are not one token, and partners that do not match, are listed by prompt; exit code 1."""
    new_workspace.prompts.write_text(
        "\n".join(json.dumps({**prompt(name, text), **change}) for name, text in TEXTS.items())
    )
    refused(new_workspace, *build(new_workspace), code=1, words=["tokenizer", *words])


def test_prompts_file_that_is_not_there(new_workspace):
    """A file that is missing, or a folder, is a wrong option."""
    new_workspace.prompts.unlink()
    refused(new_workspace, *build(new_workspace), code=2, words=["no such file", str(new_workspace.prompts)])
    new_workspace.prompts.mkdir()
    refused(new_workspace, *build(new_workspace), code=2, words=[str(new_workspace.prompts), "got a folder"])


def test_prompts_file_whose_name_cannot_be_a_behaviour(new_workspace):
    """The behaviour is named after the file, and names become paths."""
    new_workspace.prompts = new_workspace.prompts.rename(new_workspace.root / "my prompts.jsonl")
    refused(new_workspace, *build(new_workspace), code=2, words=["'my prompts'", "letters, digits"])


def test_behaviour_together_with_prompts(new_workspace):
    """A behaviour is declared or comes from a file, not both."""
    refused(
        new_workspace,
        *build(new_workspace, "-b", "plural"),
        code=2,
        words=["--prompts", "--behaviour plural", "named after the file"],
    )


@pytest.mark.parametrize("command", ["build attribution", "status", "explain attribution", "build --dry-run"])
def test_every_planning_command_answers_alike(new_workspace, command):
    """`status`, `explain` and `--dry-run` refuse what `build` refuses, in the same words."""
    setting = "activations.layers=9"
    refused(
        new_workspace,
        *command.split(),
        *new_workspace.selection,
        "--set",
        setting,
        code=2,
        words=["layers from 0 to 3", "'9'"],
    )


def test_gate_says_the_numbers_and_how_to_go_on(new_workspace):
    """A model that does not show the behaviour stops the build after `baseline`, which is kept."""
    error = one_line_error(run(*build(new_workspace, "--set", "baseline.gate=0.99")), code=1)
    assert "accuracy" in error and "0.990" in error and "--ignore-gate" in error
    assert new_workspace.artifact("baseline").coordinates("prompt") == list(TEXTS)
