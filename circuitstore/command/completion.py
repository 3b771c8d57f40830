"""What a shell offers when Tab is pressed: phases, behaviours and profiles by name, else files and folders.

click asks these functions in a process of its own (`_CIRCUITSTORE_COMPLETE`), and shows what they give. They
read names of files only, never a result. Nothing may go wrong aloud there, so what cannot be read offers
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from circuitstore import pipeline
from circuitstore.errors import CircuitstoreError
from circuitstore.results.defaults import DEFAULT_STORE

Items = list[CompletionItem]


def phases(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The phases that begin with what is typed and are not named yet."""
    named = context.params.get(parameter.name or "") or ()
    every = [task.name for task in pipeline.load().every]
    return _matching([phase for phase in every if phase not in named], incomplete)


def behaviours(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The behaviours that come built in, and those of users' prompts that the store has something of.

    Single texts (`attribute`) have names made of a hash, which no command takes here.
    """
    from circuitstore.storage.layout import Store
    from circuitstore.storage.refs import names

    try:
        built = names(Store(context.params.get("store") or DEFAULT_STORE).check())
    except CircuitstoreError:
        built = []
    services = pipeline.services()
    own = (name.behaviour for name in built if name.phase not in services.of_one_text)
    return _matching(dict.fromkeys([*services.settings.behaviours(), *own]), incomplete)


def profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The profiles that come built in; a file when none begins so."""
    return _matching(pipeline.services().settings.names(), incomplete) or files(
        context, parameter, incomplete
    )


def exports(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """The kinds of results that can be exported."""
    from circuitstore.command.export import ARRAYS

    return _matching([*pipeline.services().exports, ARRAYS], incomplete)


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Let the shell offer files."""
    return [CompletionItem(incomplete, type="file")]


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Let the shell offer folders."""
    return [CompletionItem(incomplete, type="dir")]


def _matching(names: Iterable[str], incomplete: str) -> Items:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
