"""Building from a script: what the command `build` does, without its words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from circuitstore import pipeline
from circuitstore.results.asking import Heard, Path
from circuitstore.results.defaults import profile_argument, store_path, upstream_urls
from circuitstore.results.which import as_words

if TYPE_CHECKING:
    from circuitstore.engine.runner import PhaseReport


class Built(list["PhaseReport"]):
    """What a build did: a report for each phase of each behaviour, in order. In a notebook it is a table.

    A report has phase, behaviour, cells, hits, computed, failed, seconds and artifact (its key).
    """

    def __repr__(self) -> str:
        lines = [f"{r.phase:<16} {r.behaviour:<12} {r.hits:>6} hits {r.computed:>6} computed" for r in self]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from circuitstore.results.html import build_table

        return build_table(self)


def build(
    *phases: str,
    behaviour: str | Sequence[str] = (),
    prompts: Path | None = None,
    profile: Path | None = None,
    store: Path | None = None,
    upstream: Path | Sequence[Path] = (),
    settings: Mapping[str, object] | Sequence[str] = (),
    jobs: int = 0,
    dask: str = "",
    keep_going: bool = False,
    ignore_gate: bool = False,
) -> Built:
    """Bring phases up to date (all when none is named) with all they need; only what is missing runs.

        cs.build("attribution", behaviour="plural")
        cs.build("figures", prompts="mine.jsonl", settings={"baseline.gate": 0.7})

    `behaviour` is one or several, all when none is named; `prompts` a file of your own instead. `settings`
    are {"phase.field": value}, or words as `--set` takes them. What the store lacks is taken from those of
    `upstream`, if they have it (`docs/sharing.md`). `jobs` are worker processes, and `dask`
    is the address of a scheduler of Dask, or "local" (`docs/cluster.md`). With `keep_going` a failure stops
    only what needs the failed phase, and `ignore_gate` goes on although the model does not show the
    behaviour.

    Raises what the command fails with: UsageError, InputError, StoreError, BuildError. What finished is kept.
    """
    from circuitstore.engine.planner import Planner
    from circuitstore.engine.runner import Options
    from circuitstore.engine.runner import build as run
    from circuitstore.storage.layout import Store

    behaviours = (behaviour,) if isinstance(behaviour, str) else tuple(behaviour)
    own = None if prompts is None else os.fspath(prompts)
    words = as_words(settings)
    planner = Planner(pipeline.load(), Store(store_path(store), upstream_urls(upstream)).check_or_new())
    select = pipeline.services().settings.select
    selections = select(profile_argument(profile), behaviours, own, words, phases)
    heard = Heard()
    run(planner, selections, phases, heard, Options(jobs, keep_going, ignore_gate, dask=dask))
    return Built(heard.reports)
