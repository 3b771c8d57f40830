"""Which output tokens a direction of the residual stream promotes and suppresses: the logit lens.

Only the direct path to the logits counts. The tokens that a feature's decoder promotes most are its top
outputs.

Sources: *Interpreting GPT: the logit lens* (nostalgebraist, 2020); for decoders *On the Biology of a Large
Language Model* (Anthropic, 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitstore.models.load import LanguageModel

_VOCABULARY_CHUNK = 16_384  # unembedding rows raised to float32 at a time
_DIRECTIONS = 1_024  # multiplied with them at a time


@dataclass(frozen=True)
class ExtremeTokens:
    """The tokens that each direction moves most, strongest first; all (direction, token_rank)."""

    promoted: NDArray[np.int32]  # token ids
    promoted_value: NDArray[np.float32]
    suppressed: NDArray[np.int32]  # token ids
    suppressed_value: NDArray[np.float32]


@torch.no_grad()
def extreme_tokens(model: LanguageModel, directions: Tensor, count: int) -> ExtremeTokens:
    """The ``count`` tokens with the largest and smallest value for each direction (direction, d_model).

    value[token] = direction · (gain ⊙ (W_U[token] − mean of W_U over tokens)), where gain is that of the
    final norm. For a decoder row, value · activation / root mean square of the final residual stream is what
    the feature adds directly to the token's logit, less the mean over tokens, in nats. All tokens are
    returned if there are fewer than ``count``. Ids that the tokenizer does not have are left out.
    """
    unembedding, known = model.parts.unembedding, len(model.tokenizer)
    scaled = directions.to(model.device, torch.float32) * model.parts.gain(model.parts.final_norm)
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
    """The most extreme values of each row, when columns come chunk by chunk."""

    def __init__(self, count: int, *, largest: bool):
        self.count, self.largest = count, largest
        self.values: Tensor | None = None
        self.ids: Tensor | None = None

    def see(self, values: Tensor, start: int) -> None:
        """Take in values (row, column); their first column is ``start``."""
        top = torch.topk(values, min(self.count, values.shape[1]), largest=self.largest)
        kept, ids = top.values, top.indices + start
        if self.values is not None and self.ids is not None:
            kept, ids = torch.cat([self.values, kept], dim=1), torch.cat([self.ids, ids], dim=1)
            best = torch.topk(kept, min(self.count, kept.shape[1]), largest=self.largest)
            kept, ids = best.values, ids.gather(1, best.indices)
        self.values, self.ids = kept, ids

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids and values so far, each (row, rank)."""
        assert self.ids is not None and self.values is not None
        return self.ids.cpu().numpy().astype(np.int32), self.values.cpu().numpy()
