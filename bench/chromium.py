"""Where Chromium is, and how it is started by tests and benches: without a GPU and without a network."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """The path of the Chromium of this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)
