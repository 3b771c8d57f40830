"""Opening what was built: `circuitstore.open` and `circuitstore.refs`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from circuitstore import pipeline
from circuitstore.errors import MissingError, unknown
from circuitstore.results.defaults import profile_name, store_path
from circuitstore.results.find import find, to_read
from circuitstore.results.which import Which, which
from circuitstore.storage.artifact import Artifact, read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.records import Coords
from circuitstore.storage.refs import Name, names

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
    settings: Mapping[str, object] | Sequence[str] = (),
    key: str | None = None,
    tag: str | None = None,
    sparse: bool = False,
    upstream: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> xr.Dataset | xr.DataTree:
    """A phase's output, lazy and labelled. Only what is indexed is read.

    Dims are the phase's cell axes, then its own: `activations` are (prompt, layer, position, d_model),
    `features` are (layer, prompt, position, feature). Where prompts differ in length, `position` is counted
    from the end (-1 is the last token) and padded in front with NaN. Attribution graphs open as a DataTree
    with one node a prompt.

    Without `behaviour`, all behaviours are opened, with a `behaviour` dim in front. Then `prompt` only
    counts, and `prompt_id` (behaviour, prompt) names the prompts. With `sparse`, the entries of a sparse
    variable come as a table with dim `entry`. A phase whose units people label comes with their labels
    (`circuitstore review`).

    It is the newest result, unless `settings` ({"phase.field": value}, or words as `--set` takes them), the
    `key` of an artifact or a `tag` say otherwise. The key or tag of a later phase gives what that was made
    from. One of another profile or behaviour than the one that is named is refused. What the store lacks is
    taken from those of `upstream`, if they have it (`docs/sharing.md`).

    Variables and coordinates have a text (`long_name`) and numbers a unit (`docs/schema.md`). Graphs have
    coordinates of their nodes: node_kind, node_layer, node_position, node_feature, node_token, node_label.
    Labels are those that behaviours of the profile have now (`circuitstore review`). `prompts` has a column
    `label_NAME` for each label.

    Attributes say what it is: phase, profile, behaviour, key, content (hash), and as JSON settings, upstream
    (phase and key of what it was made from) and summary.

    Raises MissingError, DamageError, UsageError, and LimitError for reading too much as dense.
    """
    opened = to_read(store, upstream)
    artifacts, wanted, alone = _found(opened, phase, behaviour, profile, which(key, tag, settings))
    if sparse:
        from circuitstore.results.entries import open_entries

        return open_entries(opened, artifacts, wanted)
    return opened_from(opened, wanted, artifacts, all_behaviours=not alone)


def opened_from(
    store: Store, profile: str, artifacts: dict[str, Artifact], *, all_behaviours: bool = False
) -> xr.Dataset | xr.DataTree:
    """A phase's artifacts, by behaviour, as `open` gives them, with labels. Raises DamageError."""
    from circuitstore.results.datasets import open_artifacts

    result = open_artifacts(store, artifacts, all_behaviours=all_behaviours, profile=profile)
    reviewed = next(iter(artifacts.values())).phase == pipeline.services().review.phase
    return _with_labels(store, profile, artifacts, result) if reviewed else result


def open_key(store: Store, name: Name, key: str) -> xr.Dataset:
    """The artifact of a key, opened under a name. Raises MissingError, DamageError."""
    from circuitstore.results.datasets import open_artifacts

    artifact = read_artifact(store, key)
    if artifact is None:
        raise MissingError(f"artifact {key} in {store.root}", got="nothing any more")
    artifacts = {name.behaviour: artifact}
    opened: Any = open_artifacts(store, artifacts, all_behaviours=False, profile=name.profile)
    result: xr.Dataset = opened
    return result


def open_one(
    opened: Store, phase: str, behaviour: str, coords: Coords, profile: str | None, meant: Which
) -> xr.Dataset:
    """One cell of a phase whose cells open as a tree: the node at these coordinates, without the others.

    `profile` is as it was typed. Raises MissingError, DamageError, UsageError.
    """
    artifacts, wanted, _ = _found(opened, phase, behaviour, profile, meant)
    from circuitstore.results.datasets import one_cell, provenance

    (artifact,) = artifacts.values()
    cell = next((cell for cell in artifact.cells if cell.coords == coords), None)
    if cell is None:
        for axis, label in coords.items():
            if label not in artifact.coordinates(axis):
                raise unknown(f"{axis} of {behaviour}", str(label), map(str, artifact.coordinates(axis)))
        raise MissingError(f"{phase} of {behaviour} at {coords}", got="no such cell")
    return one_cell(opened, artifact, cell, provenance(wanted, artifacts, False))


def _found(
    opened: Store, phase: str, behaviour: str | None, profile: str | None, meant: Which
) -> tuple[dict[str, Artifact], str, bool]:
    """The artifacts that are meant, by behaviour; the name of their profile; whether one is meant."""
    wanted = profile_name(profile)
    artifacts = find(opened, profile, behaviour, phase, meant)
    if (meant.key or meant.tag) and profile is None:
        wanted = next(iter(artifacts.values())).profile or wanted
    return artifacts, wanted, behaviour is not None or bool(meant.key or meant.tag)


def artifact_of(opened: xr.Dataset | xr.DataTree, store: Store) -> Artifact:
    """The artifact of one behaviour that a result was opened from. Raises MissingError, DamageError."""
    artifact = read_artifact(store, opened.attrs["key"])
    if artifact is None:
        raise MissingError(f"artifact {opened.attrs['key']} in {store.root}", got="nothing any more")
    return artifact


def _with_labels(
    store: Store, profile: str, artifacts: dict[str, Artifact], result: xr.Dataset | xr.DataTree
) -> xr.Dataset | xr.DataTree:
    """What was computed beside what reviewers say now.

    Labels are read at opening, so no result depends on them.
    """
    import xarray as xr

    from circuitstore.results.described import described

    review = pipeline.services().review
    labelled = {}
    for behaviour, artifact in artifacts.items():
        dataset = result if isinstance(result, xr.Dataset) else result[behaviour].to_dataset()
        shown = review.shown(store, Name(profile, behaviour, review.phase), artifact, dataset)
        labelled[behaviour] = described(shown, review.phase)
    if isinstance(result, xr.Dataset):
        return next(iter(labelled.values()))
    tree = xr.DataTree.from_dict(labelled)
    tree.attrs = dict(result.attrs)
    return tree
