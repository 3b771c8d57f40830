"""What code may not read, because its syntax tree does not say it.

A key has the syntax tree of a module: without docstrings, comments and line numbers, and without what is
imported for types only. Code that reads its own docstring, or that makes `TYPE_CHECKING` true, would give
other results under the same key. So it is refused while it is planned.
"""

from __future__ import annotations

import ast

FOR_TYPES = "TYPE_CHECKING"
# Docstrings, comments, source and line numbers, by the names by which they are asked for.
OWN_TEXT = {
    "__doc__",
    "co_consts",
    "co_firstlineno",
    "co_lines",
    "co_linetable",
    "co_positions",
    "f_lineno",
    "getcomments",
    "getdoc",
    "getsource",
    "getsourcelines",
    "tb_lineno",
}


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
    if isinstance(node, ast.Name) and node.id == FOR_TYPES and not isinstance(node.ctx, ast.Load):
        return f"another value of {FOR_TYPES}"
    named = getattr(node, "id", getattr(node, "attr", getattr(node, "value", None)))  # also by getattr
    return f"{named}, which no key covers," if isinstance(named, str) and named in OWN_TEXT else ""
