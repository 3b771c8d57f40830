"""A bare checkout, a wheel and an editable install all run, and site-packages gains only `circuitstore`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTENT = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "cli.py", "circuitstore", "tasks")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    names = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**names, "HF_HUB_OFFLINE": "1", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what a checkout holds, so that building leaves nothing in this one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in CONTENT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        checkout,
        cwd=folder,
    )
    return next(folder.glob("*.whl"))


def builds_prompts(*command: str | Path, cwd: Path, **environment: str) -> None:
    """The command builds the prompts of a behaviour and knows of all phases."""
    store = cwd / "store"
    done = run(
        *command, "build", "prompts", "-b", "plural", "--store", store, "--json", cwd=cwd, **environment
    )
    assert '"computed":1' in done.stdout
    shown = run(
        *command, "show", "prompts", "-b", "plural", "--store", store, "--json", cwd=cwd, **environment
    )
    assert len(shown.stdout.splitlines()) == 100


def test_wheel_adds_one_name_and_carries_pipeline_and_weights(wheel):
    """The wheel holds one package, with the phases, profiles and weights inside and no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith("LICENSE")]
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"circuitstore"}
    assert {"circuitstore/viewer/built/explorer.js", "circuitstore/viewer/built/explorer.css"} <= set(names)
    bundled = {name.removeprefix("circuitstore/_bundled/tasks/") for name in names}
    assert {"__init__.py", "attribution.py", "behaviours/plural.py", "profiles/tiny.toml"} <= bundled
    assert {
        "profiles/tiny/model/model.safetensors",
        "profiles/tiny/transcoders/layer_0.safetensors",
    } <= bundled


def test_wheel_runs_where_there_is_no_checkout(wheel, tmp_path):
    """Installed from the wheel, the pipeline inside it is used, and what else lies there is no code of it."""
    site = tmp_path / "site"
    for part in Path(sysconfig.get_path("purelib")).glob("msgspec*"):  # which phases import
        shutil.copytree(part, site / part.name)
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    builds_prompts(sys.executable, "-m", "circuitstore", cwd=tmp_path, PYTHONPATH=str(site))


def test_editable_install_runs_its_console_script(checkout, tmp_path):
    """Installed with -e, `circuitstore` uses the checkout's own pipeline."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = tmp_path / "env" / "bin" / "python"
    install = ("install", "-q", "--no-deps", "--no-build-isolation", "-e", checkout)
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=tmp_path)
    builds_prompts(python.parent / "circuitstore", cwd=tmp_path)


def test_bare_checkout_runs_from_any_folder(checkout, tmp_path):
    """`python path/to/cli.py` needs no installation."""
    builds_prompts(sys.executable, checkout / "cli.py", cwd=tmp_path)
