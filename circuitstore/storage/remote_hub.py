"""Repositories of the Hugging Face hub as places: `hf://datasets/USER/NAME/FOLDER`, `hf://USER/NAME@REVISION`.

They are read like any place. What is written comes in commits, each of which appears at once, so files go in
few of them: the hub counts commits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from circuitstore.storage.remote import Group
from circuitstore.storage.remote_fsspec import Remote
from circuitstore.storage.remote_work import Crew

MOST_FILES = 1000  # of a commit


class Hub(Remote):
    """A folder of a repository of the hub, which must exist."""

    def send_all(self, groups: Sequence[Group], crew: Crew) -> None:
        files = [(path, file) for group in groups for path, file in group.files.items()]
        for at in range(0, len(files), MOST_FILES):
            part = dict(files[at : at + MOST_FILES])
            crew.on_bytes(0)
            self._commit(part)
            crew.on_bytes(sum(map(os.path.getsize, part.values())))

    def put(self, files: Mapping[str, bytes]) -> None:
        self._commit(files)

    def _commit(self, files: Mapping[str, str] | Mapping[str, bytes]) -> None:
        with self._reaching("", writing=True):
            from huggingface_hub import CommitOperationAdd

            there = self.fs.resolve_path(self.path)
            top = f"{there.path_in_repo}/" if there.path_in_repo else ""
            self.fs._api.create_commit(
                there.repo_id,
                [CommitOperationAdd(top + path, content) for path, content in files.items()],
                commit_message=f"circuitstore push: {len(files)} files",
                repo_type=there.repo_type,
                revision=there.revision,
            )
            self.fs.invalidate_cache()
