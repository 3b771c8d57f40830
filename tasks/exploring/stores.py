"""What a store holds of a profile, in which state it is, and what anything was made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuitstore.engine.planner import Planner
from circuitstore.engine.task import Pipeline
from circuitstore.errors import CircuitstoreError
from circuitstore.results.folder import above
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named, names, read_ref
from tasks.exploring.graphs import asked_of
from tasks.exploring.phases import ATTRIBUTE, Built


def of_store(
    store: Store, profile: str, phases: Sequence[str], behaviours: tuple[str, ...]
) -> dict[str, Any]:
    """Every result that has a name under a profile, with its key, its content and when it was named.

    With `behaviours`, only theirs. Graphs of single texts are listed apart, the newest first.
    """
    rows: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    for name in names(store):
        ref = read_ref(store, name) if _wanted(name, profile, behaviours) else None
        if ref is None:
            continue
        if name.phase == ATTRIBUTE:
            asked = asked_of(named(store, name))
            texts.append({"name": name.behaviour, "time": ref.time_ns / 1e9, **asked})
        elif name.phase in phases:
            times = {"artifact": ref.artifact, "content": ref.content, "time": ref.time_ns / 1e9}
            rows.append({"behaviour": name.behaviour, "phase": name.phase, **times})
    return {
        "profile": profile,
        "profiles": sorted({name.profile for name in names(store)}),
        "phases": [phase for phase in phases if any(row["phase"] == phase for row in rows)],
        "behaviours": list(dict.fromkeys(row["behaviour"] for row in rows)),
        "rows": rows,
        "texts": sorted(texts, key=lambda text: -text["time"]),
    }


def status(pipeline: Pipeline, store: Store, profile: str, behaviour: str) -> dict[str, Any]:
    """The state of each phase and why, as `circuitstore status` says it.

    A behaviour of somebody's own prompts cannot be looked up without its file: then `unknown` says so.
    """
    services = pipeline.serves
    try:
        selections = services.settings.select(profile, (behaviour,), None, (), ())
        steps = [step for each in selections for step in Planner(pipeline, store).steps(each, pipeline.tasks)]
    except CircuitstoreError as error:
        return {"phases": [], "unknown": str(error)}
    rows = [
        {"phase": step.task.name, "state": step.state, "cells": step.count, "todo": len(step.todo)}
        | {"why": list(map(str, step.why))}
        for step in steps
    ]
    return {"phases": rows, "unknown": ""}


def provenance(built: Built, phase: str) -> dict[str, Any]:
    """A result and all above it: keys, contents, settings, code and resources, by hash."""
    artifact = built.artifact(phase)
    name = Name(built.profile, built.behaviour, phase)
    first = {"artifact": artifact.key, "content": artifact.content, "components": artifact.components}
    chain = {phase: first} | above(built.store, artifact, {})
    return {"name": str(name), "chain": chain}


def _wanted(name: Name, profile: str, behaviours: tuple[str, ...]) -> bool:
    return name.profile == profile and (not behaviours or name.behaviour in behaviours)
