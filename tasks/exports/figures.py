"""Figures, their captions, and the report."""

from __future__ import annotations

import msgspec

from circuitstore.errors import UsageError, one_of
from circuitstore.results.find import build_command
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import reader
from circuitstore.storage.refs import Name

FORMATS = ("png", "svg", "pdf")
REPORT = "report.html"


def files(
    store: Store, name: Name, artifact: Artifact, formats: tuple[str, ...], prompts: tuple[str, ...]
) -> dict[str, bytes]:
    """File name → bytes of all figures, captions and the report.

    Figures come in these formats, or in all that were drawn when none is named.

    Raises UsageError for a format that was not drawn, DamageError.
    """
    made: dict[str, bytes] = {}
    for cell in artifact.cells:
        figure, title = reader(store, cell.object).cell(cell.row), str(cell.coords["figure"])
        drawn = [kind for kind in FORMATS if kind in figure]
        if missing := [kind for kind in formats if kind not in drawn]:
            setting = "figures.formats=" + msgspec.json.encode([*drawn, *missing]).decode()
            command = build_command(store, name.profile, name.behaviour, name.phase, setting)
            remedy = f"draw it: run `{command}`"
            raise UsageError(f"--format {missing[0]}", expected=one_of(drawn), remedy=remedy)
        if figure.html.size:
            made[f"{title}.html"] = figure.html.values.tobytes()
            continue
        made |= {f"{title}.{kind}": figure[kind].values.tobytes() for kind in formats or drawn}
        words = (str(figure[part].values) for part in ("title", "caption", "provenance"))
        made[f"{title}.txt"] = "\n\n".join(words).encode() + b"\n"
    return made
