"""`export`: results as ordinary files."""

from __future__ import annotations

import os

import click

from circuitstore.command import options


@click.command()
@click.argument("what", type=click.Choice(["figures"]))
@click.argument("destination", required=False, metavar="[DEST]")
@options.behaviour
@click.option("--format", "kinds", type=click.Choice(["png", "svg", "pdf"]), multiple=True, help="Only this format; may be repeated.")
@click.option("--force", is_flag=True, help="Overwrite files that are not from an export, or were changed since.")
@options.profile
@options.store
@options.as_json
def export(what, destination, behaviours, kinds, force, profile, store, as_json) -> None:
    """Write the figures that `build figures` drew, their captions and the report (report.html) to DEST.

    DEST is figures/PROFILE/BEHAVIOUR unless named; with several behaviours each has a folder in it.
    """
    from circuitstore.api import profile_name, refs
    from circuitstore.export import export_figures
    from circuitstore.storage.layout import Store

    name, opened = profile_name(profile), Store(store).check()
    chosen = list(dict.fromkeys(behaviours)) or [behaviour for behaviour, phase in refs(store=store, profile=profile) if phase == what]
    folders = {behaviour: default_folder(name, behaviour) for behaviour in chosen or ["any"]}
    if destination:
        folders = {behaviour: os.path.join(destination, behaviour) if len(folders) > 1 else destination for behaviour in folders}
    written = {}
    for behaviour, folder in folders.items():
        written[behaviour] = export_figures(opened, name, behaviour, folder, kinds, force=force)
        new = sum(file.changed for file in written[behaviour])
        click.echo(f"{behaviour}: {len(written[behaviour])} files in {folder}, {new} written; read {folder}{os.sep}report.html", err=True)
    if as_json:
        options.print_json({behaviour: [file.path for file in files] for behaviour, files in written.items()})
        return
    for files in written.values():
        for file in files:
            click.echo(file.path)


def default_folder(profile: str, behaviour: str) -> str:
    """Where figures go when no folder is named."""
    return os.path.join("figures", profile, behaviour)


def hint(profile: str, behaviours: list[str], store: str) -> str:
    """How to get figures out of the store, for whoever has just built them."""
    from circuitstore.api import DEFAULT_PROFILE, DEFAULT_STORE

    words = ["circuitstore export figures", *(f"--behaviour {behaviour}" for behaviour in behaviours)]
    words += [f"--profile {profile}"] if profile != DEFAULT_PROFILE else []
    words += [f"--store {store}"] if store != DEFAULT_STORE else []
    return f"to see the figures: {' '.join(words)}"
