"""Syntax trees as plain data that is equal in every version of Python.

`ast.dump` and `ast.unparse` differ between versions: in fields that newer versions add, and in the quotes of
f-strings. Two users with equal files would then have different keys. So the encoding is our own. It imports
nothing but `ast`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

IGNORED = ("ctx", "type_comment", "kind")  # fields that say nothing about what code does


def plain_tree(node: object) -> object:
    """A syntax tree as plain data that is equal in every version of Python.

    A node is its type, then the fields that say something.

    Left out are positions, load and store contexts, the prefix of a text, docstrings, and fields that are
    empty, so that a field which a newer version adds changes nothing where it is not used. Parts of an
    f-string that are plain text are joined.
    """
    if isinstance(node, ast.Constant):
        value = node.value
        return [
            "Constant",
            type(value).__name__,
            repr(value) if isinstance(value, complex) else _plain_constant(value),
        ]
    if isinstance(node, ast.JoinedStr):
        return ["JoinedStr", *_joined_parts(node.values)]
    if isinstance(node, ast.AST):
        fields: list[object] = [type(node).__name__]
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if name in IGNORED or value is None or value == []:
                continue
            body = _without_docstring(node) if name == "body" else value
            fields.append([name, plain_tree(body)])
        return fields
    if isinstance(node, list):
        return [plain_tree(each) for each in node]
    return node


def _plain_constant(value: object) -> object:
    return "..." if value is Ellipsis else value


def _joined_parts(parts: Iterable[ast.expr]) -> list[object]:
    joined: list[object] = []
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant):
            text += str(part.value)
            continue
        joined += [text] if text else []
        joined.append(plain_tree(part))
        text = ""
    return joined + ([text] if text else [])


def _without_docstring(node: ast.AST) -> object:
    body = getattr(node, "body")  # noqa: B009 (not every node has one)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        return body[1:] or [ast.Pass()]
    return body
