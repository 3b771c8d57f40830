"""A small real project for tests: the model of `conformance/`, a few prompts, a profile and a store."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from circuitstore import pipeline
from circuitstore.command import main
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named

ROOT = Path(__file__).parents[2]
PIPELINE = pipeline.load()
MODEL = ROOT / "tests" / "conformance" / "model"
TRANSCODERS = ROOT / "tests" / "conformance" / "relu"
PROFILE, BEHAVIOUR, LAYERS = "small", "mine", 4
PHASES = ("prompts", "baseline", "activations", "features", "attribution")
TEXTS = {"a": "the keys to the cabinet", "b": "the cat sat on the mat", "c": "the dog"}


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def phases(self) -> dict[str, dict]:
        """Phase → its row in the answer of `build`, `status` or `explain` with --json, for attribution and
        all that it needs.
        """
        return {row["phase"]: row for row in self.json["phases"] if row["phase"] in PHASES}

    @property
    def computed(self) -> dict[str, int]:
        """Phase → how many cells were computed, of those that computed any."""
        return {phase: row["computed"] for phase, row in self.phases.items() if row["computed"]}

    def computed_of(self, phase: str) -> int:
        """How many cells of a phase were computed."""
        assert self.code == 0, self.err
        return next(row["computed"] for row in self.json["phases"] if row["phase"] == phase)

    @property
    def unfresh(self) -> set[str]:
        """The phases that `status` or `explain` would build."""
        return {phase for phase, row in self.phases.items() if row["state"] != "fresh"}


def run(*arguments: object) -> Outcome:
    """One command in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Outcome(code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode())


def run_process(*arguments: object, tree: Path = ROOT, python: tuple[str, ...] = ("cli.py",)) -> Outcome:
    """One command in a process of its own, with the code of another tree if one is given."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, *python, *map(str, arguments)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def prompt(name: str, text: str) -> dict[str, str]:
    """One row of a prompts file."""
    return {"id": name, "text": text, "correct": " are", "incorrect": " is"}


class Workspace:
    """A folder with a profile, a prompts file and, once built, a store."""

    def __init__(self, root: Path):
        self.root = root
        self.profile, self.prompts, self.store = (
            root / f"{PROFILE}.toml",
            root / f"{BEHAVIOUR}.jsonl",
            root / "store",
        )

    @classmethod
    def create(cls, root: Path, model: Path = MODEL, transcoders: Path = TRANSCODERS) -> Workspace:
        root.mkdir(parents=True, exist_ok=True)
        made = cls(root)
        made.write_profile(model, transcoders)
        made.write_prompts(TEXTS)
        return made

    def copy(self, root: Path) -> Workspace:
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Workspace(root)

    def write_profile(self, model: Path = MODEL, transcoders: Path = TRANSCODERS) -> None:
        tables = {"model": {"path": str(model), "threads": 1}, "transcoders": {"path": str(transcoders)}}
        tables |= {"baseline": {"gate": 0.0}, "activations": {"positions": 0}}
        lines = [
            f"[{name}]\n" + "".join(f"{field} = {json.dumps(value)}\n" for field, value in table.items())
            for name, table in tables.items()
        ]
        self.profile.write_text("\n".join(lines))

    def write_prompts(self, texts: dict[str, str]) -> None:
        self.prompts.write_text(
            "".join(json.dumps(prompt(name, text)) + "\n" for name, text in texts.items())
        )

    @property
    def selection(self) -> list[object]:
        return ["--profile", self.profile, "--prompts", self.prompts, "--store", self.store]

    def build(self, *extra: object, phase: str = "attribution") -> Outcome:
        return run("build", phase, *self.selection, "--json", *extra)

    def explain(self, *extra: object, phase: str = "attribution") -> Outcome:
        return run("explain", phase, *self.selection, "--json", *extra)

    def verify(self, *extra: object) -> Outcome:
        return run("verify", "--store", self.store, "--json", *extra)

    def artifact(self, phase: str) -> Artifact:
        return named(Store(self.store), Name(PROFILE, BEHAVIOUR, phase))

    def contents(self, phases: tuple[str, ...] = PHASES) -> dict[str, str]:
        """Phase → content hash of its whole output."""
        return {phase: self.artifact(phase).content for phase in phases}


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder → its size and time of change: what any write would alter."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def one_line_error(outcome: Outcome, *, code: int) -> str:
    """The error of a command that failed as it should: this exit code, one line, no traceback."""
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err
    lines = [line for line in outcome.err.splitlines() if line.startswith(("error: ", "Error: "))]
    assert len(lines) == 1, outcome.err
    assert outcome.err.rstrip().endswith(lines[0])
    return lines[0]


def in_tree(tree: Path, workspace: Workspace, command: str = "explain") -> Outcome:
    """`explain` or `build` of attribution by another tree's code."""
    outcome = run_process(command, "attribution", *workspace.selection, "--json", tree=tree)
    assert outcome.code == 0, outcome.err
    return outcome


def small_batches(patch: pytest.MonkeyPatch) -> None:
    """From now on two prompts an object instead of dozens."""
    import tasks

    sizes = {"baseline": 2, "activations": 2 * LAYERS, "features": 2 * LAYERS, "attribution": 2}
    smaller = tuple(
        msgspec.structs.replace(task, batch=sizes.get(task.name, task.batch)) for task in tasks.PHASES
    )
    patch.setattr(tasks, "PIPELINE", msgspec.structs.replace(tasks.PIPELINE, tasks=smaller))
