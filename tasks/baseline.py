"""Phase `baseline`: what the model answers, before anything is taken apart.

Margins are computed in float32 whatever the model's dtype: half precision would round them to steps of 1/16.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from circuitstore.models.capture import capture


def baseline(cells, config, prompts, model):
    """Yield one dataset a prompt; all values at the last position.

    logit_correct, logit_incorrect, logit_difference: float32, nats; log_prob_correct, log_prob_incorrect:
    float32, nats; rank_correct: int32, 1 for the most probable token; top_token (top,) int32, top_text
    (top,), top_logit and top_log_prob (top,) float32, the `top_k` most probable tokens in order.
    """
    for cell in cells:
        prompt = prompts.one(cell)
        logits = capture(model, prompt.tokens.values.tolist(), last_only=True).logits[-1]
        log_probs = torch.log_softmax(logits, -1)
        correct, incorrect = int(prompt.correct_id), int(prompt.incorrect_id)
        top = torch.topk(logits, min(config.top_k, len(logits)))
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
                    "top_text": (
                        "top",
                        np.array([model.tokenizer.decode([int(token)]) for token in top.indices], dtype=str),
                    ),
                    "top_logit": ("top", top.values.numpy(force=True), nats),
                    "top_log_prob": ("top", log_probs[top.indices].numpy(force=True), nats),
                }
            ),
        )


def summary(cells, config):
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
