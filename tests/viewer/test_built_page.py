"""The page that is committed: made of the sources beside it, small, and allowed to run nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from workspace import ROOT

from circuitstore.viewer.page import built, page

VIEWER = ROOT / "circuitstore" / "viewer"


@pytest.mark.skipif(
    not (VIEWER / "node_modules").is_dir(), reason="run `npm ci` in circuitstore/viewer first"
)
def test_the_build_gives_the_committed_page(tmp_path):
    """Byte for byte, wherever it is made."""
    done = subprocess.run(
        [shutil.which("node") or "node", "build.mjs", str(tmp_path)],
        cwd=VIEWER,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in ("explorer.js", "explorer.css"):
        assert (tmp_path / name).read_bytes() == (VIEWER / "built" / name).read_bytes(), name


def test_the_script_and_the_style_are_small():
    """Before data, a page has little to load."""
    assert sum(map(len, built())) < 200_000


def test_the_policy_names_this_script_and_nothing_else():
    """The hashes are those of what stands in the page, and no source is open."""
    text = page("t", {}).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy


def test_nothing_of_the_web_is_named():
    """Neither a script nor a style that a browser would fetch."""
    script, style = built()
    assert "@import" not in style and "url(" not in style
    names = set(re.findall(r"https?://[\w.-]+", script))
    assert names <= {"http://www.w3.org"}  # of namespaces, which nobody fetches


HOSTILE = "</title></script><script>alert(1)</script>"


def test_names_cannot_leave_their_place():
    """A title, a key and a name of a file are text wherever they stand."""
    text = page(HOSTILE, {HOSTILE: b"x"}, HOSTILE, files={HOSTILE: HOSTILE}).decode()
    assert text.count("<script") == 2 and "alert(1)</script>" not in text.replace("&lt;", "<", 0)


def test_the_lock_file_names_no_registry():
    """Packages are named by version and hash."""
    text = (VIEWER / "package-lock.json").read_text()
    assert '"integrity"' in text and "resolved" not in text and "://registry" not in text


@pytest.mark.parametrize("file", sorted((VIEWER / "src").rglob("*.*s")), ids=lambda file: file.name)
def test_sources_are_short(file: Path):
    """Files of at most 300 lines, and lines of at most 110 columns, as everywhere."""
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300 and [i for i, line in enumerate(lines, 1) if len(line) > 110] == []
