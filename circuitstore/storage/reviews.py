"""Reviews: what people call features.

They are an input that lies in the store, because no computation can give them back.

One sealed record an import, named by its own sha256, written once and never replaced, removed or recomputed:

    inputs/review/PROFILE/BEHAVIOUR/<sha256>.json

For a feature the newest import counts; the earlier ones stay. A label belongs to a feature of certain
transcoders: under the same profile name, those of others are kept but not shown.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import msgspec

from circuitstore.storage.layout import Store, safe_name
from circuitstore.storage.records import expect, read_named, record_paths, seal, write_record

FOLDER = ("inputs", "review")


class Reviewed(msgspec.Struct, frozen=True):
    """What one reviewer says of one feature."""

    layer: int
    feature: int
    label: str
    note: str = ""


class Review(msgspec.Struct, frozen=True):
    """One import.

    `transcoders` is the identity of those whose features these are, as in an artifact's components.
    """

    profile: str
    behaviour: str
    author: str
    time_ns: int
    transcoders: dict[str, Any]
    features: list[Reviewed]


class Label(msgspec.Struct, frozen=True):
    """The label of a feature that counts now."""

    label: str
    author: str
    note: str


Labels = dict[tuple[int, int], Label]  # by (layer, feature)


def write_review(store: Store, review: Review) -> str:
    """Publish one import; returns its path.

    It is newer than all that are there, whatever the clock of this machine says. Raises StoreError,
    UsageError (names that no path may have), DamageError.
    """
    newest = max((each.time_ns for each, _ in _reviews(store, review.profile, review.behaviour)), default=0)
    review = msgspec.structs.replace(review, time_ns=max(review.time_ns, newest + 1))
    name = hashlib.sha256(seal(review)).hexdigest()
    path = os.path.join(store.reviews(review.profile, review.behaviour), name + ".json")
    write_record(store, path, review)
    return path


def read_review(store: Store, path: str) -> Review:
    """The import in a file, which must be of the profile and behaviour whose folder it lies in.

    Raises FileNotFoundError, DamageError.
    """
    review = read_named(store, path, Review)
    folder = os.path.dirname(path)
    expect(path, "behaviour", os.path.basename(folder), review.behaviour)
    expect(path, "profile", os.path.basename(os.path.dirname(folder)), review.profile)
    return review


def _reviews(store: Store, profile: str, behaviour: str) -> list[tuple[Review, str]]:
    """All imports of a behaviour and their paths, oldest first. Raises DamageError."""
    paths = record_paths(store, *FOLDER, safe_name(profile, "profile"), safe_name(behaviour, "behaviour"))
    return sorted(
        ((read_review(store, path), path) for path in paths), key=lambda pair: (pair[0].time_ns, pair[1])
    )


def labels_of(store: Store, profile: str, behaviour: str, transcoders: dict[str, Any]) -> Labels:
    """The labels that count for the features of these transcoders, in order of layer and feature.

    Raises DamageError.
    """
    newest: Labels = {}
    for review, _ in _reviews(store, profile, behaviour):
        if review.transcoders == transcoders:
            newest.update(
                {
                    (row.layer, row.feature): Label(row.label, review.author, row.note)
                    for row in review.features
                }
            )
    return dict(sorted(newest.items()))
