"""Sizes, fonts and colours of all figures, so that they look like one work.

Figures have the width of a column or of a page of a journal. Colour-blind readers can tell the colours apart:
classes have colours of Okabe and Ito (2008), amounts have viridis, signed values have PuOr. The user's own
matplotlib settings have no effect.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

CM = 1 / 2.54  # inches
COLUMN, PAGE = 8.5, 17.0  # cm
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#8A8A8A", "#D9D9D9"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # so that colour is never the only difference
POSITIVE, NEGATIVE = BLUE, VERMILION
SPLITS = {"train": (SKY, "o"), "test": (VERMILION, "D")}
UNSEEN = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}  # categories of characters (Unicode Standard, §4.5)
TIED = "≡"  # behind a label that is one of several that fit equally well
TALK = 1.25  # how much larger figures of a talk are
SIZES = {"paper": 6.5, "talk": 9.0}  # of type, in points


@dataclass(frozen=True)
class Look:
    """How a set of figures looks: style ("paper" or "talk"), colour maps of amounts and of signed values."""

    style: str = "paper"
    sequential: str = "viridis"
    diverging: str = "PuOr"

    @property
    def scale(self) -> float:
        """How much larger than on a printed page everything is."""
        return TALK if self.style == "talk" else 1.0

    @property
    def size(self) -> float:
        """Size of ordinary type in points; no type is smaller than 0.8 of it."""
        return SIZES[self.style]

    def figure(
        self, width: float, height: float, layout: Literal["constrained", "none"] = "constrained"
    ) -> Figure:
        """An empty figure of this width and height in centimetres; pyplot does not know of it."""
        figure = Figure(
            figsize=(width * CM * self.scale, height * CM * self.scale),
            layout="constrained" if layout == "constrained" else None,
        )
        FigureCanvasAgg(figure)
        return figure

    def axes(
        self, width: float, height: float, columns: int = 1, **options: Any
    ) -> tuple[Figure, list[Axes]]:
        """A figure of panels side by side, lettered if there are several; `options` are for `subplots`."""
        figure = self.figure(width, height)
        panels = list(np.atleast_1d(figure.subplots(1, columns, **options)).ravel())
        if columns > 1:
            for letter, panel in zip("abcdefgh", panels, strict=False):
                panel.set_title(letter, loc="left", fontweight="bold")
        return figure, panels

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context, matplotlib draws and saves in this look."""
        line = 0.8 * self.scale
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(
                {
                    "font.family": "DejaVu Sans",
                    "font.size": self.size,
                    "axes.labelsize": self.size,
                    "axes.titlesize": self.size * 1.1,
                    "xtick.labelsize": self.size * 0.9,
                    "ytick.labelsize": self.size * 0.9,
                    "legend.fontsize": self.size * 0.9,
                    "legend.frameon": False,
                    "legend.handlelength": 1.5,
                    "axes.linewidth": line * 0.75,
                    "axes.spines.top": False,
                    "axes.spines.right": False,
                    "xtick.major.width": line * 0.75,
                    "ytick.major.width": line * 0.75,
                    "xtick.major.size": 2.5 * self.scale,
                    "ytick.major.size": 2.5 * self.scale,
                    "lines.linewidth": line * 1.4,
                    "lines.markersize": 3.5 * self.scale,
                    "image.cmap": self.sequential,
                    "text.parse_math": False,  # a token may be a dollar sign
                    "svg.hashsalt": "circuitstore",
                    "svg.fonttype": "path",
                    "pdf.fonttype": 42,
                }
            )
            yield


def token(text: str, width: int = 12) -> str:
    """A token as figures print it: with signs for a leading space and for line breaks, cut to `width`."""
    shown = text.replace("\n", "⏎").replace("\t", "⇥")
    shown = "␣" + shown[1:] if shown.startswith(" ") else shown
    return cut(visible(shown) or "∅", width)


def visible(text: str, sign: Callable[[str], str] = lambda _: "·") -> str:
    """A text with a sign for each character that is not seen: controls, marks of direction, half characters.

    XML allows no controls, and a mark of direction turns what stands behind it. Spaces and line breaks stay.
    """
    return "".join(c if c == "\n" or unicodedata.category(c) not in UNSEEN else sign(c) for c in text)


def cut(text: str, width: int) -> str:
    """At most `width` characters of a text, with an ellipsis at the end of what is left out; `TIED` stays."""
    if len(text) <= width:
        return text
    sign = TIED if text.endswith(TIED) else ""
    return text[: max(width - 1 - len(sign), 1)] + "…" + sign


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int = 4) -> None:
    """One legend for all panels, under them, where it covers no data."""
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


def zero_line(axes: Axes, *, vertical: bool = False) -> None:
    """The line of no effect."""
    (axes.axvline if vertical else axes.axhline)(0, color=GREY, linewidth=0.6, zorder=0)


def plain_ticks(axis: Axis, ticks: Sequence[float] = ()) -> None:
    """Plain numbers at the ticks of a logarithmic axis."""
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    if len(ticks):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())


def power_ticks(axis: Axis) -> None:
    """Powers of ten at the ticks of a logarithmic axis, as far as it reaches."""
    axis.set_ticks(*powers(*sorted(axis.get_view_interval())))
    axis.set_minor_locator(NullLocator())


def powers(low: float, high: float) -> tuple[list[float], list[str]]:
    """The powers of ten from `low` to `high`, and how they are printed."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    exponents = range(int(np.ceil(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    return [10.0**n for n in exponents], ["10" + str(n).translate(raised) for n in exponents]
