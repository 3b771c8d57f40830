"""The report's words and tables on features: how many, how well they reconstruct, what they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from circuitstore.transcoders.reconstruction import normalised_mse
from tasks.drawing import markup, numerals
from tasks.drawing.labels import printed
from tasks.drawing.markup import cite, table
from tasks.drawing.style import token
from tasks.drawing.tables_features import Features, Interpretation
from tasks.drawing.tables_graphs import Circuit
from tasks.drawing.tables_prompts import Pairs

TEMPLATE = "words of the templates"
SLOTS = "slots"
ROLES = 12  # where there are more position roles, all slots are one


def features(measured: Features, labels: Interpretation, n_layers: int) -> list[str]:
    """L0 and reconstruction by layer, of a model of `n_layers` layers."""
    distinct = [measured.distinct_l0(layer, labels) for layer in measured.layers]
    every = [len(measured.place[layer]) / max(measured.positions, 1) for layer in measured.layers]
    columns = (measured.layers, every, distinct, measured.explained, measured.normalised_mse)
    known = measured.reconstructed
    rows = [
        [
            str(layer),
            f"{l0:.1f}",
            f"{once:.1f}",
            *(numerals.printed(each, ".3f") if known else "–" for each in fit),
        ]
        for layer, l0, once, *fit in zip(*columns, strict=True)
    ]
    active, count = len(labels.unit), len(np.unique(labels.data.twin.values))
    words = (
        f"<p>The transcoders of {len(measured.layers)} of the model's {n_layers} layers ({cite('dunefsky')}) "
        f"have {measured.size:,} features each. {active:,} features are active in some prompt, {count:,} of "
        "them distinct. Features whose encoder and decoder rows both have a cosine above 0.99 are one "
        "feature twice; distinct L0 counts them once. L0 and distinct L0 are means over positions.</p>"
    )
    heads = ["layer", "L0", "distinct L0", "explained variance", "normalised MSE"]
    return [words, table("layers", "Sparsity and reconstruction by layer", heads, rows)]


def by_role(measured: Features, pairs: Pairs) -> list[str]:
    """L0 and reconstruction by position role, over all prompts; nothing of cross-layer transcoders."""
    if not measured.reconstructed:
        return []
    sums = _by_role(measured, pairs)
    if len(sums) > ROLES:
        sums = _pooled(sums, lambda name: SLOTS if name.startswith("slot ") else name)
    rows = []
    for name in sorted(sums, key=lambda name: (name == TEMPLATE, pairs.place.get(name, 0.5), name)):
        count, l0, error, square = sums[name].T
        mse = normalised_mse(error, square)
        worst = int(mse.argmax())
        means = f"{(l0 / count).mean():.1f}", f"{mse.mean():.3f}"
        rows.append([name, f"{count[0]:,.0f}", *means, f"{mse[worst]:.3f} (layer {measured.layers[worst]})"])
    words = (
        "<p>By position role, means over layers. “contrast” is where the minimal pair differs, “slot” a word "
        "that varies, “last” where the answer is predicted. Explained variance is about the mean of all "
        "positions, so there is none of a role.</p>"
    )
    heads = ["position role", "positions", "L0", "normalised MSE", "of the worst layer"]
    return [words, table("roles", "The same by position role", heads, rows)]


def _by_role(measured: Features, pairs: Pairs) -> dict[str, np.ndarray]:
    """Role → (layer, 4): positions, Σ L0, Σ |error|², Σ |output|²; words of templates are one role."""
    sums: dict[str, np.ndarray] = {}
    for i, layer in enumerate(measured.layers):
        for prompt in measured.order:
            l0, square = measured.l0_at[layer, prompt], measured.square_at[layer, prompt]
            error = measured.error_at[layer, prompt] * square
            roles = pairs.roles[prompt][len(pairs.roles[prompt]) - len(l0) :]
            for role, *numbers in zip(roles, l0, error, square, strict=True):
                sums.setdefault(role, np.zeros((len(measured.layers), 4)))[i] += (1, *numbers)
    return _pooled(sums, lambda role: TEMPLATE if role[:1] in ("'", '"') else role)


def _pooled(sums: dict[str, np.ndarray], named: Callable[[str], str]) -> dict[str, np.ndarray]:
    """The sums of what is called the same."""
    result: dict[str, np.ndarray] = {}
    for name, values in sums.items():
        result[named(name)] = result.get(named(name), 0) + values
    return result


def interpretation(circuit: Circuit, labels: Interpretation, count: int) -> list[str]:
    """The features of the circuit with their labels, where they are most active and what they promote."""
    rows = []
    for layer, feature in circuit.top_features(count):
        i = labels.unit.get((layer, feature))
        if i is None:
            continue
        reviewed = (layer, feature) in labels.reviewed
        confidence = "reviewed" if reviewed else f"{float(labels.data.confidence.values[i]):.2f}"
        shown = [
            ", ".join(token(text, 18) for text in labels.tokens(name, i, 4))
            for name in ("top_token", "promoted_token", "suppressed_token")
        ]
        active = str(int(labels.data.active_prompts.values[i]))
        named = [printed(text) for text in labels.categories(layer, feature)]
        label = labels.printed(layer, feature) if reviewed else " ≡ ".join(named) or "none"
        role, merit = circuit.contribution(layer, feature)
        rows.append(
            [f"L{layer} #{feature}", role, numerals.printed(merit, "+.2f"), label, confidence, active, *shown]
        )
    words = (
        "<p>Features whose mean contribution to the margin on train prompts "
        f"({circuit.data.attrs['rank_by']} attribution) is largest in size; its sign "
        "says whether it supports the correct answer (+) or the incorrect one (−). The number is that of the "
        "position role (“at”) in which it is largest; elsewhere it may have the other sign, and where a "
        "feature is "
        "not active it counts as 0. A label is the "
        "category that accounts best for the activation; its confidence is effect size × share of the "
        "activation inside the category. “≡” joins categories that account for it equally well, the first "
        "being one whose value the feature promotes, if any is: the activations cannot tell which of them "
        f"the feature stands for.{confounded(labels)}</p>"
    )
    heads = ["feature", "at", "nats", "label", "confidence", "prompts"]
    heads += ["most active at", "promotes", "suppresses"]
    return [words, table("circuit-features", "Features of the circuit", heads, rows, tight=True)]


def confounded(labels: Interpretation) -> str:
    """What the design of the prompts makes impossible to tell apart; "" for nothing."""
    listed = [
        f"{' and '.join(names)} ({count} value{'s' if count > 1 else ''})"
        for names, count in labels.confounded()
    ]
    return (
        f" By design, these hold the same observations: {markup.words('; '.join(listed))}." if listed else ""
    )
