"""Whose turn of a conversation each token is, of a prompt or of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr


def turns_of(dataset: xr.Dataset) -> list[str]:
    """Roles (position,), "" for tokens of the template; empty where nothing was a conversation."""
    return [str(role) for role in dataset["token_role"].values] if "token_role" in dataset else []
