"""Which store and which profile are meant when none is named."""

from __future__ import annotations

import os
from collections.abc import Sequence

DEFAULT_STORE, DEFAULT_PROFILE = "store", "tiny"


def store_path(store: str | os.PathLike[str] | None = None) -> str:
    """The store directory: as named, else $CIRCUITSTORE_STORE, else `store` in the current directory."""
    return os.fspath(store or os.environ.get("CIRCUITSTORE_STORE") or DEFAULT_STORE)


def upstream_urls(
    upstream: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> tuple[str, ...]:
    """Stores to take from what a store lacks, in order: as named, else those in $CIRCUITSTORE_UPSTREAM.

    The variable has them with blanks between.
    """
    named = (upstream,) if isinstance(upstream, str | os.PathLike) else upstream
    return tuple(os.fspath(each) for each in named) or tuple(
        os.environ.get("CIRCUITSTORE_UPSTREAM", "").split()
    )


def profile_argument(profile: str | os.PathLike[str] | None = None) -> str:
    """The profile as it was named: by argument, else by $CIRCUITSTORE_PROFILE, else `tiny`."""
    return os.fspath(profile or os.environ.get("CIRCUITSTORE_PROFILE") or DEFAULT_PROFILE)


def profile_name(profile: str | os.PathLike[str] | None = None) -> str:
    """The name of the profile. That of a profile's file is the last part of its path, without ".toml"."""
    return os.path.basename(profile_argument(profile)).removesuffix(".toml")
