"""How good the transcoders of a profile are, measured on a file of texts and kept like everything else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import circuitstore.results.open as results
from circuitstore import pipeline
from circuitstore.results.asking import Heard, Path
from circuitstore.results.defaults import profile_argument, store_path, upstream_urls

if TYPE_CHECKING:
    import xarray as xr


def audit(
    texts: Path,
    *,
    profile: Path | None = None,
    store: Path | None = None,
    settings: Sequence[str] = (),
) -> xr.Dataset:
    """How good the transcoders of a profile are on `texts`, a file with one text a line.

        cs.audit("texts.txt", profile="qwen3-4b", settings=["activations.layers=all"])

    Variables: explained_variance, normalised_mse, l0 and dead (layer,) of the layers in use; agreement and
    divergence (nats) of the model in which they replace all MLPs; hook_explained_variance (hook, layer), at
    the hooks that are stated, which come first, and at all others, with hook_warning if another pair fits far
    better; edge_ratio (size, quantile), edges in bfloat16 as multiples of those in float32, by their size.
    docs/audit.md says what each is. Raises UsageError, InputError, ModelError, StoreError, BuildError.
    """
    from circuitstore.engine.planner import Planner
    from circuitstore.engine.runner import Options, build
    from circuitstore.storage.layout import Store
    from circuitstore.storage.refs import Name

    phase = pipeline.services().audit
    words = (f"texts.path={os.path.abspath(os.fspath(texts))}", *settings)
    select = pipeline.services().settings.select
    (selection,) = select(profile_argument(profile), (), None, words, (phase,))
    opened = Store(store_path(store), upstream_urls()).check_or_new()
    planner, heard = Planner(pipeline.load(), opened), Heard()
    build(planner, [selection], (phase,), heard, Options(must_name=False))
    name = Name(selection.profile_name, selection.behaviour, phase)
    return results.open_key(opened, name, heard.reports[-1].artifact)
