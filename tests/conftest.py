"""What all tests share: a cache folder of their own, and one store that is built once and copied."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from devices import DEVICES
from random_model import CONFORMANCE
from shared import shared
from small_store import built  # noqa: F401 (a fixture)
from workspace import ROOT, Workspace

from circuitstore import memo

IN_MEMORY, ROOM = "/dev/shm", 8 << 30  # bytes: tests leave some two GB
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # as a build sets it, before any other test multiplies


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Stores of tests lie in memory where it has room, for builds flush what they write to the disk."""
    in_charge = not hasattr(config, "workerinput") and config.option.basetemp is None
    if in_charge and os.path.isdir(IN_MEMORY) and shutil.disk_usage(IN_MEMORY).free > ROOM:
        config.option.basetemp = tempfile.mkdtemp(prefix="circuitstore-tests-", dir=IN_MEMORY)
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


@pytest.fixture(scope="session", autouse=True)
def _apart_from_the_user(tmp_path_factory):
    """Neither the user's cache nor the user's settings are seen; no test needs to survive a power failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITSTORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("CIRCUITSTORE_STORE", raising=False)
        patch.delenv("CIRCUITSTORE_PROFILE", raising=False)
        patch.setattr(os, "fsync", lambda descriptor: None)
        memo.shared.cache_clear()
        yield
        memo.shared.cache_clear()


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """The machine is shared, and bits are compared."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference_model():
    """The random Qwen3 whose graphs and interventions the reference implementation computed."""
    from circuitstore.models.load import load_model

    return load_model(CONFORMANCE / "model")


@pytest.fixture(scope="session", params=DEVICES)
def reference_on_device(request):
    """The same model on each device."""
    from circuitstore.models.load import load_model

    return load_model(CONFORMANCE / "model", device=request.param)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no GPU")


@pytest.fixture(scope="session")
def built_once(tmp_path_factory) -> Workspace:
    """A workspace whose `attribution` was built from nothing. Read only: tests that change it take
    `workspace`.
    """
    return shared(tmp_path_factory, "built", Workspace, _build_attribution)


def _build_attribution(made: Workspace) -> None:
    outcome = made.build()
    assert outcome.code == 0, outcome.err


@pytest.fixture
def workspace(built_once: Workspace, tmp_path: Path) -> Workspace:
    """A copy of a built workspace."""
    return built_once.copy(tmp_path / "work")


@pytest.fixture
def new_workspace(tmp_path: Path) -> Workspace:
    """A workspace in which nothing was built."""
    return Workspace.create(tmp_path / "new")


@pytest.fixture(scope="session")
def pristine_tree(tmp_path_factory) -> Path:
    """The code of this checkout, nothing else."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("circuitstore", "tasks"):
        skipped = shutil.ignore_patterns("__pycache__", "profiles", "node_modules")
        shutil.copytree(ROOT / name, tree / name, ignore=skipped)
    shutil.copy(ROOT / "cli.py", tree)
    return tree


@pytest.fixture
def tree(pristine_tree: Path, tmp_path: Path) -> Path:
    """A copy of the code that a test may edit."""
    return Path(shutil.copytree(pristine_tree, tmp_path / "tree"))


@pytest.fixture
def hub_client(monkeypatch):
    """`hub_client(hub, home)`: from now on huggingface_hub in this process asks that hub and keeps files
    below `home`.
    """

    def connect(hub, home: Path, *, offline: bool = False) -> None:
        from huggingface_hub import constants

        environment = hub.environment(home) | ({"HF_HUB_OFFLINE": "1"} if offline else {})
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(
            constants, "ENDPOINT", environment["HF_ENDPOINT"]
        )  # which the client reads when it is imported
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            environment["HF_ENDPOINT"] + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)

    return connect
