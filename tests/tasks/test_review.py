"""Manual review: labels are shown and kept, and a table that is wrong is refused with every reason."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from interpreted import Interpreted
from workspace import BEHAVIOUR, PROFILE, Outcome, one_line_error, run

from circuitstore.errors import DamageError, InputError
from circuitstore.storage.layout import Store
from circuitstore.storage.reviews import Label, labels_of
from tasks.exports.review_table import escaped, read_table, unescaped


@pytest.fixture
def reviewing(interpreted) -> Iterator[Interpreted]:
    """The store, without reviews before and after."""
    yield interpreted
    for path in reviews(interpreted):
        path.unlink()


def reviews(store: Interpreted) -> list[Path]:
    """The files of all imports."""
    return sorted(Path(Store(store.store).reviews(PROFILE, BEHAVIOUR)).glob("*.json"))


def where(store: Interpreted) -> list[object]:
    """The options that name a behaviour in a store."""
    return ["-b", BEHAVIOUR, "--store", store.store, "--profile", store.profile]


def edited(store: Interpreted, path: Path, labels: dict[int, tuple[str, str]]) -> list[dict]:
    """Export a table, write labels into some rows (row → label, note), and save it."""
    assert run("review", "export", path, *where(store), "--top", 10).code == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for i, (label, note) in labels.items():
        rows[i].update(reviewer_label=label, note=note)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return rows


def imported(store: Interpreted, path: Path, author: str) -> Outcome:
    """Import a table."""
    outcome = run("review", "import", path, *where(store), "--author", author)
    assert outcome.code == 0, outcome.err
    return outcome


def shown(store: Interpreted) -> dict[tuple[int, int], tuple[str, str, str]]:
    """The reviews that `cs.open` shows."""
    columns = ("layer", "feature", "reviewer_label", "reviewer", "reviewer_note")
    data = store.open()
    rows = zip(*(data[name].values.tolist() for name in columns), strict=True)
    return {(layer, feature): (label, author, note) for layer, feature, label, author, note in rows if label}


def test_a_review_is_shown_and_kept(reviewing, tmp_path):
    """The newest import of a feature counts, earlier ones are kept, and the same again stores nothing."""
    assert shown(reviewing) == {}
    rows = edited(reviewing, tmp_path / "a.csv", {0: ("plural, noun", ""), 3: ("„verb“", "see p. 3")})
    unit = [(int(row["layer"]), int(row["feature"])) for row in rows]
    imported(reviewing, tmp_path / "a.csv", "Ada")
    assert shown(reviewing) == {unit[0]: ("plural, noun", "Ada", ""), unit[3]: ("„verb“", "Ada", "see p. 3")}
    rows = edited(reviewing, tmp_path / "b.csv", {3: ("verb", ""), 5: ("new", "")})
    assert rows[0]["reviewer_label"] == "plural, noun"
    imported(reviewing, tmp_path / "b.csv", "Bo")
    expected = {unit[0]: ("plural, noun", "Ada", ""), unit[3]: ("verb", "Bo", ""), unit[5]: ("new", "Bo", "")}
    assert shown(reviewing) == expected
    assert len(reviews(reviewing)) == 2
    assert "nothing new" in imported(reviewing, tmp_path / "b.csv", "Cy").err
    assert len(reviews(reviewing)) == 2


def test_two_who_label_at_once_lose_nothing(reviewing, tmp_path):
    """Bo exported before Ada's import: it stays where Bo edited other features, and where both edited one."""
    edited(reviewing, tmp_path / "first.csv", {0: ("first", "")})
    imported(reviewing, tmp_path / "first.csv", "Ada")
    edited(reviewing, tmp_path / "a.csv", {0: ("better", "")})
    rows = edited(reviewing, tmp_path / "b.csv", {1: ("other", "")})
    edited(reviewing, tmp_path / "c.csv", {0: ("mine", ""), 2: ("more", "")})
    imported(reviewing, tmp_path / "a.csv", "Ada")
    imported(reviewing, tmp_path / "b.csv", "Bo")
    unit = [(int(row["layer"]), int(row["feature"])) for row in rows]
    expected = {unit[0]: ("better", "Ada", ""), unit[1]: ("other", "Bo", "")}
    assert shown(reviewing) == expected
    outcome = run("review", "import", tmp_path / "c.csv", *where(reviewing), "--author", "Cy")
    assert "'better' by Ada" in one_line_error(outcome, code=1) and "export again" in outcome.err
    assert shown(reviewing) == expected and len(reviews(reviewing)) == 3


def test_importing_leaves_the_analysis_fresh(reviewing, tmp_path):
    """`explain` has nothing to build, and what phases read as `review` is the new label."""
    key = reviewing.artifact("interpretation").key
    rows = edited(reviewing, tmp_path / "a.csv", {1: ("mine", "")})
    imported(reviewing, tmp_path / "a.csv", "Ada")
    explained = run("explain", "interpretation", *reviewing.selection, "--json")
    assert {row["state"] for row in explained.json["phases"]} == {"fresh"}
    assert reviewing.artifact("interpretation").key == key
    store = Store(reviewing.store)
    transcoders = reviewing.artifact("interpretation").components.resources["transcoders"]
    feature = int(rows[1]["layer"]), int(rows[1]["feature"])
    assert labels_of(store, PROFILE, BEHAVIOUR, transcoders) == {feature: Label("mine", "Ada", "")}


def test_analysing_again_loses_no_label(reviewing, tmp_path):
    """Results under other settings show the same labels."""
    edited(reviewing, tmp_path / "a.csv", {1: ("mine", "")})
    imported(reviewing, tmp_path / "a.csv", "Ada")
    reviewing.interpret("--set", "interpretation.fdr=0.2")
    labels = shown(reviewing)
    reviewing.interpret()
    assert list(labels.values()) == [("mine", "Ada", "")] and shown(reviewing) == labels


def test_labels_of_other_transcoders_are_not_shown(reviewing, tmp_path):
    """A label belongs to a feature of certain transcoders."""
    edited(reviewing, tmp_path / "a.csv", {1: ("mine", "")})
    imported(reviewing, tmp_path / "a.csv", "Ada")
    store = Store(reviewing.store)
    identity = reviewing.artifact("interpretation").components.resources["transcoders"]
    assert len(labels_of(store, PROFILE, BEHAVIOUR, identity)) == 1
    assert labels_of(store, PROFILE, BEHAVIOUR, {"files": {"layer_0.safetensors": "0" * 64}}) == {}


def test_a_damaged_review_is_named(reviewing, tmp_path):
    """A changed byte in a review is found by `verify`, and never shown as a label."""
    edited(reviewing, tmp_path / "a.csv", {1: ("mine", "")})
    imported(reviewing, tmp_path / "a.csv", "Ada")
    (path,) = reviews(reviewing)
    path.write_bytes(path.read_bytes().replace(b"mine", b"mime"))
    with pytest.raises(DamageError):
        reviewing.open()
    verified = run("verify", "--store", reviewing.store)
    assert verified.code == 1 and path.name in verified.out and not path.exists()


def test_an_export_never_overwrites(reviewing, tmp_path):
    """A table that is there may have been edited."""
    path = tmp_path / "a.csv"
    path.write_text("precious")
    assert run("review", "export", path, *where(reviewing)).code == 2
    assert path.read_text() == "precious"


def test_every_bad_line_is_reported_at_once(tmp_path):
    """With line number and reason; a quoted line break does not shift the numbers."""
    path = tmp_path / "bad.csv"
    path.write_text(
        'layer,feature,label,reviewer_label,note\n0,3,x,"two\nlines",\n0,4,x,ok,\n'
        "0,4,x,again,\nzero,5,x,label,\n0,99,x,label,\n1,2,x,,note only\n"
    )
    with pytest.raises(InputError) as caught:
        read_table(str(path), {(0, 3), (0, 4), (0, 5), (1, 2)})
    for reason in (
        "line 5: the same feature as line 4",
        "line 6: layer 'zero' is not a number",
        "line 7: layer 0 feature 99 is not active",
        "line 8: a note but no label",
    ):
        assert reason in str(caught.value)
    assert "line 2" not in str(caught.value) and "line 4:" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("layer,feature,note\n0,3,\n", "line 1: no column reviewer_label"),
        ("layer,feature,reviewer_label,note,mood\n0,3,a,,\n", "line 1: unknown column 'mood'"),
        ("layer,feature,reviewer_label,note\n0,3,a\n", "line 2: 3 cells, not 4"),
        ("layer,layer,feature,reviewer_label,note\n", "line 1: column layer twice"),
        ("layer,feature,reviewer_label,note\n0,3,,\n", "no label in any line"),
        ("", "line 1: no column layer"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, text, reason):
    """With the line and the reason."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_table(str(path), {(0, 3)})


def test_a_spreadsheets_mark_and_blank_lines_are_accepted(tmp_path):
    """A byte order mark is skipped; another encoding than UTF-8 is refused."""
    path = tmp_path / "good.csv"
    path.write_bytes("layer,feature,reviewer_label,note\r\n0,3, größe ,\r\n,,,\r\n".encode("utf-8-sig"))
    (row,) = read_table(str(path), {(0, 3)})
    assert (row.layer, row.feature, row.label, row.note) == (0, 3, "größe", "")
    path.write_bytes("layer,feature,reviewer_label,note\n0,3,größe,\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        read_table(str(path), {(0, 3)})


def test_the_newest_import_counts_whatever_the_clock_says(reviewing, tmp_path, monkeypatch):
    """With the clock set back a day, or at a standstill, what was imported last is shown."""
    first = edited(reviewing, tmp_path / "a.csv", {1: ("first", "")})[1]
    imported(reviewing, tmp_path / "a.csv", "Ada")
    unit = int(first["layer"]), int(first["feature"])
    now = time.time_ns()
    for number in range(3):
        monkeypatch.setattr(time, "time_ns", lambda: now - 86_400 * 10**9)
        edited(reviewing, tmp_path / f"{number}.csv", {1: (f"label {number}", "")})
        imported(reviewing, tmp_path / f"{number}.csv", "Bo")
        assert shown(reviewing)[unit] == (f"label {number}", "Bo", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_of_a_table_is_a_formula(start, tmp_path):
    """A spreadsheet runs what begins like one; labels come back as they were, whatever they begin with."""
    text = f'{start}HYPERLINK("http://x")'
    cells = escaped([1, 2, text, f"'{text}", "plain", "'quoted'"])
    assert cells[:2] == [1, 2] and cells[4] == "plain"
    assert all(cell[0] not in "=+-@\t\r＝" for cell in map(str, cells))
    assert [unescaped(cell) for cell in cells[2:]] == [text, f"'{text}", "plain", "'quoted'"]
