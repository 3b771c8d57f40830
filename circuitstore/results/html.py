"""What a notebook shows of graphs and builds: a small picture, a table. Every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import networkx as nx
import xarray as xr

from circuitstore.circuits.nodes import to_networkx
from circuitstore.results.picture import picture

if TYPE_CHECKING:
    from circuitstore.engine.runner import PhaseReport


WHOLE = "<code>circuitstore.view(graph)</code> shows the whole graph, to click through."


class GraphDataset(xr.Dataset):  # type: ignore[no-untyped-call]
    """An attribution graph as labelled arrays. A notebook shows a picture above them."""

    __slots__ = ()

    @classmethod
    def of(cls, graph: xr.Dataset) -> GraphDataset:
        """The same arrays, as lazy as they were."""
        return cls(dict(graph.data_vars), graph.coords, graph.attrs)

    def _repr_html_(self) -> str:
        arrays = str(super()._repr_html_())
        if "prune_edge_mask" not in self:  # a selection of variables
            return arrays
        return f"<div>{picture(to_networkx(self))}<p>{WHOLE}</p></div>{arrays}"


class GraphNetwork(nx.DiGraph):  # type: ignore[misc]
    """An attribution graph of networkx. A notebook shows a picture of it."""

    def _repr_html_(self) -> str:
        complete = "tokens" in self.graph and all("kind" in row for _, row in self.nodes(data=True))
        return picture(self) if complete else f"<pre>{escape(str(self))}</pre>"


def build_table(reports: Iterable[PhaseReport]) -> str:
    """What a build did as a table."""
    columns = ("phase", "behaviour", "cells", "hits", "computed", "failed", "seconds")
    return table(columns, ([getattr(report, name) for name in columns] for report in reports))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of texts and numbers."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
