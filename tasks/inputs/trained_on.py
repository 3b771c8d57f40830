"""Whether transcoders were trained on the model that is analysed, and if not, how well they reconstruct
either.

The published transcoders of Qwen3-4B are used with Qwen3-4B-Instruct-2507 too, for which nobody has said how
well that works: the explained variance of the phase `features`, measured on both models, does.
"""

from __future__ import annotations

from typing import Any

from circuitstore.errors import StoreError
from circuitstore.storage.artifact import read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named, names


def note(
    store: Store, behaviour: str, analysed: str, trained_on: str, transcoders: dict[str, Any]
) -> list[str]:
    """What a user should know of transcoders (by identity) that were trained on another model: nothing, or
    one line.
    """
    if not trained_on or not analysed or _name(trained_on) == _name(analysed):
        return []
    said = f"transcoders {transcoders.get('repo') or 'of this profile'} were trained on {trained_on}, not on {analysed}"
    measured = {
        _name(repo): layers for repo, layers in explained_variance(store, behaviour, transcoders).items()
    }
    here, there = measured.get(_name(analysed), {}), measured.get(_name(trained_on), {})
    if common := sorted(here.keys() & there.keys(), key=int):
        first, own = (sum(layers[i] for i in common) / len(common) for layers in (there, here))
        numbers = f"{first:.3f} on {trained_on}, {own:.3f} on {analysed}"
        return [f"{said}; explained variance of {behaviour}, mean of {len(common)} layers: {numbers}"]
    return [
        f"{said}; how well they do is not known for {behaviour} until `features` is built on both (docs/profiles.md)"
    ]


def explained_variance(
    store: Store, behaviour: str, transcoders: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Model's repository → layer → explained variance, for all profiles whose `features` were built with
    these transcoders.
    """
    found = {}
    for profile, name, phase in names(store):
        if (name, phase) != (behaviour, "features"):
            continue
        try:
            features = named(store, Name(profile, behaviour, phase))
            activations = read_artifact(store, features.upstream["activations"])
        except StoreError:
            # of a damaged or half-copied store only what is whole can be said; a build tells of the rest
            continue
        if activations is None or features.components.resources["transcoders"] != transcoders:
            continue
        layers: Any = features.summary.get("layers", {})
        repo = activations.components.resources["model"].get("repo", "")
        found[repo] = {layer: numbers["explained_variance"] for layer, numbers in layers.items()}
    return found


def _name(repo: str) -> str:
    """What a model is called by anybody: "Qwen/Qwen3-4B" and "qwen3-4b" are the same."""
    return repo.rpartition("/")[2].lower()
