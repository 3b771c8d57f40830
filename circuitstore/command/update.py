"""`update`: follow a model or transcoders whose branch moved on the hub."""

from __future__ import annotations

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal


@click.command(short_help="Follow a branch of the hub.")
@options.profile
@options.settings
@options.store
@options.as_json
def update(profile: str, settings: tuple[str, ...], store: str, as_json: bool) -> None:
    """Ask the Hugging Face hub what the profile's revisions are now, and use that from now on.

    Without this, a branch such as `main` stays, in this store, the commit that it was when something was
    first computed with it. What was computed stays too; `circuitstore explain` says what another commit
    changes. Exits with 1 when the hub cannot be asked.
    """
    from circuitstore.storage.layout import Store

    rows = pipeline.services().follow(profile, settings, Store(store))
    if as_json:
        terminal.print_json(rows)
        return
    for row in rows:
        before, after = row["before"][:12] or "not used yet", row["after"][:12]
        moved = f"{after}, as before" if before == after else f"{before} → {after}"
        terminal.echo(f"{row['what']:<12}{row['repo']} {row['revision']}: {moved}")
    if not rows:
        terminal.echo("this profile reads local folders only: nothing to ask for", err=True)
