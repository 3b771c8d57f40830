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


class Number(click.IntRange):
    """A whole number in a range."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number of a word. Raises click.BadParameter, also for an option in the place of a number."""
        if isinstance(value, str) and value.startswith("-") and not value[1:].isdecimal():
            named = param.opts[0] if param else "the option"
            self.fail(f"a number must follow, as in {named} {max(self.min or 0, 3)}; got {value}", param, ctx)
        return super().convert(value, param, ctx)


store = click.option(
    "--store",
    envvar="CIRCUITSTORE_STORE",
    default=DEFAULT_STORE,
    show_default=True,
    metavar="DIR",
    shell_complete=offering("folders"),
    help="The store directory.",
)
upstream = click.option(
    "--upstream",
    envvar="CIRCUITSTORE_UPSTREAM",
    multiple=True,
    metavar="URL",
    shell_complete=offering("folders"),
    help="Another store to take from what this one lacks; may be repeated, in order. It is never written.",
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


def working(command: Command) -> Command:
    """Options that say where to compute. No result depends on them."""
    for option in (
        click.option(
            "--dask",
            default="",
            metavar="ADDRESS|local",
            help="Compute on the workers of a Dask scheduler, or on some that are started here.",
        ),
        click.option(
            "--jobs",
            "-j",
            type=Number(min=1),
            default=None,
            metavar="N",
            help="Worker processes here. Default: none but this one; with --dask local, one a core.",
        ),
    ):
        command = option(command)
    return command


def which(command: Command) -> Command:
    """Options that say which of several results of one name is meant: key, tag, settings."""
    for option in (
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="PHASE.FIELD=VALUE",
            help="The result that was built with this setting; may be repeated.",
        ),
        click.option("--tag", metavar="NAME", help="What is tagged so, or what that was made from."),
        click.option("--key", metavar="KEY", help="The result of this key, or what it was made from."),
    ):
        command = option(command)
    return command


def selecting(command: Command) -> Command:
    """All options that say what a command is about."""
    for option in (settings, prompts, behaviour, profile, store):
        command = option(command)
    return command


def planner(store: str, upstream: Sequence[str] = ()) -> Planner:
    """A planner for this store, which need not exist yet. Raises StoreError."""
    from circuitstore.engine.planner import Planner
    from circuitstore.storage.layout import Store

    return Planner(pipeline.load(), Store(store, upstream).check_or_new())


def selections(
    profile: str,
    behaviours: tuple[str, ...],
    prompts: str | None,
    settings: tuple[str, ...],
    phases: tuple[str, ...] = (),
) -> Sequence[Selection]:
    """What the options select for these phases, checked. Raises UsageError."""
    return pipeline.services().settings.select(profile, behaviours, prompts, settings, phases)


def said(profile: str) -> str | None:
    """A command's profile if it was typed; else None, and what is found by key or tag may be another's."""
    source = click.get_current_context().get_parameter_source("profile")
    return profile if source is click.core.ParameterSource.COMMANDLINE else None


def refuse_one_text(phases: Sequence[str]) -> None:
    """Raise UsageError for a phase of one text, which only its own command gives a text."""
    asked = pipeline.services().of_one_text
    for phase in phases:
        if phase in asked:
            from circuitstore.errors import UsageError

            remedy = f"run `circuitstore {asked[phase]}`"
            raise UsageError(f"phase {phase}", expected="one text", got="none", remedy=remedy)
