"""`export`: results as ordinary files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal

if TYPE_CHECKING:
    from circuitstore.engine.services import Export
    from circuitstore.storage.artifact import Artifact
    from circuitstore.storage.layout import Store
    from circuitstore.storage.refs import Name

ARRAYS = "arrays"  # an export that every pipeline has, of any phase


@click.command(short_help="Results as ordinary files.")
@click.argument("what", metavar="WHAT", shell_complete=options.offering("exports"))
@click.argument("destination", required=False, metavar="[DEST]", shell_complete=options.offering("folders"))
@options.behaviour
@click.option(
    "--phase",
    metavar="PHASE",
    shell_complete=options.offering("phases"),
    help="Whose output; with `arrays` only, which needs it.",
)
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
@click.option("--scan", metavar="NAME", help="What graphs call the model. Default: the profile's name.")
@click.option(
    "--force",
    is_flag=True,
    help="Overwrite files that are not from an export, or were changed since. With `arrays`: replace an "
    "earlier export, and nothing else.",
)
@options.which
@options.profile
@options.store
@options.upstream
@options.as_json
def export(
    what: str,
    destination: str | None,
    behaviours: tuple[str, ...],
    phase: str | None,
    formats: tuple[str, ...],
    prompts: tuple[str, ...],
    scan: str | None,
    force: bool,
    key: str | None,
    tag: str | None,
    settings: tuple[str, ...],
    profile: str,
    store: str,
    upstream: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write what was built to DEST as ordinary files.

    WHAT is `figures` (with captions and a report, report.html; formats png, svg, pdf), `graphs` (formats
    json, as circuit-tracer and Neuronpedia read it, one file a prompt, graphml, png, svg, pdf), `differences`
    (the same, with what only the minimal pair has), `supernodes` (the graph between groups of features;
    formats json, png, svg, pdf, and pinned: the graphs of prompts with the groups in them), `neuronpedia`
    (graphs gzipped, with the calls that upload one), `page` (the explorer as HTML files that ask for nothing,
    one a prompt, and index.html; formats pruned and full), `features` (pages for circuit-tracer's local
    viewer), `transcoders` (config.yaml and a safetensors file a layer), or `arrays`. DEST is
    WHAT/PROFILE/BEHAVIOUR unless named; with several behaviours each has a folder in it. One page can be
    named as a file: `export page graph.html -b B -p ID`.

    `export arrays DEST --phase PHASE` writes the whole output of any phase as Zarr v3, which xarray opens
    without circuitstore. DEST is a folder, or with `--format zip` one file. `--format netcdf` writes one file
    of NetCDF-4, and `--format parquet` a folder of tables for pandas, Polars or R. A sparse variable, such as
    the activations of `features`, is written as the table of its entries; the phase's other variables are
    then in the group `dense`, or in tables of their own.
    """
    from circuitstore.results.defaults import profile_name
    from circuitstore.results.find import find, to_read
    from circuitstore.results.which import which
    from circuitstore.storage.refs import Name

    exported = None if what == ARRAYS else _checked(what, formats, prompts, behaviours, scan, phase)
    phase = exported.phase if exported else _phase_of_arrays(phase, formats, prompts, behaviours, scan)
    opened = to_read(store, upstream)
    artifacts: dict[str, Artifact] = {}
    for each in dict.fromkeys(behaviours) or [None]:
        artifacts |= find(opened, options.said(profile), each, phase, which(key, tag, settings))
    paths: dict[str, list[str]] = {}
    for behaviour, artifact in artifacts.items():
        built_for = artifact.profile if (key or tag) and options.said(profile) is None else ""
        ref = Name(built_for or profile_name(profile), behaviour, phase)
        one = destination if len(artifacts) == 1 else None  # the place of this behaviour alone, if named
        place = one or os.path.join(destination or os.path.join(what, ref.profile), behaviour)
        if exported:
            named = {"scan": scan or ref.profile} if exported.by_scan else {}
            files = exported.files(opened, ref, artifact, formats, prompts, **named)
            paths[behaviour] = _write_files(exported, opened, ref, artifact, files, place, destination, force)
        else:
            paths[behaviour] = _write_arrays(opened, ref, artifact, formats, place, one, force)
    if as_json:
        terminal.print_json(paths)
        return
    for path in (path for listed in paths.values() for path in listed):
        terminal.echo(path)


def _write_files(
    exported: Export,
    store: Store,
    ref: Name,
    artifact: Artifact,
    files: Mapping[str, bytes],
    place: str,
    destination: str | None,
    force: bool,
) -> list[str]:
    """Write files to a folder, or the only one to `destination` if that is a file's name: their paths."""
    from circuitstore.results.folder import is_one_file, write_files, write_one

    if is_one_file(destination, files):
        (data,) = files.values()
        written = [write_one(place, data, force=force)]
    else:
        written = write_files(store, ref, artifact, files, place, force=force)
    paths = [file.path for file in written]
    new = sum(file.changed for file in written)
    read = f"; read {os.path.join(place, exported.front)}" if exported.front in files else ""
    terminal.echo(f"{ref.behaviour}: {len(written)} files in {place}, {new} written{read}", err=True)
    for line in exported.advice(paths) if exported.advice and written else ():
        terminal.echo(line, err=True)
    return paths


def _write_arrays(
    store: Store,
    ref: Name,
    artifact: Artifact,
    formats: tuple[str, ...],
    place: str,
    destination: str | None,
    force: bool,
) -> list[str]:
    """Write an output to `destination`, or to the phase's name in the folder `place`: its path."""
    from circuitstore.results.arrays_file import FORMATS, write_arrays

    kind = formats[0] if formats else "zarr"
    path = destination or os.path.join(place, ref.phase + FORMATS[kind].ending)
    write_arrays(store, ref, artifact, path, kind=kind, force=force)
    terminal.echo(f"{ref.behaviour}: {FORMATS[kind].reading.format(path=repr(path))}", err=True)
    return [path]


def _phase_of_arrays(
    phase: str | None,
    formats: tuple[str, ...],
    prompts: tuple[str, ...],
    behaviours: tuple[str, ...],
    scan: str | None,
) -> str:
    """The phase whose arrays are asked for. Raises UsageError for one that is not, and what does not fit."""
    from circuitstore.errors import UsageError, one_of, unknown
    from circuitstore.results.arrays_file import FORMATS

    if phase is None:
        phases = one_of(task.name for task in pipeline.load().every)
        raise UsageError(f"`export {ARRAYS}`", expected=f"--phase, {phases}", got="none")
    if wrong := [kind for kind in formats if kind not in FORMATS]:
        raise unknown(f"format of {ARRAYS}", wrong[0], FORMATS)
    if len(formats) > 1:
        raise UsageError("--format", expected=f"one for {ARRAYS}", got=", ".join(formats))
    _refuse_behaviours(ARRAYS, phase, behaviours)
    _refuse_unfit(prompts, scan)
    return phase


def _checked(
    what: str,
    formats: tuple[str, ...],
    prompts: tuple[str, ...],
    behaviours: tuple[str, ...],
    scan: str | None,
    phase: str | None,
) -> Export:
    """The kind of export that is asked for.

    Raises UsageError for a kind, or an option of it, that does not exist.
    """
    from circuitstore.errors import UsageError, unknown

    exports = pipeline.services().exports
    if what not in exports:
        raise unknown("export", what, [*exports, ARRAYS])
    exported = exports[what]
    if wrong := [kind for kind in formats if kind not in exported.formats]:
        raise unknown(f"format of {what}", wrong[0], exported.formats)
    if phase:
        raise UsageError("--phase", expected=f"with `export {ARRAYS}` only")
    _refuse_behaviours(what, exported.phase, behaviours)
    _refuse_unfit(() if exported.by_prompt else prompts, None if exported.by_scan else scan)
    return exported


def _refuse_behaviours(what: str, phase: str, behaviours: tuple[str, ...]) -> None:
    """Raise UsageError for a behaviour of a phase that is about something else."""
    from circuitstore.errors import UsageError

    about = pipeline.load().task(phase).about
    if about and (wrong := [behaviour for behaviour in behaviours if behaviour != about]):
        remedy = f"they are about the profile's {about}, not about a behaviour"
        raise UsageError(f"--behaviour {wrong[0]}", expected=f"no behaviour for {what}", remedy=remedy)


def _refuse_unfit(prompts: tuple[str, ...], scan: str | None) -> None:
    """Raise UsageError for options that are given and that this export does not have."""
    from circuitstore.errors import UsageError

    exports = pipeline.services().exports.items()
    if prompts:
        able = ", ".join(f"`export {name}`" for name, each in exports if each.by_prompt)
        raise UsageError("--prompt", expected=f"with {able} only")
    if scan:
        able = ", ".join(f"`export {name}`" for name, each in exports if each.by_scan)
        raise UsageError("--scan", expected=f"with {able} only")
