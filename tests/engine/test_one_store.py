"""One store is all hits, whoever looks at it: other Pythons, users, paths, locales, line endings.

A build with nothing to do needs click, msgspec and PyYAML, and neither torch nor numpy. Interpreters that
lack them are passed over; the variable CIRCUITSTORE_PYTHONS names others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pythons import MINORS, NAMED, interpreters, with_packages
from workspace import MODEL, PHASES, TRANSCODERS, Workspace

NOBODY = 65534
# A user may not read this interpreter's own files, so the first of two builds loads all modules.
AS_NOBODY = f"""
import os, sys
from circuitstore import command, memo
words = sys.argv[1:]
assert command.main(words) == 0
memo.shared.cache_clear()
sys.stdout.flush()
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
os.environ["CIRCUITSTORE_CACHE"] = os.environ["HOME"] = "/nonexistent"
os.umask(0o077)
print()
sys.exit(command.main(words))
"""
SETTINGS = {
    "locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "plain locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "hash seed": {"PYTHONHASHSEED": "12345"},
    "time zone": {"TZ": "Pacific/Kiritimati"},
    "optimised": {"PYTHONOPTIMIZE": "2"},
}


@pytest.fixture(scope="module")
def elsewhere(built_once, pristine_tree) -> Iterator[Workspace]:
    """The store, the inputs and the code at another path, which every user may read."""
    with tempfile.TemporaryDirectory(prefix="one-store-") as folder:
        top = Path(folder)
        shutil.copytree(pristine_tree, top / "code")
        for name, source in (("weights", MODEL), ("coders", TRANSCODERS)):
            shutil.copytree(source, top / name)
        made = built_once.copy(top / "work of others")
        made.write_profile(top / "weights", top / "coders")
        for path in (top, *top.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield made


def look(work: Workspace, *python: str, extra: tuple[str, ...] = (), **variables: str) -> list[dict]:
    """`build` of all that is there, by the code beside the workspace: what it says of each phase."""
    code = work.root.parent / "code"
    with tempfile.TemporaryDirectory() as cache:
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {"CIRCUITSTORE_CACHE": cache, "PYTHONPATH": str(code), **variables}
        words = map(str, ("build", PHASES[-1], *work.selection, "--json", *extra))
        command = [*(python or (sys.executable, str(code / "cli.py"))), *words]
        done = subprocess.run(
            command, cwd=work.root, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["phases"]


def all_hits(rows: list[dict]) -> None:
    """Every phase is there, and nothing was computed."""
    assert {row["phase"] for row in rows} == set(PHASES)
    assert [row for row in rows if row["computed"] or row["hits"] != row["cells"]] == []


@pytest.mark.parametrize("minor", MINORS)
def test_under_every_version_of_python(elsewhere, minor):
    """3.11, 3.12 and 3.13, with what they need for it alone."""
    usable = [python for python in (sys.executable, *interpreters()) if with_packages(python, minor)]
    if not usable:
        pytest.skip(f"no Python 3.{minor} with click, msgspec and PyYAML here; name one in {NAMED}")
    all_hits(look(elsewhere, usable[0], str(elsewhere.root.parent / "code" / "cli.py")))


@pytest.mark.parametrize("setting", SETTINGS)
def test_whatever_the_process_is_told(elsewhere, setting):
    """Locale, hash seed, time zone."""
    all_hits(look(elsewhere, **SETTINGS[setting]))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else")
def test_as_another_user(elsewhere):
    """Who may read everything and write nothing, with another umask, a home that is not there, no cache."""
    before = {path: path.stat().st_mtime_ns for path in elsewhere.store.rglob("*")}
    all_hits(look(elsewhere, sys.executable, "-c", AS_NOBODY))
    assert {path: path.stat().st_mtime_ns for path in elsewhere.store.rglob("*")} == before


def test_with_other_line_endings(elsewhere, tmp_path):
    """CRLF in prompts, profile, code, and in the configurations of model, tokenizer and transcoders."""
    top = Path(shutil.copytree(elsewhere.root.parent, tmp_path / "checkout"))
    work = Workspace(top / elsewhere.root.name)
    work.write_profile(top / "weights", top / "coders")
    changed = []
    for path in sorted(
        path for path in top.rglob("*") if path.suffix in (".py", ".toml", ".jsonl", ".json", ".yaml")
    ):
        if work.store in path.parents or path.name == "tokenizer.json":
            continue  # what a program wrote and no editor opens
        text = path.read_bytes()
        path.write_bytes(text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        changed.append(path.name)
    assert {
        "config.json",
        "tokenizer_config.json",
        "config.yaml",
        "mine.jsonl",
        "small.toml",
        "keys.py",
    } <= set(changed)
    all_hits(look(work))


def test_a_change_is_no_hit(elsewhere, tmp_path):
    """The same look at another prompt finds that something is missing."""
    top = Path(shutil.copytree(elsewhere.root.parent, tmp_path / "changed"))
    work = Workspace(top / elsewhere.root.name)
    work.write_prompts({"a": "the keys to the cabin"})
    rows = look(work, extra=("--dry-run",))
    assert {row["state"] for row in rows} == {"stale"}
