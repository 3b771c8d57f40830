"""`tag`: names that stay with a result while builds go on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    from circuitstore.storage.layout import Store
    from circuitstore.storage.tags import Tag


@click.command(short_help="Name a result, and keep it.")
@click.argument("name", required=False)
@click.argument("ref", required=False, metavar="[[PROFILE/]BEHAVIOUR/PHASE]")
@click.option("--key", metavar="KEY", help="Tag the artifact of this key instead of the newest.")
@click.option("--delete", is_flag=True, help="Delete the tag; what it named stays for gc's grace period.")
@click.option("--list", "listing", is_flag=True, help="List all tags.")
@options.profile
@options.store
@options.as_json
def tag(
    name: str | None,
    ref: str | None,
    key: str | None,
    delete: bool,
    listing: bool,
    profile: str,
    store: str,
    as_json: bool,
) -> None:
    """Tag the newest result of BEHAVIOUR/PHASE as NAME: `circuitstore tag paper plural/attribution`.

    A build moves on, and a tag stays. `gc` keeps what is tagged, and all that it was made from. `show` and
    `export` take it as --tag NAME, `cs.open` as tag=NAME, and `diff` as plural/attribution@NAME.
    """
    from circuitstore.errors import UsageError
    from circuitstore.storage.layout import Store
    from circuitstore.storage.tags import delete_tag, tags

    opened = Store(store).check()
    asked = (listing, delete, ref is not None)
    if sum(asked) != 1 or (name is None) != listing or (key and not ref):
        raise UsageError("tag", expected="NAME and BEHAVIOUR/PHASE, or --delete NAME, or --list")
    if listing:
        found = tags(opened)
    elif delete:
        found = [delete_tag(opened, str(name))]
    else:
        found = [_tag(opened, str(name), str(ref), key, profile)]
    if as_json:
        terminal.print_json(found)
        return
    for each in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.time_ns / 1e9))
        terminal.echo(f"{each.tag:<20} {each.name!s:<40} {each.artifact[:12]}  {when}")


def _tag(store: Store, name: str, ref: str, key: str | None, profile: str) -> Tag:
    """Tag what a ref, or a key, names now."""
    from circuitstore.errors import UsageError
    from circuitstore.results.defaults import profile_name
    from circuitstore.results.find import find
    from circuitstore.results.which import which
    from circuitstore.storage.refs import Name
    from circuitstore.storage.tags import write_tag

    parts = ref.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"result {ref!r}", expected="[PROFILE/]BEHAVIOUR/PHASE")
    behaviour, phase = parts[-2:]
    own = parts[0] if len(parts) == 3 else options.said(profile)
    artifact = find(store, own, behaviour, phase, which(key, None))[behaviour]
    built_for = artifact.profile if key and own is None else ""
    return write_tag(store, name, Name(built_for or profile_name(own), behaviour, phase), artifact)
