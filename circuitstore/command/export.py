"""`export`: results as ordinary files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal

if TYPE_CHECKING:
    from circuitstore.engine.services import Export
    from circuitstore.storage.layout import Store


@click.command(short_help="Results as ordinary files.")
@click.argument("what", metavar="WHAT", shell_complete=options.offering("exports"))
@click.argument("destination", required=False, metavar="[DEST]", shell_complete=options.offering("folders"))
@options.behaviour
@click.option(
    "--format", "formats", multiple=True, metavar="FORMAT", help="Only this format; may be repeated."
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
def export(
    what: str,
    destination: str | None,
    behaviours: tuple[str, ...],
    formats: tuple[str, ...],
    prompts: tuple[str, ...],
    force: bool,
    profile: str,
    store: str,
    as_json: bool,
) -> None:
    """Write what was built to DEST as ordinary files.

    WHAT is `figures` (with captions and a report, report.html; formats png, svg, pdf), `graphs` (formats
    json, as circuit-tracer and Neuronpedia read it, one file a prompt, and graphml), or `transcoders`
    (config.yaml and a safetensors file a layer). DEST is WHAT/PROFILE/BEHAVIOUR unless named; with several
    behaviours each has a folder in it.
    """
    from circuitstore.results.defaults import profile_name
    from circuitstore.results.folder import write_files
    from circuitstore.storage.layout import Store
    from circuitstore.storage.refs import Name, named

    exported = _checked(what, formats, prompts, behaviours)
    opened, name = Store(store).check(), profile_name(profile)
    chosen = list(dict.fromkeys(behaviours)) or _built(opened, name, exported.phase)
    paths: dict[str, list[str]] = {}
    for behaviour in chosen or ["any"]:
        folder = os.path.join(what, name, behaviour)
        if destination:
            folder = os.path.join(destination, behaviour) if len(chosen) > 1 else destination
        ref = Name(name, behaviour, exported.phase)
        artifact = named(opened, ref)
        files = exported.files(opened, ref, artifact, formats, prompts)
        written = write_files(opened, ref, artifact, files, folder, force=force)
        paths[behaviour] = [file.path for file in written]
        new = sum(file.changed for file in written)
        read = f"; read {os.path.join(folder, exported.front)}" if exported.front else ""
        terminal.echo(f"{behaviour}: {len(written)} files in {folder}, {new} written{read}", err=True)
    if as_json:
        terminal.print_json(paths)
        return
    for path in (path for listed in paths.values() for path in listed):
        terminal.echo(path)


def _checked(
    what: str, formats: tuple[str, ...], prompts: tuple[str, ...], behaviours: tuple[str, ...]
) -> Export:
    """The kind of export that is asked for.

    Raises UsageError for a kind, or an option of it, that does not exist.
    """
    from circuitstore.errors import UsageError

    exports = pipeline.services().exports
    if what not in exports:
        raise UsageError(f"export {what!r}", expected="one of " + ", ".join(exports))
    exported = exports[what]
    if wrong := [kind for kind in formats if kind not in exported.formats]:
        expected = f"of {what}: " + (", ".join(exported.formats) or "no choice")
        raise UsageError(f"--format {wrong[0]}", expected=expected)
    about = pipeline.load().task(exported.phase).about
    if about and (wrong := [behaviour for behaviour in behaviours if behaviour != about]):
        remedy = f"they are about the profile's {about}, not about a behaviour"
        raise UsageError(f"--behaviour {wrong[0]}", expected=f"no behaviour for {what}", remedy=remedy)
    if prompts and not exported.by_prompt:
        able = ", ".join(f"`export {name}`" for name, each in exports.items() if each.by_prompt)
        raise UsageError("--prompt", expected=f"with {able} only")
    return exported


def _built(store: Store, profile: str, phase: str) -> list[str]:
    """The behaviours for which a phase is built."""
    from circuitstore.storage.refs import names

    return [name.behaviour for name in names(store) if (name.profile, name.phase) == (profile, phase)]
