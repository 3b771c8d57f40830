"""Chat templates: a text as the model's own template writes it out, with roles, in graphs and behaviours."""

from __future__ import annotations

import json

import pytest
from conversation import CHATML, MESSAGES, TEXT, TINY, TURNS, workspace, write_template
from transformers import AutoTokenizer
from workspace import Workspace, one_line_error, run

import circuitstore as cs
from circuitstore.errors import ModelError, UsageError
from circuitstore.models.chat import token_roles, written_out
from circuitstore.models.load import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    made = load_tokenizer(TINY / "model")
    made.chat_template = CHATML
    return made


@pytest.fixture(params=["tokenizer_config.json", "chat_template.jinja"])
def chatting(request, tmp_path):
    """A workspace with the shipped model and a template, in either file that one may be in."""
    return workspace(tmp_path, request.param), tmp_path


def words(work):
    return ("--profile", work.profile, "--store", work.store, "--json")


def test_it_is_what_transformers_writes(tokenizer):
    """Text and tokens, up to where the answer begins."""
    messages = [{"role": role, "content": content} for role, content in TURNS]
    text = written_out(tokenizer, TURNS)
    assert text == tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text.endswith("<|im_start|>assistant\n") and text.startswith("<|im_start|>system\nbe<|im_end|>")


def test_roles_are_those_of_contents(tokenizer):
    """Each turn's own words, twice the same word in two turns, and nothing of the template."""
    text = written_out(tokenizer, TURNS)
    ids = tokenizer.encode(text, add_special_tokens=False)
    roles = token_roles(tokenizer, text, TURNS)
    assert len(roles) == len(ids)
    said = {role: "" for role, _ in TURNS}
    for token, role in zip(ids, roles, strict=True):
        if role:
            said[role] += tokenizer.decode([token])
    assert said == {"system": "be", "user": "The keys near the cabinetThe key", "assistant": "are"}


def test_a_template_that_asks_for_the_date_gets_always_the_same(tokenizer):
    """In each format; otherwise a key would mean another text tomorrow."""
    made = load_tokenizer(TINY / "model")
    made.chat_template = "{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %A %B') }}"
    assert written_out(made, TURNS) == "26 Jul 2024|2024-07-26 Friday July"


@pytest.mark.parametrize(
    "template, error, said",
    [
        (None, ModelError, "chat template: expected one in the tokenizer's files"),
        ("{{ raise_exception('no system, please') }}", UsageError, "system, user.*no system, please"),
        ("{% nonsense", UsageError, "takes, got .*nonsense"),
        ("{{ messages[9].content }}", UsageError, "no element 9|has no"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template, error, said):
    """None at all, one that refuses the turns, one that is no template, one that fails."""
    made = load_tokenizer(TINY / "model")
    made.chat_template = template
    with pytest.raises(error, match=said):
        written_out(made, TURNS[:2])


def test_attribute_chat_is_the_graph_of_the_conversation(chatting):
    """With the template's tokens and roles; the first token is the template's own, so none is put before."""
    work, folder = chatting
    told = run("attribute", TEXT, "--chat", "--target", " are", *words(work))
    assert told.code == 0, told.err
    loaded = AutoTokenizer.from_pretrained(folder / "model")
    expected = loaded.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    graph = cs.attribute(MESSAGES, target=" are", model=work.profile, store=work.store)
    assert graph.input_tokens.values.tolist() == expected
    roles = told.json["roles"]
    assert roles == graph.token_role.values.tolist() and len(roles) == len(expected)
    own = [text for text, role in zip(told.json["tokens"], roles, strict=True) if role == "user"]
    assert "".join(own) == TEXT and set(roles) == {"", "user"}
    assert [row["token"] for row in told.json["logits"]] == [" are"]
    plain = cs.attribute(TEXT, model=work.profile, store=work.store)
    assert "token_role" not in plain and plain.sizes["position"] < len(expected)


def test_all_turns_and_what_the_system_is_told(tmp_path):
    """Of a script and of the command; other questions of one text take turns too."""
    work = workspace(tmp_path, "chat_template.jinja")
    where = {"model": work.profile, "store": work.store}
    turns = [{"role": role, "content": content} for role, content in TURNS]
    graph = cs.attribute(turns, **where)
    assert set(graph.token_role.values.tolist()) == {"", "system", "user", "assistant"}
    told = run("attribute", TEXT, "--chat", "--system", "be", *words(work))
    assert told.code == 0 and told.json["roles"].count("system") >= 1
    edited = cs.intervene(MESSAGES, {(1, -1, 3): 2.0}, **where)
    assert edited.input_tokens.values.tolist() == cs.attribute(MESSAGES, **where).input_tokens.values.tolist()
    why = cs.attention(MESSAGES, 0, 0, -1, 1, **where)
    assert why.input_tokens.values.tolist() == edited.input_tokens.values.tolist()


def test_another_template_is_another_answer(chatting):
    """Its file is in the key: the graph of the old one is not taken for that of the new."""
    work, folder = chatting
    before = cs.attribute(MESSAGES, model=work.profile, store=work.store)
    for file in ("tokenizer_config.json", "chat_template.jinja"):
        if (folder / "model" / file).is_file() and "im_start" in (folder / "model" / file).read_text():
            write_template(folder, file, CHATML.replace("<|im_end|>\n", "<|im_end|>"))
    after = cs.attribute(MESSAGES, model=work.profile, store=work.store)
    assert after.sizes["position"] < before.sizes["position"] and after.attrs["key"] != before.attrs["key"]


def test_a_behaviour_is_asked_in_a_conversation(chatting):
    """`prompts.chat`: tokens, roles and answers are those after the template; texts stay as they are."""
    work, folder = chatting
    rows = [{"id": "a", "text": TEXT, "correct": " are", "incorrect": " is"}]
    work.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    built = work.build("--set", "prompts.chat=true", phase="baseline")
    assert built.code == 0, built.err
    prompts = cs.open("prompts", behaviour="mine", profile="small", store=work.store).isel(prompt=0)
    loaded = AutoTokenizer.from_pretrained(folder / "model")
    expected = loaded.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert prompts.tokens.values.tolist() == expected and str(prompts.text.values) == TEXT
    assert loaded.decode([int(prompts.correct_id)]) == " are"
    assert prompts.token_role.values.tolist().count("user") > 3
    assert work.build("--json", phase="baseline").computed_of("prompts") == 1  # another setting, another key


@pytest.mark.parametrize("asked", [("attribute", TEXT, "--chat"), ("build", "prompts")])
def test_a_model_without_a_template_is_named_before_anything_is_computed(tmp_path, asked):
    """In one line that says what to do."""
    work = Workspace.create(tmp_path, TINY / "model", TINY / "transcoders")
    where = [*work.selection, "--set", "prompts.chat=true"] if asked[0] == "build" else words(work)[:-1]
    outcome = run(*asked, *where)
    assert "chat template" in one_line_error(outcome, code=1) and "instruction-tuned" in outcome.err


@pytest.mark.parametrize(
    "text",
    [[{"role": "user"}], [{"role": "user", "content": 3}], [{"role": "user", "content": "a"}, 3], [3.5]],
)
def test_what_is_neither_text_nor_tokens_nor_turns_is_refused(text):
    """A turn without content, content that is no text, turns and tokens mixed."""
    with pytest.raises(UsageError, match="expected"):
        cs.attribute(text)


def test_a_system_without_a_conversation_is_refused(tmp_path):
    """`--system` by itself."""
    outcome = run("attribute", TEXT, "--system", "be", "--store", tmp_path / "store")
    assert "--chat" in one_line_error(outcome, code=2)
