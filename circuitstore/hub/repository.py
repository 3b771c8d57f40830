"""Models and transcoders of the Hugging Face hub: what a revision is, whether it can be had, and its files,
verified.

A revision is resolved to a commit once; from then on files are asked for by commit, and an answer that is in
the cache (`hub_cache`) is not asked for again. Of a repository only safetensors, their configuration and
tokenizer files are ever downloaded: no pickles, no code. What a file *is* (its digest) the hub's list of
files says, so weights need not be here to be known; when they are, each is hashed once and compared with it.

huggingface_hub is imported only to ask or to download. Its errors come out as one ModelError each, with the
remedy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any

import msgspec

from circuitstore.errors import ModelError
from circuitstore.hub import cache as hub_cache
from circuitstore.hub.cache import HubFile, Snapshot, is_commit
from circuitstore.hub.errors import asking
from circuitstore.models import shards
from circuitstore.models.identity import TOKENIZER_FILES, Remembers, file_hash, layer_count
from circuitstore.transcoders import formats as transcoder_files

CONFIG, INDEX, WEIGHTS = "config.json", "model.safetensors.index.json", "model.safetensors"
SMALL = [
    CONFIG,
    "*" + transcoder_files.CONFIG,
    "*" + shards.INDEX,
]  # patterns; fetched with the list of files
ALLOWED = (".safetensors", ".json", ".yaml", "merges.txt")
SHOWN_FROM = 10**9  # bytes; hashing this much takes long enough to show how far it is

Pinned = Callable[
    [str, str], str
]  # (repo, revision) → the commit it is taken for, "" when it was never resolved


def find(repo: str, revision: str, pinned: Pinned) -> Snapshot:
    """A repository at a revision: pinned, else as the cache knows it, else as the hub says now.

    Asks the hub only for a revision or a list of files that is not on this machine, and downloads nothing but
    small files then: sizes are in ``files``, and `read_json` gives config.json. Raises ModelError.
    """
    commit = (
        revision if is_commit(revision) else pinned(repo, revision) or hub_cache.commit_of(repo, revision)
    )
    files = hub_cache.listing(repo, commit) if commit else None
    if files is None and commit and hub_cache.offline():
        files = hub_cache.present(repo, commit)
    if files is None:
        commit, files = _ask(repo, revision, commit)
    return Snapshot(repo, revision, commit, files)


def newest(repo: str, revision: str) -> str:
    """The commit that a revision is on the hub now. Raises ModelError."""
    with asking(repo, revision):
        from huggingface_hub import HfApi

        return str(HfApi().model_info(repo, revision=revision).sha)


def follow(repo: str, revision: str) -> str:
    """Make the hub's newest commit of a branch or tag the one that the cache knows; returns it. Raises
    ModelError.
    """
    newest(repo, revision)  # which, unlike the next call, does not fall back on the cache
    with asking(repo, revision):
        from huggingface_hub import HfApi

        return HfApi().resolve_revision(repo, revision=revision).resolved


def read(snapshot: Snapshot, name: str) -> bytes:
    """The content of one small file, downloaded when it is not here. Raises ModelError."""
    if name not in snapshot.files:
        raise ModelError(
            f"{snapshot.repo} at {snapshot.commit[:12]} on the hub", expected=name, got="no such file"
        )
    if snapshot.missing([name]):
        with asking(snapshot.repo, snapshot.commit):
            from huggingface_hub import hf_hub_download

            hf_hub_download(snapshot.repo, name, revision=snapshot.commit)
    try:
        with open(snapshot.path(name), "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelError(
            snapshot.path(name), expected="a readable file", got=error.strerror or error
        ) from error


def read_json(snapshot: Snapshot, name: str) -> dict[str, Any]:
    """A small file that is a JSON object. Raises ModelError."""
    try:
        return msgspec.json.decode(read(snapshot, name), type=dict)
    except msgspec.DecodeError as error:
        raise ModelError(f"{name} of {snapshot.repo}", expected="a JSON object", got=error) from error


# ---- which files


def model_files(snapshot: Snapshot) -> list[str]:
    """config.json and the weights: one file, as transformers prefers, or those of the index. Raises
    ModelError when there are none.
    """
    names = [WEIGHTS]
    if WEIGHTS not in snapshot.files and INDEX in snapshot.files:
        names = shards.files(read(snapshot, INDEX), f"{INDEX} of {snapshot.repo}")
    remedy = "choose a repository with safetensors (pickled weights are never loaded)"
    return [*known(snapshot, [CONFIG]), *known(snapshot, names, remedy)]


def tokenizer_files(snapshot: Snapshot) -> list[str]:
    """The files of the tokenizer. Raises ModelError when there are none."""
    names = sorted(name for name in TOKENIZER_FILES if name in snapshot.files)
    if not names:
        raise ModelError(
            f"{snapshot.repo} at {snapshot.commit[:12]} on the hub",
            expected="tokenizer.json",
            got="no such file",
        )
    return names


def transcoder_list(snapshot: Snapshot, subfolder: str, pinned: Pinned) -> list[tuple[Snapshot, str]]:
    """(repository, name) of each layer's file, in order; config.yaml may list those of other repositories.
    Raises ModelError.
    """
    where = f"{snapshot.repo}/{subfolder}".rstrip("/")
    entries = transcoder_files.listed(
        transcoder_config(snapshot, subfolder), f"{where}/{transcoder_files.CONFIG}"
    )
    if entries is None:
        start = _joined(subfolder, "")
        inside = [name.removeprefix(start) for name in snapshot.files if name.startswith(start)]
        return [(snapshot, start + name) for name in transcoder_files.layers(inside, where)]
    homes = {("", ""): snapshot}
    for repo, revision in {(entry.repo, entry.revision) for entry in entries} - {("", "")}:
        own = repo == snapshot.repo and revision in ("", snapshot.commit, snapshot.revision)
        homes[repo, revision] = snapshot if own else find(repo, revision or "main", pinned)
    names = [entry.path if entry.repo else _joined(subfolder, entry.path) for entry in entries]
    found = [(homes[entry.repo, entry.revision], name) for entry, name in zip(entries, names, strict=True)]
    for home, name in found:
        known(home, [name])
    return found


def transcoder_config(snapshot: Snapshot, subfolder: str) -> dict[str, Any]:
    """The repository's config.yaml; empty when there is none. Raises ModelError."""
    name = _joined(subfolder, transcoder_files.CONFIG)
    return (
        transcoder_files.parse_config(read(snapshot, name), f"{name} of {snapshot.repo}")
        if name in snapshot.files
        else {}
    )


def parts(layer: tuple[Snapshot, str]) -> list[tuple[Snapshot, str]]:
    """(repository, name) of what belongs to a layer's file: that alone, or an index and the files it names.
    Raises ModelError.
    """
    home, name = layer
    if not name.endswith(shards.INDEX):
        return [layer]
    folder = name.rpartition("/")[0]
    named = shards.files(read(home, name), f"{name} of {home.repo}")
    return [layer, *((home, shard) for shard in known(home, [_joined(folder, shard) for shard in named]))]


def files(
    snapshot: Snapshot, kind: str, subfolder: str, pinned: Pinned, layers: Container[int] | None = None
) -> list[tuple[Snapshot, str]]:
    """(repository, name) of the files of a "model", "tokenizer" or of "transcoders", config first; of these
    only those of some ``layers``, when given. Raises ModelError.
    """
    if kind == "transcoders":
        config = _joined(subfolder, transcoder_files.CONFIG)
        own = [(snapshot, config)] if config in snapshot.files else []
        listed = enumerate(transcoder_list(snapshot, subfolder, pinned))
        return own + [
            part for index, layer in listed if layers is None or index in layers for part in parts(layer)
        ]
    return [(snapshot, name) for name in (model_files if kind == "model" else tokenizer_files)(snapshot)]


def identity(snapshot: Snapshot, kind: str, subfolder: str, pinned: Pinned) -> dict[str, object]:
    """What a "model", "tokenizer" or "transcoders" is: repository, commit, digest of each file; the number of
    layers of a model.

    The same before and after the files are downloaded. Raises ModelError.
    """
    wanted = files(snapshot, kind, subfolder, pinned)
    digests = {
        name if home is snapshot else home.address(name): home.files[name].digest for home, name in wanted
    }
    found: dict[str, object] = {"repo": snapshot.repo, "commit": snapshot.commit, "files": digests}
    if kind == "model":
        found["layers"] = layer_count(read_json(snapshot, CONFIG), f"{CONFIG} of {snapshot.repo}")
    return found


# ---- getting them


def check(wanted: Sequence[tuple[Snapshot, str]]) -> list[str]:
    """Whether these files can be had, and what a user should know: a revision that is another commit by now.

    Asks the hub only when a file is missing. Raises ModelError: offline, no such file, no access, too little
    space.
    """
    notes: list[str] = []
    needed = 0
    for snapshot, names in _by_repository(wanted):
        if not (missing := snapshot.missing(names)):
            continue
        needed += sum(snapshot.files[name].size for name in missing)
        revision = snapshot.revision
        with asking(snapshot.repo, revision):
            from huggingface_hub import get_hf_file_metadata, hf_hub_url

            get_hf_file_metadata(hf_hub_url(snapshot.repo, missing[0], revision=snapshot.commit))
        if not is_commit(revision) and (now := newest(snapshot.repo, revision)) != snapshot.commit:
            notes.append(
                f"{snapshot.repo}: {revision} is {now[:12]} on the hub now, {snapshot.commit[:12]} is used as before; "
                "`circuitstore update` follows it"
            )
    _check_space(needed)
    return notes


def fetch(wanted: Sequence[tuple[Snapshot, str]], memory: Remembers) -> list[str]:
    """Paths of these files, downloaded if they are not here (a repository's at once), and verified. Raises
    ModelError.
    """
    for snapshot, names in _by_repository(wanted):
        if unknown := [name for name in names if not name.endswith(ALLOWED)]:
            raise ModelError(
                f"{unknown[0]} of {snapshot.repo}", expected=" or ".join(ALLOWED), got="another kind of file"
            )
        if missing := snapshot.missing(names):
            _check_space(sum(snapshot.files[name].size for name in missing))
            with asking(snapshot.repo, snapshot.commit):
                from huggingface_hub import snapshot_download

                snapshot_download(snapshot.repo, revision=snapshot.commit, allow_patterns=names)
    for snapshot, name in _shown(wanted):
        verify(snapshot, name, memory)
    return [snapshot.path(name) for snapshot, name in wanted]


def verify(snapshot: Snapshot, name: str, memory: Remembers) -> None:
    """Compare a downloaded file with what the hub says it is; large ones are hashed once and remembered.
    Raises ModelError.
    """
    path, (size, digest) = os.path.realpath(snapshot.path(name)), snapshot.files[name]
    remedy = f"delete {path} and build again: it will be downloaded anew"
    what = f"{name} of {snapshot.repo} at {snapshot.commit[:12]}"
    try:
        found_size = os.path.getsize(path)
        found = file_hash(path, memory) if len(digest) == 64 else _blob_id(path)
    except OSError as error:
        raise ModelError(what, expected=path, got=error.strerror or error, remedy="build again") from error
    if found_size != size:
        raise ModelError(what, expected=f"{size} bytes", got=found_size, remedy=remedy)
    if found != digest:
        kind = "sha256" if len(digest) == 64 else "git blob"
        raise ModelError(what, expected=f"{kind} {digest}", got=found, remedy=remedy)


def _blob_id(path: str) -> str:
    with open(path, "rb") as file:
        content = file.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _ask(repo: str, revision: str, commit: str) -> tuple[str, dict[str, HubFile]]:
    """(commit, list of files) by asking the hub, which leaves both in the cache, with the small files. Raises
    ModelError.
    """
    newest(
        repo, commit or revision
    )  # for an error at once: what follows tries again for half a minute when nobody answers
    with asking(repo, revision):
        from huggingface_hub import HfApi, snapshot_download

        commit = commit or HfApi().resolve_revision(repo, revision=revision).resolved
        snapshot_download(repo, revision=commit, allow_patterns=SMALL)
    if (files := hub_cache.listing(repo, commit)) is None:
        where = os.path.join(hub_cache.storage(repo), "trees", commit + ".json")
        raise ModelError(
            where,
            expected="a list of files, as huggingface_hub 2 writes",
            got="none",
            remedy="is HF_HOME writable?",
        )
    return commit, files


def _check_space(needed: int) -> None:
    folder = hub_cache.cache_folder()
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"cache {hub_cache.cache_folder()}",
            expected=f"{needed / 1e9:.1f} GB of free space for weights",
            got=f"{free / 1e9:.1f} GB",
            remedy="free some, or set HF_HOME to another disk",
        )


def _by_repository(wanted: Sequence[tuple[Snapshot, str]]) -> list[tuple[Snapshot, list[str]]]:
    groups: dict[tuple[str, str], tuple[Snapshot, list[str]]] = {}
    for snapshot, name in wanted:
        groups.setdefault((snapshot.repo, snapshot.commit), (snapshot, []))[1].append(name)
    return list(groups.values())


def known(snapshot: Snapshot, names: list[str], remedy: str | None = None) -> list[str]:
    """These names, if the repository has such files. Raises ModelError."""
    if missing := [name for name in names if name not in snapshot.files]:
        where = f"{snapshot.repo} at {snapshot.commit[:12]} on the hub"
        raise ModelError(
            where, expected=", ".join(names[:3]), got="no " + ", ".join(missing[:3]), remedy=remedy
        )
    return names


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _shown(wanted: Sequence[tuple[Snapshot, str]]) -> Iterator[tuple[Snapshot, str]]:
    """The same one by one, on a terminal with a bar when it is much to hash."""
    if sum(snapshot.files[name].size for snapshot, name in wanted) < SHOWN_FROM:
        yield from wanted
        return
    from huggingface_hub.utils import tqdm

    yield from tqdm(wanted, desc="Checking files", unit="file", disable=None)
