"""`intervene`: one text with features set to other activations, run once or continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from circuitstore.command import options, terminal

if TYPE_CHECKING:
    import xarray as xr

EDIT = ("layer", "position", "feature", "before", "after")
REGIMES = ("free", "frozen_attention", "direct")


@click.command(short_help="One text with features edited.")
@click.argument("text")
@click.option(
    "--feature",
    "-f",
    "words",
    multiple=True,
    metavar="L/P/F=VALUE",
    help="Set feature F of layer L at position P; repeatable. P counts from the prepended token, 0; -1 is "
    "the last token, 4: all from 4 on.",
)
@click.option(
    "--generate",
    "steps",
    type=options.Number(min=1),
    metavar="N",
    help="Continue the text by N tokens, with the edits held and without.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Sample at it; 0 takes the most probable.",
)
@click.option("--seed", type=int, help="Of sampling.")
@click.option(
    "--regime",
    type=click.Choice(REGIMES),
    default=REGIMES[0],
    show_default=True,
    help="What may react: everything, all but attention patterns, nothing.",
)
@click.option(
    "--constrained",
    type=options.Number(min=0),
    metavar="LAYER",
    help="Up to it, MLP outputs stay as they were.",
)
@click.option("--top", type=options.Number(min=1), default=10, show_default=True, help="Rows of a table.")
@options.profile
@options.settings
@options.store
@options.as_json
def intervene(
    text: str,
    words: tuple[str, ...],
    steps: int | None,
    temperature: float,
    seed: int | None,
    regime: str,
    constrained: int | None,
    top: int,
    profile: str,
    settings: tuple[str, ...],
    store: str,
    as_json: bool,
) -> None:
    """Run TEXT with features set to other activations, and print what changes.

    With --generate the text is continued, as it is and with the edits held in every step. The answer is kept
    in the store: asking again costs nothing. `circuitstore.intervene` and `circuitstore.generate` give it to
    a script.
    """
    from circuitstore.results import edited
    from circuitstore.results.edits import from_words

    edits = from_words(words)
    where: dict[str, Any] = {"model": profile, "store": store, "settings": settings}
    if steps is not None:
        _refuse(
            regime != REGIMES[0] or constrained is not None, "--generate", "no --regime, no --constrained"
        )
        answer = edited.generate(
            text, edits, max_new_tokens=steps, temperature=temperature, seed=seed, **where
        )
        _print_continued(text, answer, as_json)
        return
    _refuse(bool(temperature) or seed is not None, "--temperature and --seed", "--generate N beside them")
    _refuse(not edits, "intervention", "at least one --feature LAYER/POSITION/FEATURE=VALUE")
    answer = edited.intervene(text, edits, regime=regime, constrained=constrained, **where)
    shown = summary(text, answer, top)
    if as_json:
        terminal.print_json(shown)
    else:
        _print(shown)


def _refuse(wrong: bool, what: str, expected: str) -> None:
    """Raise UsageError for options that do not go together."""
    from circuitstore.errors import UsageError

    if wrong:
        raise UsageError(what, expected=expected)


def summary(text: str, answer: xr.Dataset, top: int) -> dict[str, Any]:
    """What is printed of an intervention; the keys of `intervene --json`."""
    edits = zip(*(answer[f"edit_{name}"].values.tolist() for name in EDIT), strict=True)
    tokens = [
        {"run": run, "token": token, "probability": round(share, 6)}
        for run, texts, shares in zip(
            answer.run.values.tolist(), answer.top_text.values, answer.top_probability.values, strict=True
        )
        for token, share in zip(texts.tolist()[:top], shares.tolist()[:top], strict=True)
    ]
    return {
        "text": text,
        "tokens": answer.token_text.values.tolist(),
        "edits": [
            dict(zip(("layer", "position", "feature", "before", "after"), e, strict=True)) for e in edits
        ],
        "most_probable": tokens,
        "reacting": changed(answer, top),
    }


def changed(answer: xr.Dataset, top: int) -> list[dict[str, Any]]:
    """The features whose activations change most, those that are edited left out."""
    import numpy as np

    before, after = answer.activation.values
    places = [answer[f"active_{name}"].values for name in ("layer", "position", "feature")]
    edits = (answer[f"edit_{name}"].values.tolist() for name in ("layer", "position", "feature"))
    own = set(zip(*edits, strict=True))
    rows: list[dict[str, Any]] = []
    for i in np.argsort(-np.abs(after - before), kind="stable").tolist():
        place = tuple(int(each[i]) for each in places)
        if len(rows) == top or before[i] == after[i]:
            break
        if place not in own:
            values = {"before": float(before[i]), "after": float(after[i])}
            rows.append(dict(zip(("layer", "position", "feature"), place, strict=True)) | values)
    return rows


def _print(shown: dict[str, Any]) -> None:
    for edit in shown["edits"]:
        token = shown["tokens"][edit["position"]]
        name = f"L{edit['layer']} #{edit['feature']} at {edit['position']} {token!r}"
        terminal.echo(f"set            {name}: {edit['before']:.4g} → {edit['after']:.4g}")
    for run in ("before", "after"):
        rows = [row for row in shown["most_probable"] if row["run"] == run]
        terminal.echo(f"{run:<15}" + ", ".join(f"{row['token']!r} {row['probability']:.3g}" for row in rows))
    terminal.echo("\nfeatures that react most")
    lines = [("feature", "position", "token", "before", "after")]
    for row in shown["reacting"]:
        token = repr(shown["tokens"][row["position"]])
        values = (f"{row['before']:.4g}", f"{row['after']:.4g}")
        lines.append((f"L{row['layer']} #{row['feature']}", str(row["position"]), token, *values))
    for line in terminal.table(lines, right={1, 3, 4}):
        terminal.echo(f"  {line}")


def _print_continued(text: str, answer: xr.Dataset, as_json: bool) -> None:
    runs = dict(zip(answer.run.values.tolist(), answer.continuation.values.tolist(), strict=True))
    if not as_json:
        for run, words in runs.items():
            terminal.echo(f"{run:<8}{text!r} + {words!r}")
        return
    tokens = answer.new_token.values.tolist()
    new = {run: [token for token in row if token >= 0] for run, row in zip(runs, tokens, strict=True)}
    terminal.print_json({"text": text, "continuation": runs, "tokens": new})
