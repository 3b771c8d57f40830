"""Conversations: the shipped model with a chat template, and a store of graphs of what was said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from shared import shared
from workspace import ROOT, Workspace, prompt, run

TINY = ROOT / "tasks" / "profiles" / "tiny"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = [("system", "be"), ("user", " The keys near the cabinet "), ("assistant", "are"), ("user", "The key")]
TEXT = "The keys near the cabinet"
MESSAGES = [{"role": "user", "content": TEXT}]


def workspace(folder: Path, file: str, template: str = CHATML) -> Talk:
    """A workspace in a folder, of the shipped model with a template in one of its files."""
    shutil.copytree(TINY / "model", folder / "model")
    write_template(folder, file, template)
    return Talk.create(folder, folder / "model", TINY / "transcoders")


def write_template(folder: Path, file: str, template: str) -> None:
    """Write the template of the model in a folder."""
    path = folder / "model" / file
    if file.endswith(".json"):
        template = json.dumps(json.loads(path.read_text()) | {"chat_template": template})
    path.write_text(template)


class Talk(Workspace):
    """A workspace whose graphs are of conversations: of a behaviour's prompts, and of one text."""


def talk(made: Talk) -> None:
    """Build two prompts as conversations, and attribute one text of two turns."""
    workspace(made.root, "chat_template.jinja")
    rows = [prompt("a", TEXT), prompt("b", "The key near the cabinets")]
    made.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made.profile.write_text(made.profile.read_text() + "\n[prompts]\nchat = true\n")
    assert made.build().code == 0
    where = ("--profile", made.profile, "--store", made.store, "--json")
    assert run("attribute", TEXT, "--chat", "--system", "be", *where).code == 0


@pytest.fixture(scope="session")
def talked(tmp_path_factory) -> Talk:
    """Graphs of conversations, which tests do not change."""
    return shared(tmp_path_factory, "talk", Talk, talk)
