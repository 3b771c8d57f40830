"""A behaviour that is declared in a file of `tasks/behaviours`.

Its identity is its code, which is in the key by itself, and the content of the files that it declares. These
are read from the source, so that nothing of the declaration runs before a build knows whether it must.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from circuitstore.engine.fingerprint import declared_paths
from circuitstore.engine.task import Sources
from circuitstore.errors import CircuitstoreError, PromptError, unknown
from circuitstore.memo import file_hash
from circuitstore.storage.names import FILE_NAME, is_file_name, shown
from tasks.settings import selection

if TYPE_CHECKING:
    from tasks.behaviours import Behaviour, Prompt
    from tasks.inputs.draw import Fits
    from tasks.settings.phases import Prompts

ROOM = "tasks.behaviours"
LISTS = ("FILES", "MODULES")


def identity(name: str) -> dict[str, Any]:
    """The name of the declaration, and the sha256 of each file that it declares. Raises PromptError."""
    names = declares(name)[0]
    try:
        files = {file: file_hash(path) for file, path in zip(names, sources(name).files, strict=True)}
    except OSError as error:
        where = f"a file that behaviour {name} declares"
        raise PromptError(
            where, expected="a readable file", got=f"{error.filename}: {error.strerror}"
        ) from error
    return {"declared": name, **({"files": files} if files else {})}


def sources(name: str) -> Sources:
    """The files that a behaviour declares. Raises InputError for a name that leads out of its folder."""
    files = declared_paths(f"{ROOM}.{name}", declares(name)[0])
    return Sources(files, consulted=(selection.BEHAVIOURS, path(name)))  # to know what it declares


def load(name: str) -> Callable[[Prompts, Fits | None], list[Prompt]]:
    """A function that draws prompts, given settings and a test whether a pair fits the tokenizer.

    Raises UsageError for a name that nobody declared, PromptError for a file that does not declare it. The
    function raises PromptError for an id that cannot be the name of a file.
    """
    return partial(_draw, declaration(name))


def _draw(declared: Behaviour, config: Prompts, fits: Fits | None) -> list[Prompt]:
    from tasks.inputs.draw import generate

    rows = generate(declared, train=config.train, test=config.test, seed=config.seed, fits=fits)
    if wrong := [row.id for row in rows if not is_file_name(row.id)]:
        raise PromptError("an id of a declared prompt", expected=FILE_NAME, got=shown(wrong[0]))
    return rows


def path(name: str) -> str:
    """The file that declares a behaviour. Raises UsageError for a name that nobody declared."""
    known = selection.behaviour_names()
    if name not in known:
        raise unknown("behaviour", name, known, "a behaviour is a file in tasks/behaviours/")
    return os.path.join(selection.BEHAVIOURS, f"{name}.py")


def declaration(name: str) -> Behaviour:
    """The behaviour declared in the file of that name.

    Raises UsageError for a name that nobody declared, and PromptError for a file that does not declare it.
    """
    from tasks.behaviours import Behaviour

    file = path(name)
    try:
        behaviour = getattr(import_module(f"{ROOM}.{name}"), "BEHAVIOUR", None)
    except CircuitstoreError:
        raise
    except Exception as error:  # of code that a user wrote
        got = f"{type(error).__name__}: {error}"
        raise PromptError(file, expected="code that can be executed", got=got) from error
    if not isinstance(behaviour, Behaviour) or behaviour.name != name:
        raise PromptError(file, expected=f"BEHAVIOUR = Behaviour(name={name!r}, …)", got=_named(behaviour))
    return behaviour


def _named(value: object) -> str:
    """What stands in place of a declaration, in a few words."""
    kind, name = type(value).__name__, getattr(value, "name", None)
    if isinstance(name, str):
        return f"{kind}(name={name!r}, …)"
    return "none" if value is None else f"a value of type {kind}"


def declares(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The FILES and MODULES of a declaration; none if there is no such declaration. Raises PromptError."""
    if name not in selection.behaviour_names():
        return (), ()
    file = path(name)
    with open(file, "rb") as stream:
        source = stream.read()
    if not any(word.encode() in source for word in LISTS):
        return (), ()
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise PromptError(f"{file}:{error.lineno}", expected="Python source", got=error.msg) from error
    values = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    files, modules = (_texts(values.get(word), f"{word} in {file}") for word in LISTS)
    return files, modules


def _texts(node: ast.expr | None, where: str) -> tuple[str, ...]:
    """The texts in a literal tuple or list. Raises PromptError for anything else."""
    if node is None:
        return ()
    try:
        value = ast.literal_eval(node)
    except ValueError:
        value = None
    if not isinstance(value, (tuple, list)) or not all(isinstance(each, str) for each in value):
        raise PromptError(where, expected='a literal tuple of texts, ("colour.json",)', got=ast.unparse(node))
    return tuple(value)
