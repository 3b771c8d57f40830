"""The command line: thin commands over the engine and the store, one file a group.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130
interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import ClassVar

import click

from circuitstore._version import __version__
from circuitstore.errors import CircuitstoreError


class Commands(click.Group):
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
        "attribute": "attribute",
        "review": "review",
        "export": "export",
        "diff": "compare",
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
    try:
        return cli.main(arguments, prog_name="circuitstore", standalone_mode=False) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except CircuitstoreError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: finished batches are kept, the next build resumes", err=True)
        return 130
    except BrokenPipeError:  # the reader, `head` for one, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
