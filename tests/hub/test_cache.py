"""The cache of huggingface_hub, found without importing it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = """
import os
from huggingface_hub import constants
from circuitstore.hub import cache as hub_cache
print(hub_cache.cache_folder(), os.path.realpath(constants.HF_HUB_CACHE))
"""


@pytest.mark.parametrize(
    "variables", [{}, {"HF_HOME": "~/h"}, {"HF_HUB_CACHE": "/x/cache"}, {"XDG_CACHE_HOME": "/x/xdg"}]
)
def test_the_cache_is_the_one_that_other_tools_use(variables):
    """Found by the same variables as huggingface_hub, without importing it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGINGFACE", "XDG"))
    }
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CACHE],
        env=kept | variables,
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    ours, theirs = done.stdout.split()
    assert ours == theirs
