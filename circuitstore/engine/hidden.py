"""What code may not read, because its syntax tree does not say it.

A key has the syntax tree of a module: without docstrings, comments and line numbers, and without what is
imported for types only. Code that reads its own docstring, or that makes `TYPE_CHECKING` true, would give
other results under the same key. So it is refused while it is planned.
"""

from __future__ import annotations

import ast

from circuitstore.engine.imports import FOR_TYPES

# Docstrings, comments, source and line numbers, by the names by which they are asked for.
OWN_TEXT = {
    "__code__",
    "__doc__",
    "_getframe",
    "co_consts",
    "co_firstlineno",
    "co_lines",
    "co_linetable",
    "co_lnotab",
    "co_positions",
    "f_lineno",
    "tb_lineno",
}
# Modules that give them in many ways.
OF_TEXT = {"dis", "inspect", "linecache", "marshal", "pydoc", "tokenize", "traceback"}


def hidden_input(tree: ast.AST) -> str:
    """What a module reads that its tree does not say, with its line; "" if there is nothing."""
    found = ((getattr(node, "lineno", 0), _hidden(node)) for node in ast.walk(tree))
    return next((f"{what} in line {line}" for line, what in found if what), "")


def _hidden(node: ast.AST) -> str:
    if isinstance(node, ast.ImportFrom):
        if any(alias.name == "*" for alias in node.names):
            return f"from {node.module} import *, which can import more modules"
        if node.module != "typing" and any((a.asname or a.name) == FOR_TYPES for a in node.names):
            return f"{FOR_TYPES} of {node.module}, not of typing"
        if node.module in OF_TEXT and not node.level:
            return f"{node.module}, which tells what no key covers,"
    if isinstance(node, ast.Import) and (told := [a.name for a in node.names if a.name in OF_TEXT]):
        return f"{told[0]}, which tells what no key covers,"
    if FOR_TYPES in _bound(node):
        return f"another value of {FOR_TYPES}"
    named = getattr(node, "id", getattr(node, "attr", getattr(node, "value", None)))  # also by getattr
    return f"{named}, which no key covers," if isinstance(named, str) and named in OWN_TEXT else ""


def _bound(node: ast.AST) -> tuple[object, ...]:
    """The names to which a node gives a value, imports of names aside."""
    if isinstance(node, ast.alias) or isinstance(getattr(node, "ctx", None), ast.Load):
        return ()
    if isinstance(node, ast.Import):
        return tuple(alias.asname for alias in node.names)
    return tuple(getattr(node, field, "") for field in ("id", "attr", "arg", "name", "rest"))
