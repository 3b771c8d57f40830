"""Options that several commands share, and what they select."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from circuitstore import pipeline
from circuitstore.results.defaults import DEFAULT_PROFILE, DEFAULT_STORE

if TYPE_CHECKING:
    from circuitstore.engine.planner import Planner
    from circuitstore.engine.task import Selection

Command = Callable[..., Any]


def offering(what: str) -> Callable[[click.Context, click.Parameter, str], Any]:
    """A function of `circuitstore.command.completion`, whose module is imported only when Tab is pressed."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
        from circuitstore.command import completion

        return getattr(completion, what)(context, parameter, incomplete)

    return complete


store = click.option(
    "--store",
    envvar="CIRCUITSTORE_STORE",
    default=DEFAULT_STORE,
    show_default=True,
    metavar="DIR",
    shell_complete=offering("folders"),
    help="The store directory.",
)
profile = click.option(
    "--profile",
    envvar="CIRCUITSTORE_PROFILE",
    default=DEFAULT_PROFILE,
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=offering("profiles"),
    help="Model and settings.",
)
behaviour = click.option(
    "--behaviour",
    "-b",
    "behaviours",
    multiple=True,
    metavar="NAME",
    shell_complete=offering("behaviours"),
    help="A behaviour; may be repeated. Default: all.",
)
one_behaviour = click.option(
    "--behaviour",
    "-b",
    required=True,
    metavar="NAME",
    shell_complete=offering("behaviours"),
    help="The behaviour.",
)
prompts = click.option(
    "--prompts",
    metavar="FILE",
    shell_complete=offering("files"),
    help="Your own prompts (JSONL); the behaviour is named after the file.",
)
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PHASE.FIELD=VALUE",
    help="Change one setting of the profile; may be repeated.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, with stable keys.")


def selecting(command: Command) -> Command:
    """All options that say what a command is about."""
    for option in (settings, prompts, behaviour, profile, store):
        command = option(command)
    return command


def planner(store: str) -> Planner:
    """A planner for this store, which need not exist yet. Raises StoreError."""
    from circuitstore.engine.planner import Planner
    from circuitstore.storage.layout import Store

    return Planner(pipeline.load(), Store(store).check_or_new())


def selections(
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    phases: tuple[str, ...] = (),
) -> Sequence[Selection]:
    """What the options select for these phases, checked. Raises UsageError."""
    return pipeline.services().settings.select(profile, behaviours, prompts, settings, phases)


def refuse_one_text(phases: Sequence[str]) -> None:
    """Raise UsageError for the phase of one text, which only its own command gives a text."""
    phase = pipeline.services().one_text.phase
    if phase in phases:
        from circuitstore.errors import UsageError

        remedy = f"run `circuitstore {phase} TEXT`"
        raise UsageError(f"phase {phase}", expected="one text", got="none", remedy=remedy)
