"""`export`: results as ordinary files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import click

from circuitstore.command import options

FIGURES, GRAPHS = ("png", "svg", "pdf"), ("json", "graphml")


@click.command(short_help="Results as ordinary files.")
@click.argument("what", type=click.Choice(["figures", "graphs", "transcoders"]))
@click.argument("destination", required=False, metavar="[DEST]")
@options.behaviour
@click.option(
    "--format",
    "kinds",
    type=click.Choice([*FIGURES, *GRAPHS]),
    multiple=True,
    help="Only this format; may be repeated.",
)
@click.option(
    "--prompt",
    "-p",
    "prompts",
    multiple=True,
    metavar="ID",
    help="Only the graph of this prompt; may be repeated.",
)
@click.option(
    "--force", is_flag=True, help="Overwrite files that are not from an export, or were changed since."
)
@options.profile
@options.store
@options.as_json
def export(what, destination, behaviours, kinds, prompts, force, profile, store, as_json) -> None:
    """Write what was built to DEST: `figures`, their captions and the report (report.html), attribution
    `graphs`, or `transcoders`.

    Graphs are the JSON of circuit-tracer and Neuronpedia, one file a prompt, or GraphML. Transcoders are
    config.yaml and a safetensors file a layer. DEST is figures/PROFILE/BEHAVIOUR, graphs/PROFILE/BEHAVIOUR or
    transcoders/PROFILE/corpus unless named; with several behaviours each has a folder in it.
    """
    from circuitstore.errors import UsageError
    from circuitstore.results.export import export_figures, export_graphs, export_transcoders
    from circuitstore.results.open import profile_name, refs
    from circuitstore.storage.layout import Store

    formats, phase = {
        "figures": (FIGURES, what),
        "graphs": (GRAPHS, "attribution"),
        "transcoders": ((), what),
    }[what]
    if wrong := [kind for kind in kinds if kind not in formats]:
        raise UsageError(
            f"--format {wrong[0]}", expected=f"of {what}: " + (", ".join(formats) or "no choice")
        )
    if prompts and what != "graphs":
        raise UsageError("--prompt", expected="with `export graphs` only")
    writers: dict[str, Callable] = {"figures": export_figures, "transcoders": export_transcoders}
    write = writers.get(what) or partial(export_graphs, prompts=prompts)
    name, opened = profile_name(profile), Store(store).check()
    built = [behaviour for behaviour, kind in refs(store=store, profile=profile) if kind == phase]
    chosen = list(dict.fromkeys(behaviours)) or built
    folders = {behaviour: default_folder(what, name, behaviour) for behaviour in chosen or ["any"]}
    if destination:
        folders = {
            behaviour: os.path.join(destination, behaviour) if len(folders) > 1 else destination
            for behaviour in folders
        }
    written = {}
    for behaviour, folder in folders.items():
        written[behaviour] = write(opened, name, behaviour, folder, kinds, force=force)
        new = sum(file.changed for file in written[behaviour])
        read = f"; read {folder}{os.sep}report.html" if what == "figures" else ""
        click.echo(f"{behaviour}: {len(written[behaviour])} files in {folder}, {new} written{read}", err=True)
    if as_json:
        options.print_json({behaviour: [file.path for file in files] for behaviour, files in written.items()})
        return
    for files in written.values():
        for file in files:
            click.echo(file.path)


def default_folder(what: str, profile: str, behaviour: str) -> str:
    """Where files go when no folder is named."""
    return os.path.join(what, profile, behaviour)


def hint(profile: str, behaviours: list[str], store: str) -> str:
    """How to get figures out of the store, for whoever has just built them."""
    from circuitstore.results.open import DEFAULT_PROFILE, DEFAULT_STORE

    words = ["circuitstore export figures", *(f"--behaviour {behaviour}" for behaviour in behaviours)]
    words += [f"--profile {profile}"] if profile != DEFAULT_PROFILE else []
    words += [f"--store {store}"] if store != DEFAULT_STORE else []
    return f"to see the figures: {' '.join(words)}"
