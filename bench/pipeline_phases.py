"""Phases built by the pipeline's own code in one process, each beside what `plan` says of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from circuitstore import pipeline
from circuitstore.command import options
from circuitstore.engine.planner import Step
from circuitstore.engine.runner import Options, PhaseReport, build
from tasks.costs.formulas import FORMULAS
from tasks.costs.job import Job
from tasks.costs.shapes import sizes

GOAL = "interventions"
DEVICE = "h100"  # whose data sheet `plan` reckons with; the floors are of rates that were measured


class _Watch:
    """Notes the seconds of each phase, and the most memory of the device that it took."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def begin(self, step: Step) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self.started = time.perf_counter()

    def progress(self, cells: int) -> None: ...

    def warn(self, text: str) -> None:
        print(text, flush=True)

    def note(self, text: str) -> None:
        print(text, flush=True)

    def end(self, report: PhaseReport) -> None:
        if not report.computed:
            return
        row: dict[str, Any] = {"phase": report.phase, "cells": report.computed}
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            row["device GB"] = torch.cuda.max_memory_allocated() / 1e9
        row["seconds"] = time.perf_counter() - self.started
        self.rows[report.phase] = row


def phases(profile: Path, store: Path, prompts: int, rate: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Build everything up to `GOAL` for so many prompts of `plural`; yields a row for each phase."""
    settings = (f"prompts.train={prompts}", "prompts.test=0", "circuit.min_prompts=3")
    selections = options.selections(str(profile), ("plural",), None, settings, (GOAL,))
    planner = options.planner(str(store))
    tasks = planner.pipeline.closure((GOAL,))
    planned = {cost.phase: cost for cost in pipeline.services().plan(selections, tasks, DEVICE).phases}
    known = sizes(selections[0].profile_name, selections[0].profile)
    watch = _Watch()
    build(planner, selections, (GOAL,), watch, Options(ignore_gate=True))
    for task in tasks:
        row, plan = watch.rows[task.name], planned[task.name]
        work = FORMULAS[task.name].work(Job(selections[0], known, task, DEVICE))
        row["floor of products s"] = sum(
            one.times * one.flop / rate[f"{'float32' if one.dtype == 'float32' else 'bfloat16'} FLOP/s"]
            for one in work.products
        )
        row["floor of reading s"] = work.files / rate["from host B/s"] + sum(
            one.times * one.read / rate["memory B/s"] for one in work.products
        )
        row["planned s"], row["planned device GB"] = plan.seconds, (plan.device_bytes or 0) / 1e9
        yield row
