"""Where an architecture keeps its parts.

The rest of the library speaks of "the value projection of layer 3". This table says how transformers calls
it. Another pre-norm architecture with RMS norms is one more entry and nothing else. Graphs need no queries
and keys: these only make the attention pattern, which is captured as a whole, and with it whatever is
peculiar to it: local attention, caps of scores. They are here to explain scores.

The blocks of Gemma 2 and 3 have a norm after attention and one after the MLP too. All Gemmas store gains less
1. The factor of their embeddings is in what the first block is given, from where embeddings are captured.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import attrgetter
from typing import Any, cast

import torch
from torch import Tensor, nn

from circuitstore.errors import ModelError
from circuitstore.models.bits import raised


@dataclass(frozen=True)
class Family:
    """Attribute paths: the first five start at the model, the others at one of its layers.

    A part that the architecture does not have is None.
    """

    trunk: str = "model"  # everything but the unembedding
    embeddings: str = "model.embed_tokens"
    layers: str = "model.layers"
    final_norm: str = "model.norm"
    unembedding: str = "lm_head"
    attention: str = "self_attn"
    query: str = "self_attn.q_proj"
    key: str = "self_attn.k_proj"
    value: str = "self_attn.v_proj"
    output: str = "self_attn.o_proj"
    attention_norm: str = "input_layernorm"
    mlp_norm: str = "post_attention_layernorm"
    mlp: str = "mlp"
    post_attention_norm: str | None = None  # between attention and the residual stream
    post_mlp_norm: str | None = None  # between the MLP and the residual stream
    query_norm: str | None = None  # of each head's query, before its rotation
    key_norm: str | None = None
    gain_offset: float = 0.0  # the gain of a norm is its weight plus this
    logit_cap: str | None = None  # name in config.json of c: the logits are c · tanh(logits / c)


QUERY_NORM, KEY_NORM = "self_attn.q_norm", "self_attn.k_norm"
GEMMA = Family(
    mlp_norm="pre_feedforward_layernorm",
    post_attention_norm="post_attention_layernorm",
    post_mlp_norm="post_feedforward_layernorm",
    gain_offset=1.0,
    logit_cap="final_logit_softcapping",
)
FAMILIES: dict[str, Family] = {
    "apertus": Family(
        attention_norm="attention_layernorm",
        mlp_norm="feedforward_layernorm",
        query_norm=QUERY_NORM,
        key_norm=KEY_NORM,
    ),
    "gemma": Family(gain_offset=1.0),
    "gemma2": GEMMA,
    "gemma3_text": replace(GEMMA, query_norm=QUERY_NORM, key_norm=KEY_NORM),
    "llama": Family(),
    "ministral": Family(),
    "mistral": Family(),
    "qwen2": Family(),
    "qwen3": Family(query_norm=QUERY_NORM, key_norm=KEY_NORM),
    "seed_oss": Family(),
}


@dataclass(frozen=True)
class Layer:
    """The modules of one layer, in the order a forward pass meets them."""

    attention_norm: nn.Module
    attention: nn.Module
    query: nn.Linear  # weight (head * head_dim, d_model), bias optional
    key: nn.Linear  # weight (kv_head * head_dim, d_model), bias optional
    value: nn.Linear  # weight (kv_head * head_dim, d_model), bias optional
    output: nn.Linear  # weight (d_model, head * head_dim), bias optional
    mlp_norm: nn.Module
    mlp: nn.Module
    post_attention_norm: nn.Module | None
    post_mlp_norm: nn.Module | None
    query_norm: nn.Module | None
    key_norm: nn.Module | None


@dataclass(frozen=True)
class Parts:
    """A model taken apart. ``embeddings`` and ``unembedding`` are (token, d_model), one tensor when tied."""

    trunk: nn.Module  # token ids → output of the final norm
    embeddings: Tensor
    layers: tuple[Layer, ...]
    first_block: nn.Module  # is given the embeddings, with their factor if they have one
    final_norm: nn.Module
    unembedding: Tensor
    n_heads: int
    n_kv_heads: int
    head_dim: int
    norm_epsilon: float
    gain_offset: float = 0.0
    logit_cap: float | None = None

    def gain(self, norm: nn.Module) -> Tensor:
        """What a norm multiplies with after it has divided: (d_model,) float32."""
        return cast(Tensor, norm.weight).float() + self.gain_offset

    def capped(self, logits: Tensor) -> Tensor:
        """The model's logits, any shape, from products with the unembedding: the same without a cap."""
        cap = self.logit_cap
        return logits if cap is None else torch.tanh(logits / cap) * cap

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

    def part(name: str, of: nn.Module = model) -> Any:
        path = getattr(family, name)
        return None if path is None else attrgetter(path)(of)

    names = [field.name for field in fields(Layer)]
    return Parts(
        trunk=part("trunk"),
        embeddings=part("embeddings").weight,
        layers=tuple(Layer(**{name: part(name, layer) for name in names}) for layer in part("layers")),
        first_block=part("layers")[0],
        final_norm=part("final_norm"),
        unembedding=part("unembedding").weight,
        n_heads=config.num_attention_heads,
        n_kv_heads=config.num_key_value_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        norm_epsilon=config.rms_norm_eps,
        gain_offset=family.gain_offset,
        logit_cap=getattr(config, family.logit_cap, None) if family.logit_cap else None,
    )
