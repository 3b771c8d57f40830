"""What a command that is asked for the impossible must say."""

from __future__ import annotations

from workspace import Workspace, one_line_error, run


def refused(workspace: Workspace, *arguments: object, code: int, words: list[str]) -> None:
    """A command fails as it should: one line with all these words, this exit code, no store."""
    error = one_line_error(run(*arguments), code=code)
    assert [word for word in words if word not in error] == [], error
    assert not workspace.store.exists()


def build(workspace: Workspace, *extra: object) -> list[object]:
    return ["build", "attribution", *workspace.selection, *extra]
