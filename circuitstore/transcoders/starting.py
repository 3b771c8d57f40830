"""Where the features of a transcoder start: at first, and anew when they are dead or repeat another.

A feature starts from a sample of the corpus. Its encoder row is the sample's input. Its decoder row is the
sample's output at first, and later what of it is not yet explained. Texts that begin alike give equal
samples, and features that start from equal samples have equal gradients for ever. So they start from
distinct samples, each moved a little.

Sources: starting from samples and resampling dead features where the loss is large: Bricken et al. (2023),
*Towards Monosemanticity*, "Neuron resampling".
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from circuitstore.transcoders.distinct import distinct_rows, repeated, twins

if TYPE_CHECKING:
    from circuitstore.transcoders.training import Recipe

FIRST_THRESHOLD = 0.1
JITTER, FAR = 0.02, 0.3  # how far a feature starts from its sample, and from one that another starts from
ALIKE = 0.95  # the cosine of encoder and decoder rows from which a feature is resampled: before it is a twin
PER_FEATURE = 8  # drawn samples a feature, among which distinct ones are looked for
PER_FEATURE_WEIGHTS = {"W_enc", "b_enc", "W_dec", "log_threshold"}

Samples = tuple[Tensor, Tensor]  # inputs and outputs (layer, sample, d_model), of mean 0 and size 1


def generator_of(seed: int, layer: int) -> torch.Generator:
    """The random numbers of one layer: they depend on seed and layer alone."""
    digest = hashlib.sha256(f"{seed}\0{layer}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


@torch.no_grad()
def initial(
    samples: Samples, checked: Samples, recipe: Recipe, draws: list[torch.Generator]
) -> dict[str, nn.Parameter]:
    """First weights, each (layer, …): feature i reads and writes what belongs to one of the samples.

    The biases make the features sparse on the samples ``checked`` from the start.
    """
    starts = [_starts(x, y, recipe.features, draw) for x, y, draw in zip(*samples, draws, strict=True)]
    encoder, decoder = (torch.stack(rows) for rows in zip(*starts, strict=True))
    x, y = checked
    pre = x @ encoder.mT
    bias = -pre.quantile(_silent_share(recipe), dim=1, keepdim=True)
    written = (pre + bias).relu() @ decoder
    size = (written * y).sum((1, 2), keepdim=True) / written.square().sum((1, 2), keepdim=True)
    layers, _, width = x.shape
    weights = {
        "W_enc": encoder * size,
        "b_enc": bias * size,
        "W_dec": decoder,
        "b_dec": x.new_zeros(layers, 1, width),
    }
    if recipe.kind == "jumprelu":
        weights["log_threshold"] = x.new_full((layers, 1, recipe.features), math.log(FIRST_THRESHOLD))
    if recipe.skip:
        weights["W_skip"] = x.new_zeros(layers, width, width)
    return {name: nn.Parameter(weight) for name, weight in weights.items()}


@torch.no_grad()
def resample(
    weights: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    dead: Tensor,
    samples: Samples,
    unexplained: Tensor,
    recipe: Recipe,
    draws: list[torch.Generator],
) -> Tensor:
    """Start anew, in place, the features that are ``dead`` or repeat another: (layer, feature) bool.

    They start from ``samples``, drawn with the squared norm of what is ``unexplained`` of their outputs
    (layer, sample, d_model). Returns which features that were.
    """
    anew = dead.clone()
    for layer, draw in enumerate(draws):
        encoder, decoder = weights["W_enc"][layer], weights["W_dec"][layer]
        anew[layer] |= torch.from_numpy(repeated(twins(encoder, decoder, ALIKE))).to(anew.device)
        rows = anew[layer].nonzero()[:, 0]
        if not len(rows):
            continue
        x, rest = samples[0][layer], unexplained[layer]
        # The samples with the largest weight / Exp(1) are a draw without replacement, by weight.
        luck = torch.empty(len(x)).exponential_(generator=draw).to(x.device)
        order = (rest.square().sum(1) / luck).argsort(descending=True)
        read, written = _starts(x[order], rest[order], len(rows), draw)
        living = ~anew[layer]
        size = encoder[living].norm(dim=1).median() if living.any() else encoder.norm(dim=1).median()
        encoder[rows], decoder[rows] = read * size, written
        pre = x @ encoder[rows].T
        weights["b_enc"][layer, 0, rows] = -pre.quantile(_silent_share(recipe), dim=0)
        if recipe.kind == "jumprelu":
            weights["log_threshold"][layer, 0, rows] = math.log(FIRST_THRESHOLD)
        _forget(weights, optimizer, layer, rows)
    return anew


def _forget(
    weights: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, layer: int, rows: Tensor
) -> None:
    """Set to 0 what Adam keeps of features `rows` (n,) of a layer."""
    for name in PER_FEATURE_WEIGHTS & weights.keys():
        for moment in ("exp_avg", "exp_avg_sq"):
            kept = optimizer.state[weights[name]][moment][layer]
            (kept if name.startswith("W_") else kept[0])[rows] = 0


def _starts(x: Tensor, y: Tensor, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Encoder and decoder rows (count, d_model) of norm 1, from samples (sample, d_model) in their order.

    Distinct samples come first. If there are too few, they are taken again and moved further.
    """
    rows = distinct_rows(x, count)
    index = torch.arange(count, device=x.device) % len(rows)
    far = torch.where(torch.arange(count, device=x.device) < len(rows), JITTER, FAR)[:, None]

    def moved(values: Tensor) -> Tensor:
        noise = torch.randn(count, values.shape[1], generator=draw).to(values)
        unit = normalize(values[rows][index].float(), dim=1)
        return normalize(unit + far * normalize(noise, dim=1), dim=1)

    return moved(x), moved(y)


def _silent_share(recipe: Recipe) -> float:
    """The share of samples at which a feature is silent when it starts."""
    sparse = recipe.l0_start if recipe.kind == "jumprelu" else recipe.k
    return max(1 - sparse / recipe.features, 0.0)
