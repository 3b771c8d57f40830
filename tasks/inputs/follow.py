"""Taking the revisions of a profile's repositories for what they are on the hub now."""

from __future__ import annotations

from circuitstore.storage.layout import Store
from tasks.inputs.places import Repository, place_of
from tasks.settings.profile import Settings, load_profile

SECTIONS = ("model", "transcoders")


def follow(
    settings: Settings, profile: str, overrides: tuple[str, ...], store: Store
) -> list[dict[str, str]]:
    """One row for each repository of a profile: what, repo, revision, and its commit before and after.

    Raises UsageError, ModelError.
    """
    loaded = load_profile(settings, profile, overrides)[1]
    rows = []
    for section in SECTIONS:
        place = place_of(getattr(loaded, section), store)
        if isinstance(place, Repository):
            before, after = place.follow()
            row = {"what": section, "repo": place.repo, "revision": place.revision}
            rows.append({**row, "before": before, "after": after})
    return rows
