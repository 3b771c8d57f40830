"""Answers: what a language model behind an endpoint said to a question.

They are an input that lies in the store, because nobody can compute one again: the model behind a name
changes, and sampling is not reproducible.

One sealed record a question, written once and never replaced:

    inputs/answers/<sha256 of the question>.json

The question is all that is sent: the model's name, the messages and the sampling settings. Where it is sent
to, and with which key, is no part of it.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import msgspec

from circuitstore.storage.layout import Store
from circuitstore.storage.records import expect, read_record, seal, write_record

FOLDER = ("inputs", "answers")


class Answer(msgspec.Struct, frozen=True):
    """One question, as it was sent, and the text that came back."""

    question: dict[str, Any]
    answer: str
    time_ns: int


def find_answer(store: Store, question: dict[str, Any]) -> str | None:
    """The answer to a question that was asked before, else None. Raises DamageError."""
    try:
        return read_answer(store, _path(store, question)).answer
    except FileNotFoundError:
        return None


def keep_answer(store: Store, question: dict[str, Any], answer: str) -> None:
    """Publish the answer to a question. Raises StoreError."""
    write_record(store, _path(store, question), Answer(question, answer, time.time_ns()))


def read_answer(store: Store, path: str) -> Answer:
    """The answer in a file, which must be named by its question. Raises FileNotFoundError, DamageError."""
    answer = read_record(store, path, Answer)
    expect(path, "question", os.path.basename(path), os.path.basename(_path(store, answer.question)))
    return answer


def _path(store: Store, question: dict[str, Any]) -> str:
    return store.path(*FOLDER, hashlib.sha256(seal(question)).hexdigest() + ".json")
