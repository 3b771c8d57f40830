"""`update`: follow a model or transcoders whose branch moved on the hub."""

from __future__ import annotations

import click

from circuitstore.command import options


@click.command(short_help="Follow a branch of the hub.")
@options.profile
@options.settings
@options.store
@options.as_json
def update(profile, settings, store, as_json) -> None:
    """Ask the Hugging Face hub what the revisions of the profile's repositories are now, and use that from
    now on.

    Without this, a branch such as `main` stays, in this store, the commit that it was when something was
    first computed with it. What was computed stays too; `circuitstore explain` says what another commit
    changes. Exits with 1 when the hub cannot be asked.
    """
    from circuitstore import pipeline

    tasks = pipeline.load()
    from circuitstore.storage.layout import Store
    from tasks.inputs.places import Repository, place_of
    from tasks.settings.profile import load_profile

    loaded = load_profile(tasks.SETTINGS, profile, settings)[1]
    rows = []
    for section in ("model", "transcoders"):
        place = place_of(getattr(loaded, section), Store(store))
        if isinstance(place, Repository):
            before, after = place.follow()
            rows.append(
                {
                    "what": section,
                    "repo": place.repo,
                    "revision": place.revision,
                    "before": before,
                    "after": after,
                }
            )
    if as_json:
        options.print_json(rows)
        return
    for row in rows:
        before, after = row["before"][:12] or "not used yet", row["after"][:12]
        moved = f"{after}, as before" if before == after else f"{before} → {after}"
        click.echo(f"{row['what']:<12}{row['repo']} {row['revision']}: {moved}")
    if not rows:
        click.echo("model and transcoders of this profile are local folders: nothing to ask for", err=True)
