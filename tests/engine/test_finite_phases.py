"""Whatever phase yields NaN or infinity: its cells fail, the variable is named, nothing is stored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from planted import forget, plant_in_every_cell, stored
from small_store import Finished
from trained import Trained
from workspace import Outcome, one_line_error, run

import tasks

WITHOUT_NUMBERS = {"prompts", "corpus", "figures"}  # texts, tokens, flags, pictures
ABOUT_BEHAVIOURS = [task.name for task in tasks.PHASES if task.name not in WITHOUT_NUMBERS]
ABOUT_A_CORPUS = [task.name for task in tasks.TRAINING if task.name not in WITHOUT_NUMBERS]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """All phases about a corpus."""
    made = Trained(tmp_path_factory.mktemp("trained")).write()
    outcome = made.build()
    assert outcome.code == 0, outcome.err
    return made


def fails_and_stores_nothing(outcome: Outcome, store: Path, phase: str) -> None:
    error = one_line_error(outcome, code=1)
    assert f"of phase {phase}" in error and "expected a finite number, got NaN" in error
    assert stored(store, phase) == []


@pytest.mark.parametrize("phase", ABOUT_BEHAVIOURS)
def test_a_phase_about_behaviours(built, tmp_path, monkeypatch, phase):
    again = Finished(built.copy(tmp_path / "again").root)
    forget(again.store, phase)
    plant_in_every_cell(monkeypatch, phase)
    fails_and_stores_nothing(again.build(phase=phase), again.store, phase)


@pytest.mark.parametrize("phase", ABOUT_A_CORPUS)
def test_a_phase_about_a_corpus(trained, tmp_path, monkeypatch, phase):
    again = Trained(Path(shutil.copytree(trained.root, tmp_path / "again")))
    forget(again.store, phase)
    plant_in_every_cell(monkeypatch, phase)
    fails_and_stores_nothing(again.build(phase), again.store, phase)


def test_the_graph_of_one_text(built, tmp_path, monkeypatch):
    plant_in_every_cell(monkeypatch, "attribute")
    where = ["--store", tmp_path / "store", "--profile", built.profile]
    outcome = run("attribute", "the keys", *where)
    fails_and_stores_nothing(outcome, tmp_path / "store", "attribute")
