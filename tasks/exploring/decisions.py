"""A reviewer's decision on the label of one feature: stored as a review, unless somebody was faster."""

from __future__ import annotations

import time

from circuitstore.errors import UsageError
from circuitstore.storage import reviews
from circuitstore.viewer.server import Decision, Label
from tasks.exploring.phases import INTERPRETATION, Built
from tasks.exports.review_table import transcoders_of

LONGEST = 10_000  # characters of a label or a note


def decide(built: Built, decision: Decision, author: str) -> tuple[bool, Label]:
    """Store a decision; whether it was stored, and the label of the feature that counts now.

    It is not stored if the label is no longer the one that the reviewer saw: then both must be looked at.
    Raises UsageError for a feature that there is not, or a label that is empty or too long; StoreError.
    """
    where = f"layer {decision.layer} feature {decision.feature}"
    label, note = decision.label.strip(), decision.note.strip()
    if not label or max(len(label), len(note)) > LONGEST:
        got = f"{len(label)} and {len(note)}"
        raise UsageError(where, expected=f"a label, and at most {LONGEST} characters a text", got=got)
    if (decision.layer, decision.feature) not in built.unit:
        raise UsageError(where, expected=f"a feature that is active in {built.behaviour}")
    now = _now(built, decision)
    if (now.label, now.note) == (label, note):
        return True, now
    if now != decision.before:
        return False, now
    row = reviews.Reviewed(decision.layer, decision.feature, label, note)
    transcoders = transcoders_of(built.artifact(INTERPRETATION))
    review = reviews.Review(built.profile, built.behaviour, author, time.time_ns(), transcoders, [row])
    reviews.write_review(built.store, review)
    return True, _now(built, decision)


def _now(built: Built, decision: Decision) -> Label:
    """The label that counts now, with empty texts where there is none."""
    transcoders = transcoders_of(built.artifact(INTERPRETATION))
    labels = reviews.labels_of(built.store, built.profile, built.behaviour, transcoders)
    known = labels.get((decision.layer, decision.feature))
    return Label(known.label, known.author, known.note) if known else Label("", "", "")
