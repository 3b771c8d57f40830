"""What a figure is about: the behaviour, with the words of its declaration, and the profile.

The words are read from the source, so that nothing of the declaration runs before a build knows whether it
must. Words that are computed are left out.
"""

from __future__ import annotations

import ast

from circuitstore.engine.task import Sources
from tasks.inputs import behaviour
from tasks.settings import selection

WORDS = ("title", "description")


def study(name: str, profile: str, prompts_file: str | None) -> dict[str, str]:
    """Keys behaviour, profile, title, description; the last two are "" for prompts from a file."""
    words = dict.fromkeys(WORDS, "")
    if not prompts_file and name in selection.behaviour_names():
        words |= _declared(behaviour.path(name))
    return {"behaviour": name, "profile": profile, **words}


def sources(name: str, prompts_file: str | None) -> Sources:
    """The file of the declaration, if there is one."""
    if prompts_file or name not in selection.behaviour_names():
        return Sources(())
    return Sources((), consulted=(selection.BEHAVIOURS, behaviour.path(name)))


def _declared(file: str) -> dict[str, str]:
    """The words in the call that makes the declaration; of what is no Python source, none."""
    with open(file, "rb") as stream:
        source = stream.read()
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}  # the phase that runs it says so
    return {
        keyword.arg: keyword.value.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)
        for keyword in node.value.keywords
        if keyword.arg in WORDS
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, str)
    }
