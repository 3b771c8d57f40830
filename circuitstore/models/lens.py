"""Which output tokens a direction written to the residual stream promotes and suppresses: the logit lens.

Source: *Interpreting GPT: the logit lens* (nostalgebraist, 2020), applied to decoders as in *On the Biology
of a Large Language Model* (Anthropic, 2025), where a feature's top outputs are those its decoder adds most
to. Only the direct path counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from circuitstore.models.load import LanguageModel

_VOCABULARY_CHUNK = 16_384  # unembedding rows raised to float32 at a time
_DIRECTIONS = 1_024  # multiplied with them at a time


@dataclass(frozen=True)
class ExtremeTokens:
    """The tokens that each direction moves most, strongest first; ids int32 and values float32, all
    (direction, token_rank).
    """

    promoted: np.ndarray
    promoted_value: np.ndarray
    suppressed: np.ndarray
    suppressed_value: np.ndarray


@torch.no_grad()
def extreme_tokens(model: LanguageModel, directions: Tensor, count: int) -> ExtremeTokens:
    """The ``count`` tokens (or all, if fewer) with the largest and smallest value for each direction
    (direction, d_model).

    value[token] = direction · (gain ⊙ (W_U[token] - mean of W_U over tokens)), gain being that of the final
    norm. Times a feature's activation and over the root mean square of the final residual stream at its
    position, it is what the feature adds directly to the token's logit, less the mean over tokens, in nats.
    Ids that the tokenizer does not have are left out.
    """
    unembedding, known = model.parts.unembedding, len(model.tokenizer)
    scaled = directions.to(model.device, torch.float32) * cast(Tensor, model.parts.final_norm.weight).float()
    blocks = scaled.split(_DIRECTIONS)
    means = [(block @ model.parts.mean_unembedding)[:, None] for block in blocks]
    running = [(_Running(count, largest=True), _Running(count, largest=False)) for _ in blocks]
    for start in range(0, min(known, len(unembedding)), _VOCABULARY_CHUNK):
        rows = unembedding[start : min(start + _VOCABULARY_CHUNK, known)].float()
        for block, mean, (largest, smallest) in zip(blocks, means, running, strict=True):
            values = block @ rows.T - mean
            largest.see(values, start)
            smallest.see(values, start)
    columns = [(*largest.arrays(), *smallest.arrays()) for largest, smallest in running]
    return ExtremeTokens(*(np.concatenate(column) for column in zip(*columns, strict=True)))


class _Running:
    """The most extreme values of a row, seen chunk by chunk."""

    def __init__(self, count: int, *, largest: bool):
        self.count, self.largest = count, largest
        self.values: Tensor | None = None
        self.ids: Tensor | None = None

    def see(self, values: Tensor, start: int) -> None:
        found = torch.topk(values, min(self.count, values.shape[1]), largest=self.largest)
        kept, ids = found.values, found.indices + start
        if self.values is not None and self.ids is not None:
            kept, ids = torch.cat([self.values, kept], dim=1), torch.cat([self.ids, ids], dim=1)
            best = torch.topk(kept, min(self.count, kept.shape[1]), largest=self.largest)
            kept, ids = best.values, ids.gather(1, best.indices)
        self.values, self.ids = kept, ids

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.ids is not None and self.values is not None
        return self.ids.cpu().numpy().astype(np.int32), self.values.cpu().numpy()
