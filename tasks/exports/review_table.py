"""Labels that people give features, as a table to edit.

They are shown beside the units of phase `interpretation`.

A CSV file opens in any spreadsheet. The reviewer fills `reviewer_label` and, if need be, `note`. The other
columns are there to read, and all but `layer` and `feature` may be deleted. A table that is exported again
carries the labels so far, once to be edited and once as they are (`label_before`, `note_before`). Only what
was edited is stored under the new author, and nothing where somebody else has labelled the same meanwhile.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import circuitstore.results.open as results
from circuitstore.errors import InputError, UsageError, some_of
from circuitstore.results.defaults import profile_name
from circuitstore.results.find import find
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name
from circuitstore.storage.reviews import Label, Labels, Review, Reviewed, labels_of, write_review

if TYPE_CHECKING:
    import xarray as xr

PHASE = "interpretation"
VARIABLES = ("reviewer_label", "reviewer", "reviewer_note")
NEEDED = ("layer", "feature", "reviewer_label", "note")
SHOWN = ("label", "confidence", "active_prompts", "promoted", "suppressed", "examples")
BEFORE = ("label_before", "note_before")
COLUMNS = ("layer", "feature", *SHOWN, "reviewer_label", "note", *BEFORE)
EXAMPLES, LISTED = 3, 20
# With these, or with their full-width forms, the formulas of a spreadsheet begin; and the mark of `escaped`.
FORMULA = tuple("=+-@\t\r\n＝＋－＠'")


def shown(store: Store, name: Name, artifact: Artifact, dataset: xr.Dataset) -> xr.Dataset:
    """The dataset of phase `interpretation` with the labels that count now.

    Adds reviewer_label, reviewer, reviewer_note (unit,) text, "" where there is none. Raises DamageError.
    """
    import numpy as np

    labels = labels_of(store, name.profile, name.behaviour, transcoders_of(artifact))
    units = zip(dataset.layer.values.tolist(), dataset.feature.values.tolist(), strict=True)
    none = Label("", "", "")
    rows = [labels.get(unit, none) for unit in units]
    columns = ([row.label for row in rows], [row.author for row in rows], [row.note for row in rows])
    arrays = zip(VARIABLES, (np.array(column, dtype=str) for column in columns), strict=True)
    return dataset.assign({variable: ("unit", array) for variable, array in arrays})


def write_table(path: str, *, behaviour: str, profile: str | None, store: str, top: int) -> int:
    """Write a table of features by layer and feature; returns how many.

    It holds the `top` features of most activation (all when 0) and those already labelled.

    Raises UsageError when the file is there already (it may have been edited), MissingError when nothing is
    built, InputError.
    """
    dataset: Any = results.open(PHASE, behaviour=behaviour, profile=profile, store=store)
    texts = _texts(behaviour, profile, store)
    activation = dataset.mean_activation.values * dataset.active_prompts.values
    chosen = set((-activation).argsort(kind="stable")[: top or None].tolist())
    chosen.update(i for i, label in enumerate(dataset.reviewer_label.values) if label)
    try:
        with open(path, "x", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows(map(escaped, _rows(dataset, texts, sorted(chosen))))
    except FileExistsError:
        remedy = "name another, or import it first"
        got = "one that is there already"
        raise UsageError(path, expected="a new file", got=got, remedy=remedy) from None
    except OSError as error:
        raise InputError(path, expected="a place to write to", got=error.strerror or error) from error
    return len(chosen)


def escaped(row: Sequence[Any]) -> list[Any]:
    """The cells of a row, none of which is a formula to a spreadsheet: an apostrophe goes before such text.

    It also goes before text that begins with an apostrophe, so that `unescaped` gives back what it was.
    Source: OWASP, "CSV Injection".
    """
    return [f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA else cell for cell in row]


def unescaped(cell: str) -> str:
    """A cell without the apostrophe that `escaped` put before it."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in FORMULA else cell


def _rows(dataset: Any, texts: dict[str, str], chosen: list[int]) -> list[tuple[Any, ...]]:
    """The cells of the table, a row for each of the chosen units."""
    tokens = dict(zip(dataset.token.values.tolist(), dataset.token_text.values.tolist(), strict=True))
    units = dataset.isel(unit=chosen).load()
    top = [units[f"top_{part}"].values[:, :EXAMPLES] for part in ("prompt", "token", "position")]
    rows = []
    for i in range(len(chosen)):
        unit = units.isel(unit=i)
        moved = [
            " ".join(repr(tokens[token]) for token in unit[f"{kind}_token"].values.tolist())
            for kind in ("promoted", "suppressed")
        ]
        peaks = zip(*(column[i].tolist() for column in top), strict=True)
        examples = " | ".join(f"{texts[prompt]} [{tokens[t]!r} at {at}]" for prompt, t, at in peaks if prompt)
        facts = unit.label.item(), f"{unit.confidence.item():.3f}", unit.active_prompts.item()
        said = unit.reviewer_label.item(), unit.reviewer_note.item()
        rows.append((unit.layer.item(), unit.feature.item(), *facts, *moved, examples, *said, *said))
    return rows


def store_table(
    path: str, *, behaviour: str, profile: str | None, store: str, author: str
) -> tuple[int, str]:
    """Store what is new in an edited table; (number of labels, path of the record, "" when nothing is new).

    Raises InputError listing every bad line, or every feature that was labelled since the table was exported;
    UsageError for an empty author, MissingError, StoreError.
    """
    if not author.strip():
        raise UsageError("--author", expected="a name", got=repr(author))
    opened, artifact, labels = _known(behaviour, profile, store)
    dataset: Any = results.open(PHASE, behaviour=behaviour, profile=profile, store=store)
    units = set(zip(dataset.layer.values.tolist(), dataset.feature.values.tolist(), strict=True))
    new, before = [row for row in read_table(path, units) if _differs(row, labels)], _before(path)
    new = [row for row in new if before.get((row.layer, row.feature)) != (row.label, row.note)]
    _refuse_late(path, new, before, labels)
    if not new:
        return 0, ""
    review = Review(
        profile_name(profile), behaviour, author.strip(), time.time_ns(), transcoders_of(artifact), new
    )
    return len(new), os.path.relpath(write_review(opened, review), opened.root)


def read_table(path: str, units: set[tuple[int, int]]) -> list[Reviewed]:
    """The labelled rows of a table about these (layer, feature) units.

    Raises InputError with every bad line and its reason.
    """
    rows: list[Reviewed] = []
    problems: list[str] = []
    seen: dict[tuple[int, int], int] = {}
    for line, cells in _lines(path):
        try:
            unit = int(cells["layer"]), int(cells["feature"])
        except ValueError:
            wrong = " and ".join(
                f"{name} {cells[name]!r}" for name in NEEDED[:2] if not cells[name].strip().isdecimal()
            )
            problems.append(f"line {line}: {wrong or 'layer and feature'} is not a number")
            continue
        if unit not in units:
            problems.append(f"line {line}: layer {unit[0]} feature {unit[1]} is not active in this behaviour")
        if unit in seen:
            problems.append(f"line {line}: the same feature as line {seen[unit]}")
        seen.setdefault(unit, line)
        label, note = (unescaped(cells[name].strip()) for name in ("reviewer_label", "note"))
        if note and not label:
            problems.append(f"line {line}: a note but no label")
        if label:
            rows.append(Reviewed(*unit, label, note))
    if not rows and not problems:
        problems.append("no label in any line")
    _refuse(path, problems)
    return rows


def _lines(path: str) -> list[tuple[int, dict[str, str]]]:
    """(line number, cells by column) of a table whose columns are right."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # spreadsheets put a mark in front
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            lines, start = [], reader.line_num + 1
            for cells in reader:
                lines.append((start, cells))
                start = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(path, expected="a readable CSV file in UTF-8", got=got) from error
    problems = [f"line 1: no column {name}" for name in NEEDED if name not in header]
    problems += [f"line 1: unknown column {name!r}" for name in header if name not in COLUMNS]
    problems += [f"line 1: column {name} twice" for name in dict.fromkeys(header) if header.count(name) > 1]
    filled = [(line, cells) for line, cells in lines if any(cell.strip() for cell in cells)]
    problems += [
        f"line {line}: {len(cells)} cells, not {len(header)}"
        for line, cells in filled
        if len(cells) != len(header)
    ]
    _refuse(path, problems)
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in filled]


def _refuse(path: str, problems: list[str]) -> None:
    if problems:
        expected = "a table of `review export`, edited"
        raise InputError(path, expected=expected, got=some_of(problems, LISTED))


def _before(path: str) -> dict[tuple[int, int], tuple[str, str]]:
    """(layer, feature) → label and note when the table was exported, if it still has these columns."""
    return {
        (int(cells["layer"]), int(cells["feature"])): (
            unescaped(cells["label_before"].strip()),
            unescaped(cells["note_before"].strip()),
        )
        for _, cells in _lines(path)
        if cells.keys() >= {*BEFORE}
    }


def _refuse_late(
    path: str, new: list[Reviewed], before: dict[tuple[int, int], tuple[str, str]], labels: Labels
) -> None:
    late = []
    for row in new:
        unit, now = (row.layer, row.feature), labels.get((row.layer, row.feature), Label("", "", ""))
        if unit in before and before[unit] != (now.label, now.note):
            late.append(f"layer {row.layer} feature {row.feature}: {now.label!r} by {now.author}")
    if late:
        expected = "features that nobody labelled since this table was exported"
        remedy = "export again, and enter there what you decide"
        raise InputError(path, expected=expected, got=some_of(late, LISTED), remedy=remedy)


def _known(behaviour: str, profile: str | None, store: str) -> tuple[Store, Artifact, Labels]:
    """The store, the newest interpretation in it, and the labels so far."""
    opened = Store(store).check()
    name = profile_name(profile)
    artifact = find(opened, profile, behaviour, PHASE)[behaviour]
    return opened, artifact, labels_of(opened, name, behaviour, transcoders_of(artifact))


def transcoders_of(artifact: Artifact) -> dict[str, Any]:
    """The identity of the transcoders whose features an artifact is about."""
    return artifact.components.resources["transcoders"]


def _differs(row: Reviewed, labels: Labels) -> bool:
    known = labels.get((row.layer, row.feature))
    return known is None or (known.label, known.note) != (row.label, row.note)


def _texts(behaviour: str, profile: str | None, store: str) -> dict[str, str]:
    prompts: Any = results.open("prompts", behaviour=behaviour, profile=profile, store=store)
    return dict(zip(prompts.prompt.values.tolist(), prompts.text.values.tolist(), strict=True))
