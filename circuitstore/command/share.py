"""`push` and `pull`: results from store to store."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import reduce, wraps
from typing import TYPE_CHECKING, Any

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal
from circuitstore.errors import UsageError, unknown

if TYPE_CHECKING:
    from circuitstore.storage.remote_work import Report, Wanted

SHARED = (
    click.argument(
        "words", nargs=-1, required=True, metavar="[PHASE]... URL", shell_complete=options.offering("phases")
    ),
    options.behaviour,
    click.option("--profile", metavar="NAME", default="", help="Only results of this profile. Default: all."),
    click.option(
        "--with-inputs", is_flag=True, help="Take also all that the named phases were computed from."
    ),
)


def wanted(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command say what travels and where to: it is given `url` and `wanted` instead of the words."""

    @wraps(command)
    def read(
        words: tuple[str, ...], behaviours: tuple[str, ...], profile: str, with_inputs: bool, **others: Any
    ) -> None:
        url, wanted = _read(words, behaviours, profile, with_inputs)
        command(url=url, wanted=wanted, **others)

    return reduce(lambda decorated, option: option(decorated), reversed(SHARED), read)


@click.command(short_help="Give results to another place.")
@wanted
@options.store
@options.as_json
def push(url: str, wanted: Wanted, store: str, as_json: bool) -> None:
    """Give what was built to the place URL; only what is missing there travels.

    URL is a folder, a zip file (FILE.zip), or anything that fsspec reaches, for example s3://BUCKET/PATH,
    gs://…, hf://datasets/USER/NAME, ssh://HOST/PATH. With PHASE only the newest results of these phases
    travel, else those of all phases with everything that they were computed from. Tags and earlier results
    stay here. Reviews, answers and pins always travel. Nothing there is lost or replaced, but a name means
    there what was built last.
    """
    from circuitstore.storage.layout import Store
    from circuitstore.storage.remote_push import push

    with _Bar("push") as bar:
        report = push(Store(store), url, wanted, bar)
    _tell(report, "pushed", url, as_json)


@click.command(short_help="Take results from another place.")
@wanted
@options.store
@options.as_json
def pull(url: str, wanted: Wanted, store: str, as_json: bool) -> None:
    """Take what was built from the place URL; only what is missing here travels, and all of it is checked.

    With PHASE only the newest results of these phases travel, else those of all phases with everything that
    they were computed from. Tags and earlier results stay there. `push --help` says what URL may be. Nothing
    here is replaced: a name that means something newer here keeps its meaning.
    """
    from circuitstore.storage.layout import Store
    from circuitstore.storage.remote import place
    from circuitstore.storage.remote_pull import pull

    with _Bar("pull") as bar:
        report = pull(Store(store).check_or_new(), place(url), wanted, bar)
    _tell(report, "pulled", url, as_json)


def _read(
    words: tuple[str, ...], behaviours: tuple[str, ...], profile: str, with_inputs: bool
) -> tuple[str, Wanted]:
    """(address, what is wanted) of the words, in any order. Raises UsageError."""
    from circuitstore.storage.remote_work import Wanted

    known = [task.name for task in pipeline.load().every]
    urls = [word for word in words if word not in known]
    if not urls:
        remedy = f"a folder of that name is ./{words[-1]}"
        raise UsageError("address of a store", expected="a folder or a URL", got="only phases", remedy=remedy)
    if len(urls) > 1:
        plain = [word for word in urls if not any(mark in word for mark in ":/\\.")]
        if plain:
            raise unknown("phase", plain[0], known)
        raise UsageError("address of a store", expected="one", got=" and ".join(urls))
    phases = tuple(word for word in words if word in known)
    return urls[0], Wanted(phases, behaviours, profile, with_inputs)


def _tell(report: Report, done: str, url: str, as_json: bool) -> None:
    """Print what travelled. Raises click's Exit with 1 when something did not."""
    from circuitstore.storage.remote import shown

    if as_json:
        terminal.print_json(report)
    else:
        for name in report.refs:
            terminal.echo(name)
    for note in report.notes:
        terminal.echo(f"note: {note}", err=True)
    for failed in report.failed:
        terminal.echo(f"failed: {failed.where}: {failed.problem}", err=True)
    counts = f"{report.artifacts} results, {report.objects} objects ({report.bytes / 1e6:.1f} MB), "
    counts += f"{report.inputs} inputs, {len(report.refs)} names"
    terminal.echo(f"{done} {counts}: {shown(url)}", err=True)
    if report.failed:
        raise click.exceptions.Exit(1)


class _Bar:
    """How many of the bytes have travelled, on a terminal."""

    def __init__(self, label: str):
        self._bar = click.progressbar(length=0, label=label, file=sys.stderr, show_eta=False)
        self._shown, self._lock = sys.stderr.isatty(), threading.Lock()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            terminal.clear_line()

    def expect(self, count: int) -> None:
        with self._lock:
            self._bar.length = (self._bar.length or 0) + count

    def done(self, count: int) -> None:
        if self._shown:
            with self._lock:
                self._bar.update(count)
