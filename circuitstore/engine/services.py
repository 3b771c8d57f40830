"""What commands and analysis scripts need of a pipeline beside its phases, as one object.

The library knows no phase by name. Where it must speak of one, the one with graphs for instance, it asks the
pipeline's `Services`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from circuitstore.engine.task import Selection, Task
from circuitstore.storage.artifact import Artifact
from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name

if TYPE_CHECKING:
    import xarray as xr


def later(target: str) -> Callable[..., Any]:
    """The function "module:name", whose module is imported when it is called.

    A build with nothing to do imports none of them.
    """

    def call(*arguments: Any, **named: Any) -> Any:
        module, _, name = target.partition(":")
        return getattr(importlib.import_module(module), name)(*arguments, **named)

    return call


class Settings(Protocol):
    """The profiles of a pipeline, and what a command line selects with them."""

    def names(self) -> list[str]:
        """Names of the profiles that come built in."""

    def behaviours(self) -> list[str]:
        """Names of the behaviours that come built in."""

    def describe(self, profile: str, settings: tuple[str, ...]) -> Sequence[Any]:
        """Every setting: structs with section, field, value, origin. Raises UsageError."""

    def select(
        self,
        profile: str,
        behaviours: tuple[str, ...],
        prompts_file: str | None,
        settings: tuple[str, ...],
        phases: tuple[str, ...],
    ) -> Sequence[Selection]:
        """What a build of these phases is about, one selection a behaviour. Raises UsageError."""

    def select_text(
        self,
        profile: str,
        transcoders: str | None,
        text: str | tuple[int, ...],
        targets: tuple[str, ...],
        against: str,
        settings: tuple[str, ...],
    ) -> Selection:
        """What an attribution of one text is about. Raises UsageError."""


class Export(msgspec.Struct, frozen=True):
    """One kind of results as ordinary files.

    phase: whose output is written; formats: the kinds of file there are to choose from; files: gives file
    name → bytes for an artifact and its name, the chosen formats and prompts; by_prompt: whether prompts can
    be chosen; front: the file to open first, which makes a build of the phase say how to export it.
    """

    phase: str
    files: Callable[[Store, Name, Artifact, tuple[str, ...], tuple[str, ...]], Mapping[str, bytes]]
    formats: tuple[str, ...] = ()
    by_prompt: bool = False
    front: str = ""


class Review(msgspec.Struct, frozen=True):
    """The phase whose units people label.

    shown: its dataset with the labels that count now; export_table, import_table: the units as a table that
    is edited.
    """

    phase: str
    shown: Callable[[Store, Name, Artifact, xr.Dataset], xr.Dataset]
    export_table: Callable[..., int]
    import_table: Callable[..., tuple[int, str]]


class Listing(msgspec.Struct, frozen=True):
    """How `show` lists the rows of a phase: as plain data for JSON, and as a line of text for people."""

    rows: Callable[[xr.Dataset], Iterator[dict[str, Any]]]
    line: Callable[[dict[str, Any]], str]


class OneText(msgspec.Struct, frozen=True):
    """The phase that attributes one text.

    `limits` are the settings of its arguments, `every_edge` those that keep all edges.
    """

    phase: str
    limits: Callable[[int, float, int | None], tuple[str, ...]]
    every_edge: tuple[str, ...]


class Services(msgspec.Struct, frozen=True):
    """Everything that commands need beside the phases.

    settings: the profiles, and what a command line selects with them.
    plan: what a build would cost.
    exports: the kinds of files that results are written as, by name.
    review: the phase whose units people label.
    listings: how `show` lists the rows of a phase, by phase.
    one_text: the phase that attributes one text.
    graphs: the phase with one attribution graph for each prompt.
    follow: takes the revisions of a profile's repositories for what they are now.
    """

    settings: Settings
    plan: Callable[[Sequence[Selection], Sequence[Task], str | None], Any]
    exports: Mapping[str, Export]
    review: Review
    listings: Mapping[str, Listing]
    one_text: OneText
    graphs: str
    follow: Callable[[str, tuple[str, ...], Store], list[dict[str, str]]]
