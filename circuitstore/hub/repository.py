"""Repositories of the Hugging Face hub: what a revision is, and its files, downloaded and verified.

A revision is resolved to a commit once. From then on files are asked for by commit, and an answer that is in
the cache (`hub.cache`) is not asked for again. Only safetensors, their configuration and tokenizer files are
ever downloaded: no pickles, no code. The hub's list says what each file is, by its digest, so weights are
known before they are here. Once they are here, each is hashed and compared with the list.

huggingface_hub is imported only to ask or to download. Each of its errors comes out as one ModelError with
the remedy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence

from circuitstore.errors import ModelError
from circuitstore.hub import cache
from circuitstore.hub.cache import HubFile, Snapshot, is_commit
from circuitstore.hub.errors import UnreachableError, asking

ALLOWED = (".safetensors", ".json", ".yaml", ".txt")
SHOWN_FROM = 10**9  # bytes; hashing this much takes long enough to show how far it is


def find(
    repo: str, revision: str, pinned: str = "", sha256_of: Callable[[str], str] = cache.sha256
) -> Snapshot:
    """A repository at a revision: at the pinned commit, else as the cache knows it, else as the hub says now.

    Asks the hub only for a revision or a list of files that is not on this machine, and downloads nothing.
    Where the hub cannot be asked, the files that are here are all there is. `sha256_of` gives the sha256 of
    the file at a path; it may remember large ones. Raises ModelError.
    """
    commit = revision if is_commit(revision) else pinned or cache.commit_of(repo, revision)
    files = cache.listing(repo, commit) if commit else None
    if files is None and commit and cache.offline():
        files = cache.present(repo, commit, sha256_of)
    if files is None:
        try:
            commit, files = _ask(repo, revision, commit)
        except UnreachableError:
            files = cache.present(repo, commit, sha256_of) if commit else None
            if files is None:
                raise
    return Snapshot(repo, revision, commit, files)


def newest(repo: str, revision: str) -> str:
    """The commit that a revision is on the hub now. Raises ModelError."""
    with asking(repo, revision):
        from huggingface_hub import HfApi

        return str(HfApi().model_info(repo, revision=revision).sha)


def follow(repo: str, revision: str) -> str:
    """Make the hub's newest commit of a branch or tag the one that the cache knows; returns it.

    Raises ModelError.
    """
    newest(repo, revision)  # unlike the next call, this one does not fall back on the cache
    with asking(repo, revision):
        from huggingface_hub import HfApi

        return str(HfApi().resolve_revision(repo, revision=revision).resolved)


def read(snapshot: Snapshot, name: str) -> bytes:
    """The content of one small file, downloaded when it is not here. Raises ModelError."""
    known(snapshot, [name])
    if snapshot.missing([name]):
        with asking(snapshot.repo, snapshot.commit):
            from huggingface_hub import hf_hub_download

            hf_hub_download(snapshot.repo, name, revision=snapshot.commit)
    path = snapshot.path(name)
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ModelError(path, expected="a readable file", got=error.strerror or error) from error


def known(snapshot: Snapshot, names: Sequence[str]) -> None:
    """Raise ModelError unless the repository has files of these names."""
    if missing := [name for name in names if name not in snapshot.files]:
        raise ModelError(snapshot.title, expected=", ".join(names[:3]), got="no " + ", ".join(missing[:3]))


def check(snapshot: Snapshot, names: Sequence[str]) -> list[str]:
    """Whether these files can be had; a note if the revision is another commit by now.

    Asks the hub only when a file is missing. Raises ModelError: offline, no such file, no access, too little
    space.
    """
    known(snapshot, names)
    if not (missing := snapshot.missing(names)):
        return []
    revision, notes = snapshot.revision, []
    with asking(snapshot.repo, revision):
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        get_hf_file_metadata(hf_hub_url(snapshot.repo, missing[0], revision=snapshot.commit))
    if not is_commit(revision) and (now := newest(snapshot.repo, revision)) != snapshot.commit:
        notes.append(
            f"{snapshot.repo}: {revision} is {now[:12]} on the hub now, {snapshot.commit[:12]} is used as "
            "before; `circuitstore update` follows it"
        )
    _check_space(sum(snapshot.files[name].size for name in missing))
    return notes


def fetch(snapshot: Snapshot, names: Sequence[str], sha256_of: Callable[[str], str]) -> None:
    """Have these files here, downloaded all at once if need be, and verified. Raises ModelError.

    `sha256_of` gives the sha256 of the file at a path; it may remember large ones.
    """
    if refused := [name for name in names if not name.endswith(ALLOWED)]:
        where = f"{refused[0]} of {snapshot.repo}"
        raise ModelError(where, expected=" or ".join(ALLOWED), got="another kind of file")
    known(snapshot, names)
    if missing := snapshot.missing(names):
        _check_space(sum(snapshot.files[name].size for name in missing))
        with asking(snapshot.repo, snapshot.commit):
            from huggingface_hub import snapshot_download

            snapshot_download(snapshot.repo, revision=snapshot.commit, allow_patterns=list(names))
    for name in _shown(snapshot, names):
        verify(snapshot, name, sha256_of)


def verify(snapshot: Snapshot, name: str, sha256_of: Callable[[str], str]) -> None:
    """Compare a downloaded file with the hub's list: size, and sha256 or git blob id. Raises ModelError."""
    path, (size, digest) = os.path.realpath(snapshot.path(name)), snapshot.files[name]
    remedy = f"delete {path} and build again: it will be downloaded anew"
    what = f"{name} of {snapshot.repo} at {snapshot.commit[:12]}"
    try:
        got_size = os.path.getsize(path)
        got = sha256_of(path) if len(digest) == 64 else cache.blob_id(path)
    except OSError as error:
        raise ModelError(what, expected=path, got=error.strerror or error, remedy="build again") from error
    if got_size != size:
        raise ModelError(what, expected=f"{size} bytes", got=got_size, remedy=remedy)
    if got != digest:
        kind = "sha256" if len(digest) == 64 else "git blob"
        raise ModelError(what, expected=f"{kind} {digest}", got=got, remedy=remedy)


def _ask(repo: str, revision: str, commit: str) -> tuple[str, dict[str, HubFile]]:
    """(commit, list of files) by asking the hub, which leaves both in the cache. Raises ModelError."""
    # This fails at once when nobody answers; what follows would try again for half a minute.
    newest(repo, commit or revision)
    with asking(repo, revision, silent=True):  # it would warn that no file was wanted
        from huggingface_hub import HfApi, snapshot_download

        commit = commit or str(HfApi().resolve_revision(repo, revision=revision).resolved)
        snapshot_download(repo, revision=commit, allow_patterns=[])  # writes the list alone
    if (files := cache.listing(repo, commit)) is None:
        raise ModelError(
            cache.listing_path(repo, commit),
            expected="a list of files, as huggingface_hub 2 writes",
            got="none",
            remedy="is HF_HOME writable?",
        )
    return commit, files


def _check_space(needed: int) -> None:
    folder = cache.cache_folder()
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"cache {cache.cache_folder()}",
            expected=f"{needed / 1e9:.1f} GB of free space for weights",
            got=f"{free / 1e9:.1f} GB",
            remedy="free some, or set HF_HOME to another disk",
        )


def _shown(snapshot: Snapshot, names: Sequence[str]) -> Iterator[str]:
    """The same names one by one, on a terminal with a bar when there is much to hash."""
    if sum(snapshot.files[name].size for name in names) < SHOWN_FROM:
        yield from names
        return
    from huggingface_hub.utils.tqdm import tqdm

    bar: Iterator[str] = tqdm(names, desc="Checking files", unit="file", disable=None)  # type: ignore[no-untyped-call]
    yield from bar
