"""Whether transcoders were trained on the model that is analysed, and if not, how well they do on either.

The published transcoders of Qwen3-4B are used with Qwen3-4B-Instruct-2507 too. Nobody has said how well that
works. The explained variance of phase `features`, measured on both models, says it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from circuitstore.errors import StoreError
from circuitstore.hub.place import Place
from circuitstore.storage.artifact import read_artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named, names
from tasks.inputs import transcoders
from tasks.inputs.transcoder_files import config

UNMEASURED = "until `features` is built on both (docs/profiles.md)"


class Claim(NamedTuple):
    """The behaviour and the model's repository that are analysed, and the one trained on; "" if not known."""

    behaviour: str
    analysed: str
    trained_on: str


def check(
    claim: Claim, store: Store, place: Place, model: Place, layers: str, device: str, k: int | None = None
) -> list[str]:
    """Raise ModelError for transcoders that cannot be used; what a user should know otherwise, in lines."""
    notes = transcoders.check(place, model, layers, device, k)
    said = claim.trained_on or str(config(place, k).get("model_name") or "")
    return notes + note(store, claim._replace(trained_on=said), transcoders.identity(place, k))


def note(store: Store, claim: Claim, identity: dict[str, Any]) -> list[str]:
    """What a user should know of transcoders that were trained on another model: nothing, or one line."""
    behaviour, analysed, trained_on = claim
    if not trained_on or not analysed or _name(trained_on) == _name(analysed):
        return []
    whose = identity.get("repo") or "of this profile"
    warning = f"transcoders {whose} were trained on {trained_on}, not on {analysed}"
    measured = {
        _name(repo): layers for repo, layers in explained_variance(store, behaviour, identity).items()
    }
    here, there = measured.get(_name(analysed), {}), measured.get(_name(trained_on), {})
    if not (common := sorted(here.keys() & there.keys(), key=int)):
        return [f"{warning}; how well they do is not known for {behaviour} {UNMEASURED}"]
    first, own = (sum(layers[i] for i in common) / len(common) for layers in (there, here))
    numbers = f"{first:.3f} on {trained_on}, {own:.3f} on {analysed}"
    return [f"{warning}; explained variance of {behaviour}, mean of {len(common)} layers: {numbers}"]


def explained_variance(store: Store, behaviour: str, identity: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Model's repository → layer → explained variance, of all profiles with these transcoders' features."""
    by_model = {}
    for profile, name, phase in names(store):
        if (name, phase) != (behaviour, "features"):
            continue
        try:
            features = named(store, Name(profile, behaviour, phase))
            activations = read_artifact(store, features.upstream["activations"])
        except StoreError:
            continue  # a damaged or half-copied store: a build tells of it, this only says what is whole
        if activations is None or features.components.resources["transcoders"] != identity:
            continue
        layers: Any = features.summary.get("layers", {})
        repo = activations.components.resources["model"].get("repo", "")
        by_model[repo] = {
            layer: numbers["explained_variance"]
            for layer, numbers in layers.items()
            if "explained_variance" in numbers  # cross-layer transcoders have none
        }
    return by_model


def _name(repo: str) -> str:
    """What a model is called by anybody: "Qwen/Qwen3-4B" and "qwen3-4b" are the same."""
    return repo.rpartition("/")[2].lower()
