"""A store of twelve minimal pairs, built through phase `circuit`, and its cells as phases read them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import xarray as xr
from shared import shared
from workspace import MODEL, ROOT, TRANSCODERS, Workspace, run_process

from circuitstore.models.load import load_model
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.records import Coords
from circuitstore.transcoders.per_layer import Transcoders
from tasks import interventions as interventions_phase
from tasks.parts.edits import Candidates, Units, candidates_of
from tasks.settings.phases import Interventions

NOUNS = (
    ("dog", "cat"),
    ("france", "paris"),
    ("keys", "cabinet"),
    ("big", "small"),
    ("one", "two"),
    ("mat", "sat"),
)
TEMPLATES = ("the {} to the {}", "{} on the {} and")
N_TRAIN = 16
SETTINGS = Interventions(
    features=4,
    sizes=(1, 3, 10_000),
    swap_sizes=(3, 10_000),
    circuit_sizes=(5, 10_000),
    strengths=(0.0, -1.0, 2.0),
    controls=5,
    effect_sources=4,
    effect_pairs=60,
    effect_range=1,
    bootstrap=50,
)


class Cells:
    """Cells of a phase, as a phase above it reads them."""

    def __init__(self, pairs: list[tuple[Coords, xr.Dataset]]):
        self.pairs = pairs

    def one(self, cell: Coords) -> xr.Dataset:
        """The cell whose coordinates are among these."""
        return next(content for coords, content in self.pairs if coords.items() <= cell.items())

    def all(self, cell: Coords) -> list[tuple[Coords, xr.Dataset]]:
        """All cells with their coordinates."""
        return self.pairs

    def each(self, cell: Coords) -> Iterator[tuple[Coords, xr.Dataset]]:
        """The same one at a time."""
        return iter(self.pairs)


class MinimalPairs(Workspace):
    """A workspace of sixteen train and eight test prompts. Tests may build more phases in it."""

    def computed(self, phase: str, *words: object) -> dict[str, int]:
        """Build a phase in a process of its own: how many cells of each phase were computed."""
        command = ("build", phase, *self.selection, *words, "--json")
        outcome = run_process(*command, python=(str(ROOT / "cli.py"),))
        assert outcome.code == 0, outcome.err
        return {row["phase"]: row["computed"] for row in outcome.json["phases"]}

    def cells(self, phase: str) -> Cells:
        """The cells of a phase."""
        store = Store(self.store)
        cells = self.artifact(phase).cells
        return Cells([(cell.coords, reader(store, cell.object).cell(cell.row)) for cell in cells])


def rows() -> list[dict[str, str]]:
    """The rows of the prompts file; every third pair is of the test split."""
    result = []
    variants = [(template, nouns) for template in TEMPLATES for nouns in NOUNS]
    for i, (template, nouns) in enumerate(variants):
        for side, answers in enumerate(((" are", " is"), (" is", " are"))):
            result.append(
                {
                    "id": f"p{i}{'ab'[side]}",
                    "partner": f"p{i}{'ba'[side]}",
                    "text": template.format(nouns[side], f"w{i % 4}"),
                    "correct": answers[0],
                    "incorrect": answers[1],
                    "template": template,
                    "split": "test" if i % 3 == 2 else "train",
                }
            )
    return result


@pytest.fixture(scope="session")
def minimal_pairs(tmp_path_factory) -> MinimalPairs:
    """Twelve minimal pairs, built through `circuit`."""
    return shared(tmp_path_factory, "pairs", MinimalPairs, build_circuit)


def build_circuit(made: MinimalPairs) -> None:
    """Write the prompts, and build `circuit` and all it needs."""
    made.prompts.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    made.computed("circuit")


@pytest.fixture(scope="session")
def cells_of(minimal_pairs) -> dict[str, Cells]:
    """Phase → its cells, for all that `interventions` needs."""
    names = ("prompts", "baseline", "features", "pairs", "attribution", "circuit")
    return {name: minimal_pairs.cells(name) for name in names}


@pytest.fixture(scope="session")
def reading(cells_of) -> list:
    """What `interventions` reads, in order."""
    model, transcoders = load_model(MODEL), Transcoders.open(TRANSCODERS)
    return [*(cells_of[name] for name in ("prompts", "pairs", "circuit", "attribution")), model, transcoders]


@pytest.fixture(scope="session")
def intervened(reading) -> dict[str, xr.Dataset]:
    """Prompt → its dataset of phase `interventions`, with `SETTINGS`."""
    cells = [coords for coords, _ in reading[0].pairs]
    results = interventions_phase.interventions(cells, SETTINGS, *reading)
    return {str(coords["prompt"]): cell for coords, cell in results}


def candidates_in(cells_of: dict[str, Cells], name: str) -> Candidates:
    """The candidates of a prompt."""
    cell = {"prompt": name}
    units = Units(cells_of["circuit"].one({}))
    return candidates_of(cells_of["attribution"].one(cell), cells_of["pairs"].one(cell), units)
