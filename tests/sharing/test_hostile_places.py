"""What a place holds is believed only as far as it can be checked; the rest arrives all the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged import exchange, flip
from forged import forge_leaf
from places import empty, pull, push
from workspace import BEHAVIOUR, PROFILE, Outcome, Workspace, files, one_line_error

from circuitstore.storage.layout import Store
from circuitstore.storage.records import seal
from circuitstore.storage.refs import names

PHASE = "features"
Harm = Callable[[Workspace], object]


@pytest.fixture
def mine(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with the same prompts and no store yet."""
    return empty(workspace, tmp_path / "mine")


def shard(there: Workspace) -> Path:
    (name,) = there.artifact(PHASE).objects
    found = [path for path in Path(Store(there.store).object(name)).rglob("*") if "/c/" in str(path)]
    return next(path for path in found if path.is_file())


def manifest(there: Workspace) -> Path:
    (name,) = there.artifact(PHASE).objects
    return Path(Store(there.store).object(name)) / "MANIFEST.json"


def artifact(there: Workspace, phase: str = PHASE) -> Path:
    return there.store / "artifacts" / f"{there.artifact(phase).key}.json"


def ref(there: Workspace, phase: str = PHASE) -> Path:
    return there.store / "refs" / PROFILE / BEHAVIOUR / f"{phase}.json"


def reseal(path: Path, **changes: object) -> None:
    path.write_bytes(seal(json.loads(path.read_bytes())["record"] | changes))


def escaping(there: Workspace) -> None:
    """A manifest with an honest seal that lists a file outside its object."""
    path = manifest(there)
    listed = json.loads(path.read_bytes())["record"]["files"]
    reseal(path, files={**listed, "../../../../outside": [1, "0" * 64]})


def enormous(there: Workspace) -> None:
    """A manifest with an honest seal whose files take an exabyte."""
    path = manifest(there)
    listed = json.loads(path.read_bytes())["record"]["files"]
    reseal(path, files={name: [1 << 60, digest] for name, (_, digest) in listed.items()})


def linked(there: Workspace) -> None:
    """A shard that is a link to the same bytes elsewhere."""
    path = shard(there)
    path.rename(there.root / "elsewhere")
    path.symlink_to(there.root / "elsewhere")


def wrong_rows(there: Workspace) -> None:
    """A leaf with honest hashes whose rows are exchanged."""
    forge_leaf(Store(there.store), there.artifact(PHASE), lambda leaf: {**leaf, "row": leaf["row"][::-1]})


def made_otherwise(there: Workspace) -> None:
    """An artifact with an honest seal under the key of other settings."""
    path = artifact(there)
    components = json.loads(path.read_bytes())["record"]["components"]
    reseal(path, components={**components, "config": {**components["config"], "layers": "0-1"}})


HARMS: dict[str, Harm] = {
    "a flipped bit in a shard": lambda there: flip(shard(there)),
    "a shard cut short": lambda there: os.truncate(shard(there), 5),
    "a longer shard": lambda there: shard(there).open("ab").write(b"x"),
    "no shard": lambda there: shard(there).unlink(),
    "a link": linked,
    "a flipped bit in a manifest": lambda there: flip(manifest(there)),
    "no manifest": lambda there: manifest(there).unlink(),
    "a file outside": escaping,
    "an exabyte": enormous,
    "a flipped bit in an artifact": lambda there: flip(artifact(there)),
    "no artifact": lambda there: artifact(there).unlink(),
    "exchanged artifacts": lambda there: exchange(artifact(there), artifact(there, "activations")),
    "exchanged refs": lambda there: exchange(ref(there), ref(there, "activations")),
    "a ref to another phase": lambda there: reseal(
        ref(there), artifact=there.artifact("prompts").key, content=there.artifact("prompts").content
    ),
    "exchanged rows": wrong_rows,
    "another key's components": made_otherwise,
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_what_is_damaged_there_stays_there(workspace, mine, tmp_path, harm):
    """It is named with the place, nothing of it gets a name here, and everything sound arrives."""
    before = files(tmp_path / "work")
    harm(workspace)
    outside = {path for path in files(tmp_path) if not path.startswith(("mine", "work"))}
    came = pull(mine, str(workspace.store))
    assert came.code == 1, came
    assert_told(came, workspace)
    assert f"{PROFILE}/{BEHAVIOUR}/{PHASE}" not in came.json["refs"]
    assert f"{PROFILE}/{BEHAVIOUR}/prompts" in came.json["refs"]
    assert mine.verify("--deep").json["damaged"] == []
    assert {path for path in files(tmp_path) if not path.startswith(("mine", "work"))} == outside
    assert before.keys() | {"elsewhere"} >= {
        path for path in files(tmp_path / "work") if "/pieces/" not in path
    }


def test_a_build_takes_no_artifact_of_another_key_from_upstream(workspace, mine):
    """It is named, and made from cells that come by their own keys."""
    made_otherwise(workspace)
    outcome = mine.build("--upstream", workspace.store)
    assert outcome.code == 0 and "components that give its key" in outcome.err
    assert mine.verify("--deep").json["damaged"] == []
    assert mine.artifact(PHASE).components.config.get("layers") != "0-1"


def assert_told(came: Outcome, there: Workspace) -> None:
    """Something failed, and what is told names no scratch."""
    problems = [failed["problem"] for failed in came.json["failed"]]
    assert problems and not any("/tmp/" in each.replace(str(there.root), "") for each in problems), problems
    assert "Traceback" not in came.err


def test_damage_here_is_not_pushed(workspace, tmp_path):
    """Only what is sound travels, and what is damaged is named."""
    flip(shard(workspace))
    url = f"memory://{os.urandom(8).hex()}"
    sent = push(workspace, url)
    assert sent.code == 1 and len(sent.json["failed"]) == 1
    assert f"{PROFILE}/{BEHAVIOUR}/{PHASE}" not in sent.json["refs"]
    assert f"{PROFILE}/{BEHAVIOUR}/prompts" in sent.json["refs"]
    mine = empty(workspace, tmp_path / "mine")
    assert pull(mine, url).code == 0
    assert mine.verify("--deep").json["damaged"] == []


def test_another_format_is_refused(workspace, mine):
    """By pull, push and a build, before anything is written."""
    (workspace.store / "format.json").write_text('{"format": "circuitstore", "version": 3}')
    url = str(workspace.store)
    for outcome in (pull(mine, url), mine.build("--upstream", url)):
        assert "format version 1 or 2" in one_line_error(outcome, code=1)
        assert not mine.store.exists()


def test_folders_without_end(workspace, mine):
    """Where records lie no deeper, nobody looks deeper."""
    deep = os.open(workspace.store / "refs", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("a", dir_fd=deep)
        below = os.open("a", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    assert pull(mine, str(workspace.store)).code == 0
    subprocess.run(["rm", "-rf", workspace.store / "refs"], check=True)


def test_a_zip_that_wants_out(workspace, mine, tmp_path):
    """Names that lead out of it are never asked for, and a bomb is not expanded."""
    url = tmp_path / "store.zip"
    assert push(workspace, str(url)).code == 0
    with zipfile.ZipFile(url, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../outside.json", "x")
        file.writestr("/absolute.json", "x")
        file.writestr("refs/../../../outside.json", "x")
        file.writestr(f"inputs/review/{PROFILE}/{BEHAVIOUR}/{'0' * 64}.json", bytes(1 << 29))
    before = {path for path in files(tmp_path) if not path.startswith("mine")}
    came = pull(mine, str(url))
    assert came.code == 1 and len(came.json["failed"]) == 1
    assert "268435456 bytes" in came.json["failed"][0]["problem"]
    assert len(came.json["refs"]) == len(names(Store(workspace.store))) >= 5
    assert {path for path in files(tmp_path) if not path.startswith("mine")} == before


def test_a_file_that_is_no_zip(mine, tmp_path):
    """One line says so."""
    (tmp_path / "store.zip").write_text("no zip")
    error = one_line_error(pull(mine, str(tmp_path / "store.zip")), code=1)
    assert "store.zip" in error
    shutil.rmtree(mine.root)
