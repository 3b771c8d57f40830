"""One HTML page: the built explorer, and with it the records that it shows without asking anybody.

The page's policy (Content Security Policy, level 3) lets nothing run but the one script of this package,
which it names by its hash, and lets nothing be requested. Names, labels and prompts reach the page inside
base64 only, and the script shows them as text.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="app"><noscript>This page needs JavaScript.</noscript></div>
<script type="application/json" id="records">{records}</script>
<script>{script}</script>
</body>
</html>
"""


def page(
    title: str,
    records: Mapping[str, bytes],
    start: str = "",
    *,
    files: Mapping[str, str] | None = None,
    served: bool = False,
) -> bytes:
    """The page with these records (key → bytes of `circuitstore.viewer.bundle.pack`).

    `start` is what it shows first, as the part of its address after "#". `files` names pages beside this one
    by the records that they hold, for links. A `served` page asks its own server for the records that it does
    not hold, and for nothing else.
    """
    script, style = built()
    held = {
        "served": served,
        "start": start,
        "files": files or {},
        "records": {key: base64.b64encode(data).decode() for key, data in records.items()},
    }
    text = msgspec.json.encode(held).decode().replace("<", "\\u003c")
    return _PAGE.format(
        policy=policy(served=served), title=html.escape(title), style=style, script=script, records=text
    ).encode()


def policy(*, served: bool) -> str:
    """The Content Security Policy of a page. Pictures and the worker that draws come from the page itself."""
    script, style = built()
    connect = "'self'" if served else "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data: blob:",
            "worker-src blob:",
            f"connect-src {connect}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@cache
def built() -> tuple[str, str]:
    """The script and the style of the built explorer."""
    folder = resources.files("circuitstore.viewer") / "built"
    script, style = ((folder / name).read_text("utf-8") for name in ("explorer.js", "explorer.css"))
    return script, style


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
