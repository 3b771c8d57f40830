"""Groups of commands that guess which one was meant."""

from __future__ import annotations

import click

from circuitstore.errors import unknown


class Group(click.Group):
    """A group that answers an unknown command with those that there are."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's. Raises UsageError for a command that there is not."""
        known = self.list_commands(context)
        if args and args[0] not in known and not args[0].startswith("-"):
            raise unknown("command", args[0], known)
        return super().resolve_command(context, args)
