"""What commands print, made safe for a terminal: text from a store or a file cannot steer it.

Control characters (escape sequences begin with one), characters that change the direction of what follows,
and other separators of lines are shown as escapes. Source: Unicode TR 36, section 3.5; ECMA-48.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import click
import msgspec

_CONTROL = [*range(0x20), *range(0x7F, 0xA0)]
_DIRECTION = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_LINES = [0x2028, 0x2029]
_STEERING = [*_CONTROL, *_DIRECTION, *_LINES, *range(0xD800, 0xDC80), *range(0xDD00, 0xE000)]
_ONE_LINE = {code: ascii(chr(code))[1:-1] for code in _STEERING}
_LAYOUT = {code: text for code, text in _ONE_LINE.items() if chr(code) not in "\n\t"}
_JSON = {code: f"\\u{code:04x}" for code in _STEERING if code >= 0x7F}  # lower ones JSON escapes itself


def visible(text: object, *, one_line: bool = False) -> str:
    """Text in which nothing steers a terminal; line ends and tabs stay unless it must be one line.

    Bytes of paths that are no text (surrogates from U+DC80 to U+DCFF) stay what they are.
    """
    return str(text).translate(_ONE_LINE if one_line else _LAYOUT)


def echo(text: object = "", *, err: bool = False) -> None:
    """Print text to stdout, or with `err` to stderr."""
    click.echo(visible(text), err=err)


def table(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """Rows as lines whose columns do not run into one another; the columns of `right` end at one place."""
    rows = [[visible(cell, one_line=True) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def print_json(value: object) -> None:
    """One JSON value on stdout: the same value, with what steers a terminal as escapes."""
    click.echo(msgspec.json.encode(value).decode().translate(_JSON).encode())


def clear_line() -> None:
    """Take what the last line of stderr says off the terminal."""
    click.echo("\r\x1b[2K", nl=False, err=True)
