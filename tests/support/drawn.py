"""What phase `figures` reads in the small store, the tables that it makes, and the figures that it stored."""

from __future__ import annotations

import pytest
import xarray as xr

import circuitstore as cs
from circuitstore.engine.inputs import Upstream
from circuitstore.storage.layout import Store
from tasks.figures import tables
from tasks.settings.phases import Figures

PHASES = (
    "prompts",
    "baseline",
    "features",
    "interpretation",
    "pairs",
    "attribution",
    "circuit",
    "interventions",
)
STUDY = {"behaviour": "mine", "profile": "small"}
ARCHITECTURE = {"name": "Qwen3", "layers": 4, "d_model": 64}
SETTINGS = Figures(dpi=100, bootstrap=50)


@pytest.fixture(scope="session")
def upstream(built) -> dict[str, Upstream]:
    """Phase → what `figures` reads of it."""
    store = Store(str(built.store))
    return {name: Upstream(store, name, [({}, built.artifact(name).cells)]) for name in PHASES}


@pytest.fixture(scope="session")
def given(upstream) -> dict:
    """What drawings are given, by name."""
    return {"study": STUDY, "architecture": ARCHITECTURE, **tables(SETTINGS, {}, **upstream)}


@pytest.fixture(scope="session")
def stored(built) -> dict[str, xr.Dataset]:
    """The figures in the store, by name."""
    tree = cs.open("figures", behaviour="mine", store=built.store, profile="small")
    return {name: node.to_dataset().load() for name, node in tree.children.items()}
