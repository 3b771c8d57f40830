"""HTML of the report: whatever a text holds, it is shown, and it neither becomes markup nor turns its line.

Figures, tables and references are cited by name. The page knows their numbers once it is whole.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape

from tasks.drawing.published import REFERENCES
from tasks.drawing.style import visible

RIGHT_TO_LEFT = {"R", "AL", "AN"}  # classes of characters (Unicode Standard Annex 9, table 4)
NUMBERED = re.compile(r'<(figure|table)[^>]*? id="([\w-]+)"')
CITED = re.compile(r'<a href="#([\w-]+)"></a>')


def words(text: str) -> str:
    """A text as markup: signs for what is not seen, and isolated where it runs from right to left."""
    shown = visible(text, _sign)
    turned = any(unicodedata.bidirectional(c) in RIGHT_TO_LEFT for c in shown)
    return f"<bdi>{escape(shown)}</bdi>" if turned else escape(shown)


def quoting(text: str) -> str:
    """A sentence as markup, with what it quotes in “ and ” isolated."""
    parts = re.split("“([^”]*)”", text)
    return "".join(
        f"“{words(part)}”" if i % 2 else escape(visible(part, _sign)) for i, part in enumerate(parts)
    )


def _sign(character: str) -> str:
    """A picture of a control character; of others, their number."""
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def table(
    name: str,
    title: str,
    heads: list[str],
    rows: list[list[str]],
    *,
    breaks: bool = False,
    tight: bool = False,
) -> str:
    """A table of text with a name by which it is cited, and a title.

    `breaks` allows breaks within words, and `tight` smaller letters as well.
    """
    cells = ["".join(f"<td>{words(cell)}</td>" for cell in row) for row in rows]
    style = ' style="overflow-wrap:anywhere"' if breaks else ""
    head = "".join(f"<th>{words(head)}</th>" for head in heads)
    lines = "".join(f"<tr>{row}</tr>" for row in cells)
    caption = f'<caption><b><a href="#{name}"></a>.</b> {escape(title)}.</caption>'
    opened = f'<div class="wide{" tight" if tight else ""}"{style}><table id="{name}">'
    return f"{opened}{caption}<tr>{head}</tr>{lines}</table></div>"


def cite(name: str) -> str:
    """A link to a figure, a table or a work, with its number or its authors once the page is whole."""
    return f'<a href="#{name}"></a>'


def resolved(body: str) -> str:
    """A page whose citations have their numbers; one of a figure or table that is not there says so."""
    named = {name: work.short for name, work in REFERENCES.items()}
    counts = {"figure": 0, "table": 0}
    for kind, name in NUMBERED.findall(body):
        counts[kind] += 1
        named[name] = f"{kind.capitalize()} {counts[kind]}"
    return CITED.sub(
        lambda found: (
            f'<a href="#{found[1]}">{named[found[1]]}</a>'
            if found[1] in named
            else f"({found[1]}: not drawn)"
        ),
        body,
    )


def references(body: str) -> str:
    """The list of the works that a page cites."""
    cited = set(CITED.findall(body))
    listed = "".join(
        f'<li id="{name}"><a href="{work.address}">{escape(work.text)}</a></li>'
        for name, work in REFERENCES.items()
        if name in cited
    )
    return f"<ul>{listed}</ul>"
