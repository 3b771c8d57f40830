"""What can go wrong between here and the Hugging Face hub, each as one ModelError with its remedy."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from circuitstore.errors import ModelError, first_line
from circuitstore.hub import cache


class UnreachableError(ModelError):
    """Nobody answers: there is no connection, or none to the hub."""


@contextmanager
def asking(repo: str, revision: str, *, silent: bool = False) -> Iterator[None]:
    """Turn errors of huggingface_hub, and of the network below it, into one ModelError each.

    With `silent` it shows no progress and logs no warnings.
    """
    if cache.offline():
        where = f"{repo} at {revision[:12]} on the hub"
        remedy = "unset HF_HUB_OFFLINE to download it, or give a local folder as path"
        raise ModelError(
            where,
            expected="its files in the cache, since HF_HUB_OFFLINE is set",
            got="not all of them",
            remedy=remedy,
        )
    try:
        with _progress(silent):
            yield
    except ModelError:
        raise
    except Exception as error:  # a dozen kinds, some of them of the http client, and more with each version
        raise _explained(repo, revision, error) from error


@contextmanager
def _progress(silent: bool) -> Iterator[None]:
    """Let huggingface_hub show how far a download is on a terminal and in a notebook, not in a log file."""
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    verbosity, seen = hub_logging.get_verbosity(), sys.stderr.isatty() or "ipykernel" in sys.modules
    hidden = (silent or not seen) and not are_progress_bars_disabled()
    if hidden:
        disable_progress_bars()
    if silent:
        hub_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        hub_logging.set_verbosity(verbosity)
        if hidden:
            enable_progress_bars()


def _explained(repo: str, revision: str, error: BaseException) -> ModelError:
    from huggingface_hub import constants, errors

    wrapped = (errors.LocalEntryNotFoundError, errors.RevisionResolutionError)
    while isinstance(error, wrapped) and error.__cause__ is not None:
        error = error.__cause__
    where, page = f"{repo} at {revision[:12]} on the hub", f"{constants.ENDPOINT}/{repo}"
    if isinstance(error, errors.GatedRepoError):
        remedy = f"accept its terms at {page}, then `hf auth login` or set HF_TOKEN"
        return ModelError(where, expected="access", got="a gated repository", remedy=remedy)
    if isinstance(error, errors.RepositoryNotFoundError):
        remedy = "check the spelling; for a private one, `hf auth login` or set HF_TOKEN"
        return ModelError(
            where, expected="a repository", got=f"none of this name at {constants.ENDPOINT}", remedy=remedy
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(
            where, expected="a branch, tag or commit", got="no such revision", remedy=f"see {page}/tree/main"
        )
    if isinstance(error, errors.EntryNotFoundError):
        return ModelError(where, expected="a file of the repository's list", got=first_line(error))
    response = getattr(error, "response", None)
    if response is not None:
        remedy = (
            "`hf auth login` or set HF_TOKEN" if response.status_code in (401, 403) else "try again later"
        )
        return ModelError(
            where,
            expected="an answer",
            got=f"HTTP {response.status_code} from {constants.ENDPOINT}",
            remedy=remedy,
        )
    if getattr(error, "errno", None) == errno.ENOSPC:
        return ModelError(
            f"cache {cache.cache_folder()}",
            expected="free space",
            got="disk full",
            remedy="free some, or set HF_HOME to another disk",
        )
    remedy = "check the connection and build again: finished files are kept"
    return UnreachableError(
        where, expected=f"an answer from {constants.ENDPOINT}", got=first_line(error), remedy=remedy
    )
