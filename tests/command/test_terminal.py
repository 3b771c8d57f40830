"""What a store or a file holds cannot steer the terminal of who looks at it, and JSON stays what it was."""

from __future__ import annotations

import ast
import json
import unicodedata
from pathlib import Path

import pytest
from workspace import BEHAVIOUR, ROOT, Outcome, Workspace, run

from circuitstore.command.terminal import visible
from circuitstore.storage.actions import journals, write_journal
from circuitstore.storage.layout import Store

STEERING = "".join(chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) == "Cc")
STEERING += "\u202e\u2066\u200f\u061c\u2028\u2029"
COMMANDS = Path(ROOT / "circuitstore" / "command")


def steers(text: str) -> set[str]:
    """The characters of a text that may steer a terminal, line ends and tabs apart."""
    return set(text) & set(STEERING) - set("\n\t")


@pytest.fixture
def steered(new_workspace: Workspace) -> Workspace:
    """A store whose prompts, labels, journals and error messages hold every such character."""
    odd = STEERING.replace("\n", "").replace("\r", "")
    row = {"id": "a", "text": f"the {odd}dog", "correct": " are", "incorrect": " is", "labels": {"x": odd}}
    new_workspace.prompts.write_text(json.dumps(row) + "\n")
    assert new_workspace.build(phase="baseline").code == 0
    store = Store(new_workspace.store)
    old = journals(store, "baseline")[0]
    cells = [type(old.cells[0])("0" * 64, {"prompt": odd}, old.cells[0].content, 0)]
    facts = {**old.provenance, "host": odd}
    write_journal(store, "baseline", odd, old.object, cells, old.components, facts)
    return new_workspace


def commands(workspace: Workspace) -> list[list[object]]:
    where = ["-b", BEHAVIOUR, "--profile", workspace.profile, "--store", workspace.store]
    listed = [["show", phase, *where] for phase in ("prompts", "baseline")]
    listed += [["log", "--store", workspace.store], ["verify", "--store", workspace.store]]
    listed += [["status", *workspace.selection], ["explain", "baseline", *workspace.selection]]
    return listed


def test_nothing_that_is_printed_steers_a_terminal(steered):
    """Neither for people nor as JSON, which has the same values all the same."""
    every = [run(*words) for words in commands(steered)]
    as_json = [run(*words, "--json") for words in commands(steered)]
    for outcome in (*every, *as_json):
        assert steers(outcome.out + outcome.err) == set()
    assert set(json.loads(as_json[0].out)["text"]) > set("the dog") | steers(STEERING) - {"\r"}
    hosts = [json.loads(line)["provenance"]["host"] for line in as_json[2].out.splitlines()]
    assert any(steers(host) for host in hosts)


@pytest.mark.parametrize("line", ['{"text": "\\u001b[2J\\u202e', '"\x1b]0;x\x07"', '{"\\u001b[31m": 1}'])
def test_an_error_that_quotes_a_file_is_one_plain_line(new_workspace, line):
    """Whatever the message says of the file."""
    new_workspace.prompts.write_text(line + "\n")
    outcome: Outcome = new_workspace.build()
    assert outcome.code == 1 and steers(outcome.err) == set()
    assert len([each for each in outcome.err.splitlines() if each.startswith("error: ")]) == 1


def test_what_is_shown_keeps_ordinary_text():
    """Accents, other scripts, joined emoji, and bytes of paths that are no text."""
    ordinary = "Zürich 東京 👩‍🚀 a\tb\nc \udcff"
    assert visible(ordinary) == ordinary
    assert visible("a\nb\x1b", one_line=True) == "a\\nb\\x1b"


@pytest.mark.parametrize("file", sorted(COMMANDS.glob("*.py")), ids=lambda file: file.name)
def test_commands_print_through_one_function(file):
    """A new command is safe too: nothing else prints."""
    nodes = ast.walk(ast.parse(file.read_text()))
    called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    assert file.name == "terminal.py" or called.isdisjoint({"print", "click.echo", "click.secho"})
