"""The main job on the model that ships with the project, and every command that README shows."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import circuitstore as cs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHOWN = re.findall(r"^    (circuitstore .+?)(?:\s{2,}.*)?$", README, flags=re.MULTILINE)


LONG = "circuitstore build supernodes"  # measures circuits for long: tests/tasks tries it on other prompts
TINY = ROOT / "tasks" / "profiles" / "tiny"
FEWER = f"""
[model]
path = {json.dumps(str(TINY / "model"))}
threads = 1
[transcoders]
path = {json.dumps(str(TINY / "transcoders"))}
[activations]
positions = 0
[prompts]
train = 16
test = 8
"""  # the profile `tiny` with a quarter of the prompts
SERVING = "view"  # the command that goes on until Ctrl-C


def begin(words: list[str], folder: Path) -> subprocess.Popen:
    """Start cli.py with these words, in this folder, on its own store and cache, with its profile if any."""
    profile = folder / "tiny.toml"
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "CIRCUITSTORE_STORE": str(folder / "store"),
        "CIRCUITSTORE_CACHE": str(folder / "cache"),
        "BROWSER": "true",  # the program of that name, which opens nothing
        **({"CIRCUITSTORE_PROFILE": str(profile)} if profile.exists() else {}),
    }
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def run(words: list[str], folder: Path) -> tuple[int, str]:
    """The exit code of cli.py with these words, and what it says on stderr."""
    with begin(words, folder) as process:
        if words[0] == SERVING:
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(address, timeout=60) as page:
                assert page.status == 200
            process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    return process.returncode, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder whose store holds the main job's results, built by README's own command."""
    folder = tmp_path_factory.mktemp("main-job")
    main_job = README.split("```sh\n")[1].split("```")[0].strip().splitlines()[-1]
    assert main_job == "python cli.py build attribution --behaviour plural"
    code, said = run(shlex.split(main_job)[2:], folder)
    assert code == 0, said
    (folder / "texts.txt").write_text("The keys near the cabinet\n")
    (folder / "my.jsonl").write_text(
        json.dumps({"text": "The key near the cabinets", "correct": " is", "incorrect": " are"}) + "\n"
    )
    return folder


def test_hundred_graphs_each_exact(folder):
    """For every feature and logit of every graph, edges + bias = pre-activation within 1e-4 of its scale."""
    tree = cs.open("attribution", behaviour="plural", store=folder / "store")
    assert len(tree.children) == 100
    for node in tree.children.values():
        graph = node.to_dataset().load()
        count, features, logits = graph.sizes["node"], graph.sizes["feature_node"], graph.sizes["logit"]
        sums = np.bincount(graph.edge_target, weights=graph.edge_weight, minlength=count)
        largest = np.zeros(count)
        np.maximum.at(largest, graph.edge_target.values, np.abs(graph.edge_weight.values))
        rows = np.r_[0:features, count - logits : count]
        difference = np.abs(
            sums + graph.node_bias.values + graph.node_omitted.values - graph.node_preactivation.values
        )[rows]
        scale = np.maximum(largest, np.abs(graph.node_preactivation.values))[rows]
        assert (difference <= 1e-4 * scale).all()


def test_the_model_shows_the_behaviour(folder):
    """The gate's numbers are stored with the baseline: at least 95 % of prompts, test prompts among them."""
    prompts, baseline = (
        cs.open(phase, behaviour="plural", store=folder / "store") for phase in ("prompts", "baseline")
    )
    right = baseline.logit_difference.values > 0
    assert right.mean() >= 0.95
    assert right[prompts.split.values == "test"].mean() >= 0.95
    assert (prompts.split.values == "test").sum() == 20


@pytest.fixture(scope="module")
def fewer(folder: Path) -> Path:
    """The same folder, where the profile has fewer prompts, so that all of README's commands take less."""
    (folder / "tiny.toml").write_text(FEWER)
    code, said = run(["build", "attribution", "--behaviour", "plural"], folder)
    assert code == 0, said
    return folder


def filled(folder: Path, word: str) -> str:
    """A word of a command, with a prompt's id and a file where README has a placeholder."""
    first = next(iter(cs.open("attribution", behaviour="plural", store=folder / "store").children))
    theirs = folder / "graphs" / "tiny" / "plural" / f"{first}.json"
    if word == "theirs.json" and not theirs.is_file():
        code, said = run(["export", "graphs", "--behaviour", "plural", "--prompt", first], folder)
        assert code == 0, said
    if word == "KEY":
        return str(cs.open("baseline", behaviour="plural", store=folder / "store").attrs["key"])
    others = str(folder / "elsewhere")  # a folder in place of a bucket
    places = {"s3://our-bucket/results": others, "URL": others}
    return {"plural/ID": f"plural/{first}", "theirs.json": str(theirs), **places}.get(word, word)


def test_readme_shows_commands():
    """The list under test below is not empty by accident."""
    assert len(SHOWN) >= 8


@pytest.mark.parametrize(
    "command",
    [pytest.param(each, marks=pytest.mark.slow) if each.startswith(LONG) else each for each in SHOWN],
)
def test_readme_commands_run(fewer, command):
    """Each command that README shows does what it says: exit code 0, no traceback."""
    words = [filled(fewer, word) for word in shlex.split(command)[1:]]
    if words[0] == "build" and "--behaviour" not in words and "--prompts" not in words:
        words += ["prompts", "--behaviour", "plural"]  # the same command, for less than everything
    code, said = run(words, fewer)
    assert code == 0, said
    assert "Traceback" not in said
