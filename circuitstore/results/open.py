"""Opening what was built: `circuitstore.open` and `circuitstore.refs`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from circuitstore import pipeline
from circuitstore.results.defaults import profile_name, store_path
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named, names

if TYPE_CHECKING:
    import xarray as xr


def refs(*, store: str | os.PathLike[str] | None = None, profile: str | None = None) -> list[tuple[str, str]]:
    """(behaviour, phase) of everything that is built for a profile. Raises StoreError."""
    wanted = profile_name(profile)
    built = names(Store(store_path(store)).check())
    return [(name.behaviour, name.phase) for name in built if name.profile == wanted]


def open(
    phase: str,
    *,
    behaviour: str | None = None,
    store: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    sparse: bool = False,
) -> xr.Dataset | xr.DataTree:
    """A phase's newest output, lazy and labelled. Only what is indexed is read.

    Dims are the phase's cell axes, then its own: `activations` are (prompt, layer, position, d_model),
    `features` are (layer, prompt, position, feature). Where prompts differ in length, `position` is counted
    from the end (-1 is the last token) and padded in front with NaN. Attribution graphs open as a DataTree
    with one node a prompt.

    Without `behaviour`, all behaviours are opened, with a `behaviour` dim in front. Then `prompt` only
    counts, and `prompt_id` (behaviour, prompt) names the prompts. With `sparse`, the entries of a sparse
    variable come as a table with dim `entry`. A phase whose units people label comes with their labels
    (`circuitstore review`).

    Raises MissingError, DamageError, UsageError, and LimitError for reading too much as dense.
    """
    opened = Store(store_path(store)).check()
    wanted = profile_name(profile)
    behaviours = [behaviour] if behaviour else sorted(_behaviours(opened, wanted, phase))
    artifacts = {each: named(opened, Name(wanted, each, phase)) for each in behaviours or ["any"]}
    from circuitstore.results.datasets import open_artifacts
    from circuitstore.results.entries import open_entries

    if sparse:
        return open_entries(opened, list(artifacts.values()))
    result = open_artifacts(opened, artifacts, all_behaviours=behaviour is None)
    review = pipeline.services().review
    return _with_labels(opened, wanted, artifacts, result) if phase == review.phase else result


def _behaviours(store: Store, profile: str, phase: str) -> set[str]:
    """The behaviours for which a phase is built."""
    return {name.behaviour for name in names(store) if (name.profile, name.phase) == (profile, phase)}


def _with_labels(
    store: Store, profile: str, artifacts: dict[str, Artifact], result: xr.Dataset | xr.DataTree
) -> xr.Dataset | xr.DataTree:
    """What was computed beside what reviewers say now.

    Labels are read at opening, so no result depends on them.
    """
    import xarray as xr

    review = pipeline.services().review
    labelled = {}
    for behaviour, artifact in artifacts.items():
        dataset = result if isinstance(result, xr.Dataset) else result[behaviour].to_dataset()
        labelled[behaviour] = review.shown(store, Name(profile, behaviour, review.phase), artifact, dataset)
    if isinstance(result, xr.Dataset):
        return next(iter(labelled.values()))
    return xr.DataTree.from_dict(labelled)
