"""`view`: the explorer of a store, in the browser of this machine."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import click

from circuitstore import pipeline
from circuitstore.command import options, terminal


@click.command(short_help="Look at what is built, in a browser.")
@options.behaviour
@click.option("--prompt", "-p", metavar="ID", help="Begin with the graph of this prompt of one behaviour.")
@click.option("--review", is_flag=True, help="Let labels of features be changed, as --author.")
@click.option("--author", default="", metavar="NAME", help="Who labels.")
@click.option("--port", type=options.Number(0, 65535), default=0, help="Default: one that is free.")
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
@options.profile
@options.store
def view(
    behaviours: tuple[str, ...],
    prompt: str | None,
    review: bool,
    author: str,
    port: int,
    no_browser: bool,
    profile: str,
    store: str,
) -> None:
    """Serve the explorer: graphs, features, experiments and where they come from.

    It answers this machine only, at the address that it prints, until Ctrl-C. Whoever has the address can
    read. Nothing is changed without --review.
    """
    import webbrowser

    from circuitstore.results.defaults import profile_name
    from circuitstore.storage.layout import Store
    from circuitstore.viewer.server import Explorer

    start = _start(behaviours, prompt)
    _check_author(review, author)
    explorer = pipeline.services().explorer
    records = explorer.records(Store(store).check(), profile_name(profile), behaviours)
    with Explorer(records.get, records.decide, author=author.strip() if review else "", port=port) as server:
        terminal.echo(server.address(start))
        terminal.echo("Ctrl-C ends it.", err=True)
        if not no_browser:
            webbrowser.open(server.address(start))
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _start(behaviours: tuple[str, ...], prompt: str | None) -> str:
    """What the page shows first. Raises UsageError for a prompt without its behaviour."""
    from circuitstore.errors import UsageError

    if prompt is not None and len(behaviours) != 1:
        raise UsageError("--prompt", expected="one --behaviour beside it", got=len(behaviours))
    if prompt is not None:
        return f"#/graph/{quote(behaviours[0])}/{quote(prompt)}"
    return f"#/behaviour/{quote(behaviours[0])}" if len(behaviours) == 1 else ""


def _check_author(review: bool, author: str) -> None:
    """Raise UsageError unless --review and --author come together."""
    from circuitstore.errors import UsageError

    if review and not author.strip():
        raise UsageError("--review", expected="--author NAME beside it", got="none")
    if author and not review:
        raise UsageError("--author", expected="--review beside it", got="none")
