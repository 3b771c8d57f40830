"""The names that results have in another place."""

from __future__ import annotations

from circuitstore.storage.catalog import KINDS, lies
from circuitstore.storage.records import ENDING
from circuitstore.storage.refs import Name
from circuitstore.storage.remote import Folder
from circuitstore.storage.remote_fsspec import Remote

REF = next(kind for kind in KINDS if kind.name == "ref")


def names_in(place: Folder | Remote) -> list[Name]:
    """The names of all results in a place. Raises StoreError."""
    paths = [path for path in place.sizes("refs") if lies(REF, path)]
    parts = (path.removesuffix(ENDING).split("/")[1:] for path in paths)
    return sorted(Name(*each) for each in parts)
