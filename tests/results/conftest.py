"""Fixtures of the tests of what scripts and other programs get."""

from pathlib import Path

import pytest
from workspace import run


@pytest.fixture
def export(built, tmp_path):
    """Export a phase of the small store, to a place of the test's own."""

    def export(phase: str, *words: object, place: Path = tmp_path / "out", profile: object = None):
        where = ("--profile", profile or built.profile, "--store", built.store)
        return run("export", "arrays", place, "--phase", phase, *where, *words)

    return export
