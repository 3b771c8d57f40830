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

    def lacking(self, profile: str, phases: tuple[str, ...]) -> Sequence[str]:
        """`--set` words that building these phases needs and a profile does not say. Raises UsageError."""

    def select_text(
        self,
        profile: str,
        transcoders: str | None,
        text: str | tuple[int, ...] | tuple[tuple[str, str], ...],
        targets: tuple[str, ...],
        against: str,
        settings: tuple[str, ...],
        edits: Sequence[Mapping[str, Any]] = (),
        aim: Mapping[str, Any] | None = None,
    ) -> Selection:
        """What an attribution of one text, or an intervention in it, is about. Raises UsageError.

        `text` may be the turns of a conversation, (role, content) each. `edits` have layer,
        feature and value, and either position or start and stop. `aim` is what is explained in the place of
        answers (`circuitstore.results.targets`).
        """


class Export(msgspec.Struct, frozen=True):
    """One kind of results as ordinary files.

    phase: whose output is written; formats: the kinds of file there are to choose from; files: gives file
    name → bytes for an artifact and its name, the chosen formats and prompts, and with `by_scan` what the
    files call the model; by_prompt: whether prompts can be chosen; front: the file to open first, which makes
    a build of the phase say how to export it; advice: lines about what to do with the files.
    """

    phase: str
    files: Callable[..., Mapping[str, bytes]]
    formats: tuple[str, ...] = ()
    by_prompt: bool = False
    by_scan: bool = False
    front: str = ""
    advice: Callable[[Sequence[str]], Iterator[str]] | None = None


class Review(msgspec.Struct, frozen=True):
    """The phase whose units people label.

    shown: its dataset with the labels that count now; export_table, import_table: the units as a table that
    is edited; labels: what features are called, by layer and feature, in a store, for a profile, a behaviour
    ("" for all) and the identity of transcoders (None for any); import_labels: labels
    that are published elsewhere; explain: labels by a language model.
    """

    phase: str
    shown: Callable[[Store, Name, Artifact, xr.Dataset], xr.Dataset]
    export_table: Callable[..., int]
    import_table: Callable[..., tuple[int, str]]
    labels: Callable[[Store, str, str, object], Mapping[tuple[int, int], str]]
    import_labels: Callable[..., tuple[int, str]]
    explain: Callable[..., tuple[int, str]]


class Listing(msgspec.Struct, frozen=True):
    """How `show` lists the rows of a phase: as plain data for JSON, and as a line of text for people."""

    rows: Callable[[xr.Dataset], Iterator[dict[str, Any]]]
    line: Callable[[dict[str, Any]], str]


class Table(msgspec.Struct, frozen=True):
    """A part of what `show` says of a phase: a title, the names of columns, and rows of texts and numbers."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str | int | float, ...]]


class OneText(msgspec.Struct, frozen=True):
    """The phase that attributes one text.

    `limits` are the settings of its arguments, `every_edge` those that keep all edges.
    """

    phase: str
    limits: Callable[[int, float, int | None], tuple[str, ...]]
    every_edge: tuple[str, ...]


class Edited(msgspec.Struct, frozen=True):
    """The phases of one text with features edited: one that runs it, and one that continues it.

    Their settings are in the tables of their names.
    """

    run: str
    continued: str


class Explained(msgspec.Struct, frozen=True):
    """The phases that explain attention in one text: a score of one head, and edges by heads.

    Their settings are in the tables of their names.
    """

    score: str
    edges: str


class Explorer(msgspec.Struct, frozen=True):
    """What the explorer shows.

    records: an object for a store, a profile and some behaviours (none: all), whose `get` gives the record of
    a key, and whose `decide` takes a reviewer's decision (`circuitstore.viewer.server`).
    """

    records: Callable[[Store, str, tuple[str, ...]], Any]


class Services(msgspec.Struct, frozen=True):
    """Everything that commands need beside the phases.

    settings: the profiles, and what a command line selects with them.
    plan: what a build would cost.
    exports: the kinds of files that results are written as, by name.
    review: the phase whose units people label.
    listings: how `show` lists the rows of a phase, by phase.
    findings: what `show` says of a phase, by phase: gives tables for its opened output, what features are
        called, how many rows are wanted, and the prompts, all when there are none.
    one_text: the phase that attributes one text; edited: those that edit features in it.
    explained: those that explain attention in it.
    audit: the phase that measures how good the transcoders are.
    graphs: the phase with one attribution graph for each prompt.
    explorer: what the explorer shows.
    follow: takes the revisions of a profile's repositories for what they are now.
    described: (text, unit) of a variable of a phase by both names; None for one that nobody described.
    columns: what is worked out from an opened dataset and added to it, by phase.
    """

    settings: Settings
    plan: Callable[[Sequence[Selection], Sequence[Task], str | None], Any]
    exports: Mapping[str, Export]
    review: Review
    listings: Mapping[str, Listing]
    findings: Mapping[str, Callable[[Any, Mapping[tuple[int, int], str], int, tuple[str, ...]], list[Table]]]
    one_text: OneText
    edited: Edited
    explained: Explained
    audit: str
    graphs: str
    explorer: Explorer
    follow: Callable[[str, tuple[str, ...], Store], list[dict[str, str]]]
    described: Callable[[str, str], tuple[str, str] | None]
    columns: Mapping[str, Callable[[xr.Dataset], xr.Dataset]]

    @property
    def of_one_text(self) -> dict[str, str]:
        """The phases of one text → the words by which a command asks for them."""
        edited = f"{self.edited.run} TEXT --feature LAYER/POSITION/FEATURE=VALUE"
        return {
            self.one_text.phase: f"{self.one_text.phase} TEXT",
            self.edited.run: edited,
            self.edited.continued: f"{edited} --{self.edited.continued} N",
            self.explained.score: f"{self.explained.score} TEXT --head LAYER/HEAD/QUERY/KEY",
            self.explained.edges: f"{self.explained.score} TEXT --edge 'SOURCE>TARGET'",
        }
