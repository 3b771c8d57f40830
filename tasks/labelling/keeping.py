"""Labels that were not written by people, kept among the reviews of a behaviour.

What a person said of a feature stays: such features are left out. A label counts as a machine's if its
author begins with `MACHINE`.
"""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

import circuitstore.results.open as results
from circuitstore.results.defaults import profile_name
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named
from circuitstore.storage.reviews import Labels, Review, Reviewed, labels_of, write_review

PHASE = "interpretation"
MACHINE = "machine: "


class Subject(NamedTuple):
    """The features of a behaviour: its store and profile, the units in it, and their labels so far."""

    store: Store
    profile: str
    behaviour: str
    units: Any  # the dataset of phase `interpretation`
    transcoders: dict[str, Any]
    labels: Labels

    def ids(self) -> list[tuple[int, int]]:
        """(layer, feature) of each unit."""
        return list(zip(self.units.layer.values.tolist(), self.units.feature.values.tolist(), strict=True))

    def by_people(self) -> set[tuple[int, int]]:
        """The features that a person labelled."""
        return {unit for unit, label in self.labels.items() if not label.author.startswith(MACHINE)}


def subject(behaviour: str, profile: str | None, store: str) -> Subject:
    """The features of a behaviour. Raises MissingError where it is not interpreted, StoreError."""
    opened, name = Store(store).check(), profile_name(profile)
    artifact = named(opened, Name(name, behaviour, PHASE))
    transcoders = artifact.components.resources["transcoders"]
    units = results.open(PHASE, behaviour=behaviour, profile=profile, store=store)
    labels = labels_of(opened, name, behaviour, transcoders)
    return Subject(opened, name, behaviour, units, transcoders, labels)


def keep(about: Subject, source: str, rows: list[Reviewed]) -> tuple[int, str]:
    """Store the labels that are new or changed; (number of labels, path of the record, "" for none)."""
    author, spoken = MACHINE + source, about.by_people()
    unspoken = [row for row in rows if (row.layer, row.feature) not in spoken]
    new = [row for row in unspoken if _differs(row, author, about.labels)]
    if not new:
        return 0, ""
    review = Review(about.profile, about.behaviour, author, time.time_ns(), about.transcoders, new)
    return len(new), os.path.relpath(write_review(about.store, review), about.store.root)


def _differs(row: Reviewed, author: str, labels: Labels) -> bool:
    known = labels.get((row.layer, row.feature))
    return known is None or (known.label, known.author, known.note) != (row.label, author, row.note)
