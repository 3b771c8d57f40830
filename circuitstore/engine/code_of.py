"""The code that is in the key of a phase: its module, what loads its inputs, and what both may use."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

import msgspec

from circuitstore.engine.fingerprint import Code
from circuitstore.engine.keys import CHOOSING
from circuitstore.engine.task import Resource, Selection, Task
from circuitstore.engine.territory import is_own
from circuitstore.errors import InputError


def code_of(
    code: Code, task: Task, selection: Selection, resources: Mapping[str, Resource]
) -> dict[str, str]:
    """Module → hash of its source's tree, and declared file → hash, for one phase.

    Raises InputError for code that no key could cover.
    """
    _check_named(code, task, selection, resources)
    _check_settings(task)
    loading = [module for resource in resources.values() for module in resource.code]
    module = task.module(code.package)
    choosing = [] if task.coordinates is None else [task.coordinates.__module__]
    found = code.closure(module, *choosing, *task.modules, *loading)
    _check_loaded(code, found)
    return found | code.declared(module, task.files) | _choice(task)


def _check_named(code: Code, task: Task, selection: Selection, resources: Mapping[str, Resource]) -> None:
    """What is named must be modules: nobody would miss one, for a name that is none is in no closure."""
    here = code.package
    named = [(f"modules= of the Task of {task.name}", module) for module in task.modules]
    if task.coordinates is not None:
        named.append((f"coordinates= of the Task of {task.name}", task.coordinates.__module__))
    for name, each in resources.items():
        where = f"MODULES of behaviour {selection.behaviour}, which is read for the input {name}"
        named += [(where, module) for module in each.modules]
    for where, module in named:
        if code.locate(module) is None:
            raise InputError(
                where,
                expected=f"dotted names of modules of {here} that compute, as {here}.parts",
                got=f"{module}, which is none",
                remedy=f"write {here}.FOLDER.NAME for a file FOLDER/NAME.py of {here}, or leave it out",
            )


def _check_settings(task: Task) -> None:
    """Settings are in keys by the values of their fields, so they may have nothing else."""
    for kind in (each for each in task.config.__mro__ if issubclass(each, msgspec.Struct)):
        fields = (*kind.__struct_fields__, *vars(msgspec.Struct))
        if more := [name for name in vars(kind) if name not in fields and not name.startswith("__")]:
            raise InputError(
                f"settings of phase {task.name}",
                expected="fields alone, whose values are in the key",
                got=f"{kind.__name__}.{more[0]}",
                remedy="move it into a module of the phases, as a function of the settings",
            )


def _choice(task: Task) -> dict[str, str]:
    """Which function of its module chooses cells; nothing if it is called like the module, as phases are.

    Raises InputError for one without a name.
    """
    if task.coordinates is None:
        return {}
    module = task.coordinates.__module__
    name = getattr(task.coordinates, "__qualname__", "<lambda>")
    if not name.isidentifier():
        where, expected = f"coordinates= of the Task of {task.name}", "a function of a module"
        raise InputError(where, expected=expected, got=name, remedy=f"give it a name in {module}")
    return {} if name == module.rpartition(".")[2] else {CHOOSING: f"{module}.{name}"}


def _check_loaded(code: Code, modules: Iterable[str]) -> None:
    """Refuse modules of the project that were imported before, so that nobody hears them being read."""
    for module in modules:
        for name in code.outside(module):
            if (loaded := sys.modules.get(name)) is not None and is_own(loaded, code.package):
                raise InputError(
                    str(code.locate(module)),
                    expected="imports that a key covers",
                    got=f"{name}, which is of this project and lies outside of the package {code.package}",
                    remedy=f"move what it needs into a module of {code.package}",
                )
