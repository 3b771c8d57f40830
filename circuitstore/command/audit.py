"""`audit`: how good a set of transcoders is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    import xarray as xr

OF_LAYER = ("explained_variance", "normalised_mse", "l0", "dead")


@click.command(short_help="How good the transcoders are, on texts.")
@click.argument("file", metavar="FILE", shell_complete=options.offering("files"))
@options.profile
@options.settings
@options.store
@options.as_json
def audit(file: str, profile: str, settings: tuple[str, ...], store: str, as_json: bool) -> None:
    """Measure the transcoders of a profile on FILE, which has one text a line.

    For each layer in use: explained variance, normalised error, active features (L0) and dead features. For
    all together: how often the model still says the same when they replace its MLPs. A warning says if they
    fit far better where they are not said to read and write. Last, how far edges in bfloat16 are from those
    in float32. The answer is kept in the store. `circuitstore.audit` gives it to a script.
    """
    from circuitstore.results.audit import audit as audit_texts

    shown = summary(audit_texts(file, profile=profile, store=store, settings=settings))
    if shown["hook_warning"]:
        terminal.echo(f"warning: {shown['hook_warning']}", err=True)
    if as_json:
        terminal.print_json(shown)
    else:
        _print(shown)


def summary(answer: xr.Dataset) -> dict[str, Any]:
    """What is printed of an audit; the keys of `audit --json`. What is undefined is None."""
    answer = answer.load()
    columns = {name: answer[name].values.tolist() for name in ("layer", *OF_LAYER)}
    hooks = zip(answer.hook.values.tolist(), answer.hook_explained_variance.values.mean(1), strict=True)
    quantiles = [f"q{round(100 * share):02}" for share in answer["quantile"].values.tolist()]
    edges = [
        {
            "size": size,
            "count": count,
            "sign_changed": _number(changed),
            "ratio": dict(zip(quantiles, map(_number, ratios), strict=True)),
        }
        for size, count, changed, ratios in zip(
            *(answer[name].values.tolist() for name in ("edge_size", "edge_count", "sign_changed")),
            answer.edge_ratio.values.tolist(),
            strict=True,
        )
    ]
    return {
        "texts": int(answer.text_count),
        "tokens": int(answer.token_count),
        "layers": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        "agreement": float(answer.agreement),
        "divergence": float(answer.divergence),
        "hooks": [{"hook": hook, "explained_variance": float(share)} for hook, share in hooks],
        "hook_warning": str(answer.hook_warning.values),
        "edges": edges,
        "shared_nodes": answer.shared_nodes.values.tolist(),
    }


def _number(value: float) -> float | None:
    return value if value == value else None  # NaN is not JSON


def _print(shown: dict[str, Any]) -> None:
    terminal.echo(f"measured on    {shown['texts']} texts, {shown['tokens']} tokens")
    terminal.echo(f"agreement      {shown['agreement']:.3f}   KL {shown['divergence']:.4f} nats\n")
    layers = []
    for row in shown["layers"]:
        shares = (f"{row['explained_variance']:.3f}", f"{row['normalised_mse']:.3f}")
        layers.append((str(row["layer"]), *shares, f"{row['l0']:.1f}", f"{row['dead']:.3f}"))
    _table(("layer", "explained", "error", "L0", "dead"), layers)
    hooks = [(row["hook"], f"{row['explained_variance']:.3f}") for row in shown["hooks"]]
    _table(("reads → writes", "explained"), hooks)
    if not shown["shared_nodes"]:
        return
    edges = []
    for row in shown["edges"]:
        values = [row["sign_changed"], *row["ratio"].values()]
        texts = ["" if value is None else f"{value:.4f}" for value in values]
        edges.append((f"≥ {row['size']:g}", str(row["count"]), *texts))
    terminal.echo("edges in bfloat16 as multiples of those in float32, by their share of the largest edge")
    _table(("edge size", "edges", "sign changed", *shown["edges"][0]["ratio"]), edges)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    for line in terminal.table([head, *rows], right=set(range(1, len(head)))):
        terminal.echo(f"  {line}")
    terminal.echo()
