"""The command line: thin commands over the engine and the store, one file a group.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130
interrupted (143 and 129 by SIGTERM and SIGHUP).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import ClassVar

import click

from circuitstore._version import __version__
from circuitstore.command import terminal
from circuitstore.command.failures import ToldError, described
from circuitstore.command.groups import Group
from circuitstore.engine.interruption import exit_code, interruptible
from circuitstore.errors import CircuitstoreError, UsageError


class Commands(Group):
    """The commands by name, in the order a user meets them.

    The file of a command is imported when the command is used.
    """

    homes: ClassVar[dict[str, str]] = {
        "build": "build",
        "plan": "plan",
        "profile": "plan",
        "status": "inspect",
        "explain": "inspect",
        "show": "inspect",
        "log": "inspect",
        "verify": "maintain",
        "adopt": "adopt",
        "gc": "space",
        "du": "space",
        "attribute": "attribute",
        "intervene": "intervene",
        "attention": "attention",
        "audit": "audit",
        "view": "view",
        "review": "review",
        "export": "export",
        "diff": "compare",
        "tag": "tag",
        "push": "share",
        "pull": "share",
        "update": "update",
    }

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.homes)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.homes:
            return None
        import importlib

        module = importlib.import_module(f"circuitstore.command.{self.homes[name]}")
        command: click.Command = getattr(module, name)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="circuitstore")
def cli() -> None:
    """Which features of a language model carry a behaviour: computed once, kept, and explained.

    The main job:  circuitstore build attribution --behaviour plural
    """


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        _check_encoding(words)
        with interruptible():
            code = cli.main(arguments, prog_name="circuitstore", standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a full disk is still an error that can be named
        return code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as wrong:
        wrong.show()
        if "--json" in words:
            terminal.print_json({"error": described(UsageError(wrong.format_message()))})
        return wrong.exit_code
    except (CircuitstoreError, ToldError) as raised:
        error = raised.error if isinstance(raised, ToldError) else raised
        if "--json" in words and error is raised:
            terminal.print_json({"error": described(error)})
        terminal.echo(terminal.visible(f"error: {error}", one_line=True), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        terminal.echo("interrupted: finished batches are kept, the next build resumes", err=True)
        return exit_code(error)
    except BrokenPipeError:  # the reader, `head` for one, has had enough
        return 1


def _check_encoding(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument, or a variable of this command's, that is not UTF-8.

    Python hands such bytes on as halves of characters, which no record of a store can hold. Found out after
    hours of work, that would lose them.
    """
    variables = [value for name, value in os.environ.items() if name.startswith("CIRCUITSTORE_")]
    try:
        here = os.getcwd()
    except OSError as error:
        raise UsageError("working directory", expected="one that exists", got=error.strerror) from error
    for text in (*arguments, *variables, here):
        try:
            text.encode()
        except UnicodeEncodeError:
            where = f"argument or folder {os.fsencode(text)!r}"
            raise UsageError(where, expected="text in UTF-8", got="other bytes") from None
