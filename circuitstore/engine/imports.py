"""What a module may import, found in its syntax tree.

A module that something else imported before is at hand without an import: as an attribute of its package, by
`import_module`, in `sys.modules`. So attributes count as imports, and so does every text that could be the
dotted name of a module. A package as a value would lead to all that was imported of it, so `values` tells
which names could stand for one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

FOR_TYPES = "TYPE_CHECKING"
DOTTED = re.compile(r"(\w+(?:\.\w+)+)(?::\w+)?")


class Imports(NamedTuple):
    """Absolute names of all that a module may import, and of what names in it may stand for, at any depth.

    A name that is no module is simply not located.
    """

    names: list[str]
    values: list[str]


def imports(module: str, is_package: bool, tree: ast.AST) -> Imports:
    """What a module imports, by its syntax tree."""
    here = module if is_package else module.rpartition(".")[0]
    for_types = {id(inner) for node in ast.walk(tree) if _is_for_types(node) for inner in ast.walk(node)}
    executed = [node for node in ast.walk(tree) if id(node) not in for_types]
    known = dict(pair for node in executed for pair in _bound(node, here))
    tops = (module.partition(".")[0], "circuitstore")
    called = {name for node in executed for name in _called(node, here, known)}
    texts = {name for node in executed for name in _texts(node)} | called
    names = {name for node in executed for name in _named(node, here)}
    names.update(name for name in texts if name.partition(".")[0] in tops)
    names.update(chain for node in executed for chain in _chain(node, known))
    values = {name for name in (*known.values(), *called) if name.partition(".")[0] in tops}
    return Imports(sorted(names | around(names)), sorted(values))


def around(modules: Iterable[str]) -> set[str]:
    """The packages around modules, which run when these are imported."""
    return {name.rsplit(".", depth)[0] for name in modules for depth in range(1, name.count(".") + 1)}


def _named(node: ast.AST, here: str) -> Iterator[str]:
    """The modules that a statement or call names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, here)
        yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _texts(node: ast.AST) -> Iterator[str]:
    """The module that a text could name."""
    text = node.value if isinstance(node, ast.Constant) else None
    if isinstance(text, str) and (match := DOTTED.fullmatch(text)):
        yield match[1]


def _called(node: ast.AST, here: str, known: Mapping[str, str]) -> Iterator[str]:
    """What a call of `import_module` or `__import__` gives, by whatever name these are called."""
    if not isinstance(node, ast.Call):
        return
    called = getattr(node.func, "id", getattr(node.func, "attr", ""))
    called = known.get(called, called).rpartition(".")[2]
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    texts = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    if called == "__import__":
        yield from (text.partition(".")[0] for text in texts)
    elif called == "import_module" and texts:
        name = texts[0].lstrip(".")
        dots = len(texts[0]) - len(name)
        yield f"{_above(texts[1] if len(texts) > 1 else here, dots)}.{name}" if dots else name


def _bound(node: ast.AST, here: str) -> Iterator[tuple[str, str]]:
    """Names that a statement binds, and the modules they may stand for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (first, first)
    elif isinstance(node, ast.ImportFrom):
        yield from ((a.asname or a.name, f"{_base(node, here)}.{a.name}") for a in node.names)


def _chain(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """The modules that `package.room.module.name` may go through."""
    attributes = []
    while found := _attribute(node):
        node, name = found
        attributes.append(name)
    if isinstance(node, ast.Name) and node.id in known:
        path = known[node.id]
        for attribute in reversed(attributes):
            path = f"{path}.{attribute}"
            yield path


def _attribute(node: ast.AST) -> tuple[ast.AST, str] | None:
    """What an attribute is taken of, and its name, also by `getattr` with a literal name; None for others."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr" and len(node.args) > 1:
        of, name = node.args[:2]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return of, name.value
    return None


def _base(node: ast.ImportFrom, here: str) -> str:
    """The absolute name of what is imported from."""
    if not node.level:
        return node.module or ""
    above = _above(here, node.level)
    return f"{above}.{node.module}" if node.module else above


def _above(here: str, level: int) -> str:
    """The package that so many dots mean in a module of the package `here`."""
    parts = here.split(".")
    return ".".join(parts[: len(parts) - level + 1])


def _is_for_types(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:` without an else."""
    test = node.test if isinstance(node, ast.If) and not node.orelse else None
    return isinstance(test, ast.Name) and test.id == FOR_TYPES
