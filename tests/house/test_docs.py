"""The documents, checked against the repository: what they name exists, and their lines are narrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "store/README.md")
PAGES = [*(ROOT / name for name in NAMED), *sorted((ROOT / "docs").glob("*.md"))]
WIDTH = 110

FENCE = "```"
LINK = re.compile(r"\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`]+)`")
FOLDERS = r"(?:bench|circuitstore|docs|examples|recipes|store|tasks|tests)"
FILE = re.compile(rf"(?<![\w./-]){FOLDERS}/[\w./-]*\.(?:py|md|toml|png)\b")
FOLDER = re.compile(rf"{FOLDERS}(?:/[a-z0-9_]+)*/?")
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b(?!\.md)")  # NAME in tasks/NAME.py


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """(line number, line) of a page, without code blocks and tables."""
    fenced = after_blank = indented = False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith(FENCE):
            fenced = not fenced
        elif not fenced:
            indented = line.startswith("    ") and (after_blank or indented)
            if not indented and not line.startswith("|"):
                yield number, line
        after_blank = not line.strip()


def paths(text: str) -> set[str]:
    """Files and folders of the repository that a text names, as paths from its top."""
    files = {match[0] for match in FILE.finditer(text)}
    folders = {span for span in SPAN.findall(text) if "/" in span and FOLDER.fullmatch(span)}
    return {path for path in files | folders if not PLACEHOLDER.search(path)}


def test_a_path_in_a_text_is_recognised() -> None:
    """The pattern reads files anywhere, folders in code spans, and leaves placeholders and commands alone."""
    text = "`tasks/drawing/` and tests/house/test_docs.py; not `tasks/NAME.py` or `objects/3f/`"
    assert paths(text) == {"tasks/drawing/", "tests/house/test_docs.py"}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link in a document names a file or folder of the repository."""
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """Whoever opens a file that a document names finds it."""
    assert sorted(path for path in paths(page.read_text()) if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_lines_are_narrow(page: Path) -> None:
    """Outside tables and code, a line of a document has at most 110 columns."""
    assert [(number, len(line)) for number, line in prose(page) if len(line) > WIDTH] == []
