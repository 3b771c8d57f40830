"""Phase `baseline`: what the model answers before anything is taken apart.

Margins are computed in float32 whatever the dtype of the model: half precision would round them to steps of
1/16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from circuitstore.models.capture import capture
from circuitstore.models.token_text import token_text
from circuitstore.texts import text_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from circuitstore.engine.inputs import Upstream
    from circuitstore.models.load import LanguageModel
    from circuitstore.storage.records import Coords
    from tasks.settings.phases import Baseline


def baseline(
    cells: list[Coords], config: Baseline, prompts: Upstream, model: LanguageModel
) -> Iterator[tuple[Coords, xr.Dataset]]:
    """Yield one dataset for each prompt. All values are read at the last position.

    logit_correct, logit_incorrect         float32, nats
    logit_difference                       float32, nats: correct - incorrect, the margin
    log_prob_correct, log_prob_incorrect   float32, nats
    rank_correct                           int32: 1 if the correct answer is the most probable token
    top_token, top_text                    (top,) int32 and text: the `top_k` most probable tokens
    top_logit, top_log_prob                (top,) float32, nats, in the same order
    """
    for cell in cells:
        prompt = prompts.one(cell)
        logits = capture(model, prompt.tokens.values.tolist(), last_only=True).logits[-1].cpu()
        log_probs = torch.log_softmax(logits, -1)
        correct, incorrect = int(prompt.correct_id), int(prompt.incorrect_id)
        top = torch.topk(logits, min(config.top_k, len(logits)))
        texts = [token_text(model.tokenizer, int(token)) for token in top.indices]
        nats = {"units": "nats"}
        yield (
            cell,
            xr.Dataset(
                {
                    "logit_correct": ((), np.float32(logits[correct]), nats),
                    "logit_incorrect": ((), np.float32(logits[incorrect]), nats),
                    "logit_difference": ((), np.float32(logits[correct] - logits[incorrect]), nats),
                    "log_prob_correct": ((), np.float32(log_probs[correct]), nats),
                    "log_prob_incorrect": ((), np.float32(log_probs[incorrect]), nats),
                    "rank_correct": ((), np.int32(1 + (logits > logits[correct]).sum())),
                    "top_token": ("top", top.indices.numpy(force=True).astype(np.int32)),
                    "top_text": ("top", text_array(texts)),
                    "top_logit": ("top", top.values.numpy(force=True), nats),
                    "top_log_prob": ("top", log_probs[top.indices].numpy(force=True), nats),
                }
            ),
        )


def summary(cells: Iterable[tuple[Coords, xr.Dataset]], config: Baseline) -> dict[str, object]:
    """Accuracy (the share of prompts with a positive margin), its gate, and the mean margin in nats."""
    margins, ranks = np.array([(float(cell.logit_difference), int(cell.rank_correct)) for _, cell in cells]).T
    accuracy = float((margins > 0).mean())
    failed = (
        f"accuracy {accuracy:.3f} on {len(margins)} prompts is below the gate of {config.gate:.3f}"
        if accuracy < config.gate
        else ""
    )
    return {
        "prompts": len(margins),
        "accuracy": accuracy,
        "top1_accuracy": float((ranks == 1).mean()),
        "mean_logit_difference": float(margins.mean()),
        "gate": failed,
    }
