"""The public functions, as `import circuitstore as cs` offers them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from circuitstore.errors import UsageError
from circuitstore.storage.artifact import Artifact, named
from circuitstore.storage.layout import Store

if TYPE_CHECKING:
    import xarray as xr

DEFAULT_STORE, DEFAULT_PROFILE = "store", "tiny"
REVIEWED = "interpretation"  # the phase that reviewers' labels are shown with


def store_path(store: str | os.PathLike[str] | None = None) -> str:
    """The store directory: as named, else $CIRCUITSTORE_STORE, else `store` in the current directory."""
    return os.fspath(store or os.environ.get("CIRCUITSTORE_STORE") or DEFAULT_STORE)


def profile_name(profile: str | None = None) -> str:
    """The profile: as named, else $CIRCUITSTORE_PROFILE, else `tiny`. The name of a file is that of its last
    part.
    """
    name = profile or os.environ.get("CIRCUITSTORE_PROFILE") or DEFAULT_PROFILE
    return os.path.basename(name).removesuffix(".toml")


def refs(*, store: str | os.PathLike[str] | None = None, profile: str | None = None) -> list[tuple[str, str]]:
    """(behaviour, phase) of everything that is built for a profile. Raises StoreError."""
    wanted = profile_name(profile)
    return [
        (behaviour, phase)
        for name, behaviour, phase in Store(store_path(store)).check().refs()
        if name == wanted
    ]


def open(
    phase: str,
    *,
    behaviour: str | None = None,
    store: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    sparse: bool = False,
) -> xr.Dataset | xr.DataTree:
    """A phase's newest output, lazy and labelled; nothing is read but what is indexed.

    Dims are the phase's cell axes, then its own: `activations` are (prompt, layer, position, d_model),
    `features` (layer, prompt, position, feature). Where prompts differ in length, `position` is counted from
    the end (-1 is the last token) and padded in front with NaN. Graphs (`attribution`) open as a DataTree
    with a node a prompt. Without `behaviour`: all of them, with a `behaviour` dim; `prompt` then only counts,
    and `prompt_id` (behaviour, prompt) names. With `sparse`, the entries of `features` as a table with dim
    `entry`. `interpretation` comes with the labels that reviewers gave (`circuitstore review`). Raises
    MissingError, DamageError, and LimitError on reading too much as dense.
    """
    opened = Store(store_path(store)).check()
    name = profile_name(profile)
    behaviours = (
        [behaviour] if behaviour else sorted({b for p, b, f in opened.refs() if p == name and f == phase})
    )
    artifacts = {b: named(opened, name, b, phase) for b in behaviours or ["any"]}
    from circuitstore.results.arrays import open_artifacts, open_sparse

    if phase == REVIEWED:
        return _with_reviews(
            opened, name, artifacts, open_artifacts(opened, artifacts, all_behaviours=behaviour is None)
        )
    if not sparse:
        return open_artifacts(opened, artifacts, all_behaviours=behaviour is None)
    if phase != "features" or len(artifacts) != 1:
        raise UsageError(
            "sparse=True", expected='phase "features" and one behaviour', got=f"{phase!r} and {behaviours}"
        )
    return open_sparse(opened, next(iter(artifacts.values())), "activation")


def _with_reviews(
    store: Store, profile: str, artifacts: dict[str, Artifact], found: xr.Dataset | xr.DataTree
) -> xr.Dataset | xr.DataTree:
    """What was computed beside what reviewers say now: these labels are read at opening, so no result depends
    on them.
    """
    import xarray as xr

    from circuitstore.storage.reviews import labels_of, with_labels

    labels = {
        b: labels_of(store, profile, b, artifact.components["resources"]["transcoders"])
        for b, artifact in artifacts.items()
    }
    if isinstance(found, xr.Dataset):
        return with_labels(found, next(iter(labels.values())))
    return xr.DataTree.from_dict(
        {behaviour: with_labels(found[behaviour].to_dataset(), labels[behaviour]) for behaviour in artifacts}
    )
