"""Where an architecture keeps its parts.

The rest of the library speaks of "the value projection of layer 3". This table says how transformers calls
it. Another pre-norm architecture with RMS norms, Mistral for example, is one more entry and nothing else.
Queries and keys are absent on purpose: they only make the attention pattern, which is captured as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from circuitstore.errors import ModelError
from circuitstore.models.bits import raised


@dataclass(frozen=True)
class Family:
    """Attribute paths: the first five start at the model, the others at one of its layers."""

    trunk: str = "model"  # everything but the unembedding
    embeddings: str = "model.embed_tokens"
    layers: str = "model.layers"
    final_norm: str = "model.norm"
    unembedding: str = "lm_head"
    attention: str = "self_attn"
    value: str = "self_attn.v_proj"
    output: str = "self_attn.o_proj"
    attention_norm: str = "input_layernorm"
    mlp_norm: str = "post_attention_layernorm"
    mlp: str = "mlp"


FAMILIES: dict[str, Family] = {
    "qwen3": Family(),
    # Llama 3.2 and SmolLM2 have no norms of queries and keys, which are not among the parts anyway.
    "llama": Family(),
}


@dataclass(frozen=True)
class Layer:
    """The modules of one layer, in the order a forward pass meets them."""

    attention_norm: nn.Module
    attention: nn.Module
    value: nn.Linear  # weight (kv_head * head_dim, d_model), bias optional
    output: nn.Linear  # weight (d_model, head * head_dim), bias optional
    mlp_norm: nn.Module
    mlp: nn.Module


@dataclass(frozen=True)
class Parts:
    """A model taken apart. ``embeddings`` and ``unembedding`` are (token, d_model), one tensor when tied."""

    trunk: nn.Module  # token ids → output of the final norm
    embeddings: Tensor
    layers: tuple[Layer, ...]
    final_norm: nn.Module
    unembedding: Tensor
    n_heads: int
    n_kv_heads: int
    head_dim: int
    norm_epsilon: float

    @cached_property
    def mean_unembedding(self) -> Tensor:
        """The mean row of the unembedding (d_model,) float32."""
        total = torch.zeros(self.unembedding.shape[1], device=self.unembedding.device)
        for _, rows in raised(self.unembedding, self.unembedding.device):
            total += rows.sum(0)
        return total / len(self.unembedding)


def family_of(model_type: str) -> Family:
    """The entry of an architecture, the ``model_type`` of a config.json. Raises ModelError when unknown."""
    if model_type not in FAMILIES:
        raise ModelError(
            "model architecture",
            expected=" or ".join(sorted(FAMILIES)),
            got=model_type,
            remedy="add an entry to FAMILIES in circuitstore/models/families.py",
        )
    return FAMILIES[model_type]


def take_apart(model: nn.Module) -> Parts:
    """The parts of a loaded transformers model. Raises ModelError for an unknown architecture."""
    config: Any = model.config
    family = family_of(config.model_type)

    def part(name: str) -> Any:
        return attrgetter(getattr(family, name))(model)

    names = [field.name for field in fields(Layer)]
    return Parts(
        trunk=part("trunk"),
        embeddings=part("embeddings").weight,
        layers=tuple(
            Layer(**{name: attrgetter(getattr(family, name))(layer) for name in names})
            for layer in part("layers")
        ),
        final_norm=part("final_norm"),
        unembedding=part("unembedding").weight,
        n_heads=config.num_attention_heads,
        n_kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        norm_epsilon=config.rms_norm_eps,
    )
