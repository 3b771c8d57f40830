"""What reviewers call the features of a behaviour: an input that lies in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from circuitstore.engine.task import Sources
from circuitstore.hub.place import Place

if TYPE_CHECKING:
    from circuitstore.storage.layout import Store
    from circuitstore.storage.reviews import Labels


def identity(store: Store, profile: str, behaviour: str, transcoders: Place) -> dict[str, Any]:
    """What the labels say, whenever and in how many imports it was said. Raises ModelError, DamageError."""
    labels = load(store, profile, behaviour, transcoders).items()
    return {
        f"layer {layer} feature {feature}": [label.label, label.author, label.note]
        for (layer, feature), label in labels
    }


def sources(transcoders: Place) -> Sources:
    """What tells whose features the labels are of; what they say is in the identity. Raises ModelError."""
    from tasks.inputs.transcoder_files import files

    return Sources((), consulted=files(transcoders).sources().files)


def load(store: Store, profile: str, behaviour: str, transcoders: Place) -> Labels:
    """The labels of features of these transcoders: (layer, feature) → Label.

    Raises ModelError, DamageError.
    """
    from circuitstore.storage.reviews import labels_of
    from tasks.inputs.transcoders import identity as identity_of

    return labels_of(store, profile, behaviour, identity_of(transcoders))
