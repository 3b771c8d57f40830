"""A profile with a small corpus, for the phases that train transcoders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from workspace import ROOT, Outcome, run

import tasks
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from tasks.inputs.behaviour import declaration
from tasks.inputs.draw import generate

MODEL = ROOT / "tasks" / "profiles" / "tiny" / "model"
LAYERS = 6
TRAINING = tuple(task.name for task in tasks.TRAINING)
TEXTS = [
    prompt.text + prompt.correct for name in ("plural", "antonym") for prompt in generate(declaration(name))
]
SETTINGS = {
    "corpus": {"shard": 300, "context": 16, "held_out": 0.2},
    "training": {"features": 48, "steps": 30, "batch": 64, "l0_start": 24.0, "l0": 12.0},
    "replacement": {"tokens": 200},
}


@dataclass(frozen=True)
class Trained:
    """A profile with a corpus, and its store."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store"

    def write(self, model: Path = MODEL) -> Trained:
        """Write the corpus and the profile."""
        (self.root / "corpus.txt").write_text("\n".join(TEXTS))
        tables: dict[str, dict] = {"model": {"path": str(model), "threads": 1}, **SETTINGS}
        tables |= {"transcoders": {"path": "trained"}, "texts": {"path": "corpus.txt"}}
        lines = [
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(table[key])}\n" for key in table)
            for name, table in tables.items()
        ]
        (self.root / "mine.toml").write_text("\n".join(lines))
        return self

    def build(self, phase: str = "replacement", *extra: object) -> Outcome:
        return run(
            "build", phase, "--profile", self.root / "mine.toml", "--store", self.store, "--json", *extra
        )

    def artifact(self, phase: str) -> Artifact:
        return named(Store(self.store), Name("mine", "corpus", phase))

    def export(self, folder: Path) -> Outcome:
        return run("export", "transcoders", folder, "--profile", "mine", "--store", self.store)


def computed(outcome: Outcome) -> dict[str, int]:
    """Phase → cells computed, of those that computed any."""
    return {row["phase"]: row["computed"] for row in outcome.json["phases"] if row["computed"]}
