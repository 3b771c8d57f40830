"""Writing figures, graphs and transcoders out of the store into a folder of ordinary files.

Beside the files stands `provenance.json`: which artifact they came from, all artifacts above that one with
their code, settings and weights by hash, and the sha256 of each file written. A file that is not listed
there, or was changed since, is somebody's own and is never overwritten without being told to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from circuitstore.errors import InputError, UsageError
from circuitstore.storage.artifact import Artifact, named, read_artifact
from circuitstore.storage.layout import Store

LEDGER = "provenance.json"
KINDS = ("png", "svg", "pdf")


class Written(msgspec.Struct, frozen=True):
    """One file of an export; `changed` unless it was there with the same bytes."""

    path: str
    changed: bool


def export_figures(
    store: Store,
    profile: str,
    behaviour: str,
    folder: str,
    kinds: tuple[str, ...] = (),
    *,
    force: bool = False,
) -> list[Written]:
    """Write every figure of a behaviour, its caption (.txt) and the report (report.html) to a folder.

    `kinds` chooses among the formats that were drawn, all when empty. Raises MissingError when nothing was
    built, UsageError for a format that was not drawn, InputError for a file in the way that is not from here
    (unless `force`), or an unwritable folder.
    """
    artifact = named(store, profile, behaviour, "figures")
    return _write_all(
        store, artifact, (profile, behaviour, "figures"), _files(store, artifact, kinds), folder, force
    )


def export_graphs(
    store: Store,
    profile: str,
    behaviour: str,
    folder: str,
    kinds: tuple[str, ...] = (),
    *,
    prompts: tuple[str, ...] = (),
    force: bool = False,
) -> list[Written]:
    """Write the attribution graph of every prompt, or of these, to PROMPT.json or PROMPT.graphml in a folder
    (`interchange`).

    `kinds` are json, graphml, or both; json when empty. Features carry the reviewer's label, else the
    automatic one, when phase `interpretation` was built. Raises MissingError, UsageError (no such prompt),
    DamageError, and InputError as `export_figures`.
    """
    from circuitstore.results.interchange import to_bytes, to_file, to_graphml
    from circuitstore.storage.objects import reader

    artifact = named(store, profile, behaviour, "attribution")
    cells = {str(cell.coords["prompt"]): cell for cell in artifact.cells}
    if unknown := [name for name in prompts if name not in cells]:
        raise UsageError(
            f"--prompt {unknown[0]}",
            expected=f"one of {len(cells)} prompts ({', '.join(list(cells)[:3])}, …)",
        )
    threshold, labels = (
        artifact.components["config"].get("node_threshold"),
        _labels(store, profile, behaviour),
    )
    files: dict[str, bytes] = {}
    for name in prompts or cells:
        graph = reader(store, cells[name].object).cell(cells[name].row)
        if "json" in kinds or not kinds:
            made = to_file(
                graph, slug=f"{behaviour}-{name}", scan=profile, node_threshold=threshold, labels=labels
            )
            files[f"{name}.json"] = to_bytes(made)
        if "graphml" in kinds:
            files[f"{name}.graphml"] = to_graphml(graph)
    return _write_all(store, artifact, (profile, behaviour, "attribution"), files, folder, force)


def export_transcoders(
    store: Store,
    profile: str,
    behaviour: str,
    folder: str,
    kinds: tuple[str, ...] = (),
    *,
    force: bool = False,
) -> list[Written]:
    """Write trained transcoders to a folder that a profile may name: config.yaml and layer_0.safetensors,
    layer_1.safetensors, ….

    The same weights give the same bytes. Raises MissingError when nothing was trained, DamageError, and
    InputError as `export_figures`.
    """
    artifact = named(store, profile, behaviour, "transcoders")
    return _write_all(
        store,
        artifact,
        (profile, behaviour, "transcoders"),
        _LayerFiles(store, artifact, profile),
        folder,
        force,
    )


class _LayerFiles(Mapping):
    """File name → bytes of transcoders, made when asked for: all layers together may be larger than memory."""

    def __init__(self, store: Store, artifact: Artifact, profile: str):
        from circuitstore.transcoders.formats import config_yaml, layer_file

        self.store, self.cells = (
            store,
            {layer_file(int(cell.coords["layer"])): cell for cell in artifact.cells},
        )
        config = artifact.components["config"]
        top_k = config["k"] if config["kind"] == "topk" else None
        self.config = config_yaml(f"circuitstore/{profile}", len(self.cells), top_k).encode()

    def __getitem__(self, name: str) -> bytes:
        from safetensors.numpy import save

        from circuitstore.storage.objects import reader
        from circuitstore.transcoders.formats import TENSORS

        if name == "config.yaml":
            return self.config
        layer = reader(self.store, self.cells[name].object).cell(self.cells[name].row)
        return save(
            {file: layer[variable].values for variable, file in TENSORS.items() if variable in layer},
            {"format": "pt"},
        )

    def __len__(self) -> int:
        return 1 + len(self.cells)

    def __iter__(self) -> Iterator[str]:
        return iter(("config.yaml", *self.cells))


def _labels(store: Store, profile: str, behaviour: str) -> dict[tuple[int, int], str]:
    """(layer, feature) → the reviewer's label, else the automatic one; empty before `interpretation` is
    built.
    """
    from circuitstore.results.open import REVIEWED
    from circuitstore.results.open import open as open_phase

    if (profile, behaviour, REVIEWED) not in store.refs():
        return {}
    found = open_phase(REVIEWED, behaviour=behaviour, store=store.root, profile=profile)
    columns = [found[name].to_numpy().tolist() for name in ("layer", "feature", "reviewer_label", "label")]
    return {
        (layer, feature): reviewed or automatic
        for layer, feature, reviewed, automatic in zip(*columns, strict=True)
    }


def _write_all(
    store: Store,
    artifact: Artifact,
    of: tuple[str, str, str],
    files: Mapping[str, bytes],
    folder: str,
    force: bool,
) -> list[Written]:
    """Write files and where they are from; nothing that is not from here is overwritten unless `force`."""
    profile, behaviour, phase = of
    ledger = {
        "profile": profile,
        "behaviour": behaviour,
        phase: {"artifact": artifact.key, "content": artifact.content},
        "artifacts": _above(store, artifact, {}),
    }
    known = _known(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        held = {
            name: _sha256(_read(os.path.join(folder, name)))
            for name in files
            if os.path.lexists(os.path.join(folder, name))
        }
        foreign = [
            name for name, digest in held.items() if digest not in (known.get(name), _sha256(files[name]))
        ]
        if foreign and not force:
            what = f"{', '.join(foreign[:3])}{' …' if len(foreign) > 3 else ''} in {folder}"
            remedy = "name another folder, or pass --force to overwrite"
            raise InputError(
                what,
                expected="nothing, or what was exported",
                got="files of your own or changed since",
                remedy=remedy,
            )
        written = []
        for name, data in files.items():
            changed = held.get(name) != _sha256(data)
            if changed:
                _write(os.path.join(folder, name), data)
            written.append(Written(os.path.join(folder, name), changed))
        kept = {
            name: digest
            for name, digest in known.items()
            if name not in files and os.path.isfile(os.path.join(folder, name))
        }
        ledger["files"] = dict(
            sorted({**kept, **{name: _sha256(data) for name, data in files.items()}}.items())
        )
        _write(
            os.path.join(folder, LEDGER), msgspec.json.format(msgspec.json.encode(ledger), indent=1) + b"\n"
        )
    except OSError as error:
        raise InputError(
            folder, expected="a folder that can be written", got=error.strerror or error
        ) from error
    return written


def _files(store: Store, artifact: Artifact, kinds: tuple[str, ...]) -> dict[str, bytes]:
    """File name → bytes of all figures, captions and the report."""
    from circuitstore.storage.objects import reader

    files: dict[str, bytes] = {}
    for cell in artifact.cells:
        figure, name = reader(store, cell.object).cell(cell.row), str(cell.coords["figure"])
        drawn = [kind for kind in KINDS if kind in figure]
        if missing := [kind for kind in kinds if kind not in drawn]:
            remedy = f"draw it: circuitstore build figures --set 'figures.formats={msgspec.json.encode([*drawn, *missing]).decode()}'"
            raise UsageError(f"--format {missing[0]}", expected="one of " + ", ".join(drawn), remedy=remedy)
        if figure.html.size:
            files[f"{name}.html"] = figure.html.values.tobytes()
            continue
        files |= {f"{name}.{kind}": figure[kind].values.tobytes() for kind in kinds or drawn}
        files[f"{name}.txt"] = (
            "\n\n".join(str(figure[part].values) for part in ("title", "caption", "provenance")).encode()
            + b"\n"
        )
    return files


def _above(store: Store, artifact: Artifact, found: dict[str, Any]) -> dict[str, Any]:
    """Every artifact that one was made from: phase → key, content and the components of its key."""
    for phase, key in artifact.upstream.items():
        upstream = read_artifact(store, key) if phase not in found else None
        if upstream is not None:
            found[phase] = {"artifact": key, "content": upstream.content, "components": upstream.components}
            _above(store, upstream, found)
    return found


def _known(folder: str) -> dict[str, str]:
    """File name → sha256 as of the last export into this folder."""
    try:
        return dict(msgspec.json.decode(_read(os.path.join(folder, LEDGER)))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, data: bytes) -> None:
    draft = f"{path}.{os.getpid()}.part"
    with open(draft, "wb") as file:
        file.write(data)
    os.replace(draft, path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
