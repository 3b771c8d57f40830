"""The local replacement model: the network with everything nonlinear frozen, so that it is linear.

Two things are frozen at their values for one prompt: the attention patterns, with which the norms of queries
and keys drop out, and the denominator of every norm. Each MLP is replaced by constants that enter the
residual stream after it: active features, b_dec and an error. Where a transcoder has a skip connection, it is
linear and stays part of the network. For layer l with residual stream r (position, d_model) this remains:

    middle   m_l = r_l + Σ_head P_head (r_l · scale_attn · gain_attn) W_V W_O        P_head (query, key)
    read     a target of layer l sees  m_l[p] · scale_mlp[p] · gain_mlp
    output   r_{l+1} = m_l + what enters after layer l (+ skip)

Gains are folded into the weights and the scales into the patterns, once a layer. Position 0 holds the
prepended token: it has no features and no error, and its MLP output enters as the constant it was.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), sections "The local replacement model" and
"Attribution".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from circuitstore.errors import UsageError
from circuitstore.models.capture import Capture
from circuitstore.models.load import LanguageModel
from circuitstore.transcoders.per_layer import Transcoders


@dataclass(frozen=True)
class FrozenLayer:
    """One layer of the frozen network, float32."""

    value: Tensor  # (kv_head * head_dim, d_model): W_V with the norm's gain folded in
    output: Tensor  # (d_model, head * head_dim): W_O
    # (kv_head, head of its group, query position, key position), scale of the key position folded in
    pattern: Tensor
    constant: Tensor | None  # (d_model,): what the biases of W_V and W_O add at every position
    skip: Tensor | None  # (d_model out, d_model in): W_skip with the MLP norm's gain folded in
    skip_scale: Tensor  # (position,): scale of the MLP norm; 0 where no transcoder stands in for the MLP


class FrozenNetwork:
    """The frozen network of one prompt.

    A layer is folded when it is asked for, so that only one is in memory beside the model.
    """

    def __init__(self, model: LanguageModel, run: Capture, transcoders: Transcoders, covered: Tensor):
        """``run`` must hold attention patterns, else UsageError is raised.

        ``covered`` (layer, position) bool says where a transcoder replaces the MLP.
        """
        if run.patterns is None:
            raise UsageError(
                "frozen network", expected="a capture with attention patterns", got="one without"
            )
        self.model, self.run, self.transcoders = model, run, transcoders
        self.covered, self.patterns = covered, run.patterns
        self.n_layers, self.d_model, self.n_positions = model.n_layers, model.d_model, len(run.tokens)
        self.device = model.device

    def layer(self, index: int) -> FrozenLayer:
        """Fold layer ``index``."""
        parts, module = self.model.parts, self.model.parts.layers[index]
        output = module.output.weight.float()
        groups = (parts.n_kv_heads, parts.n_heads // parts.n_kv_heads)
        constant = None
        if module.value.bias is not None:
            # Every row of a pattern sums to 1, so the bias of the values passes it unchanged.
            bias = module.value.bias.float().view(parts.n_kv_heads, 1, parts.head_dim).expand(*groups, -1)
            constant = output @ bias.reshape(-1)
        if module.output.bias is not None:
            constant = module.output.bias.float() + (0 if constant is None else constant)
        skip = self.transcoders.layer(index).skip if self.covered[index].any() else None
        return FrozenLayer(
            value=module.value.weight.float() * _gain(module.attention_norm),
            output=output,
            pattern=(self.patterns[index] * self.run.attention_scale[index]).unflatten(0, groups),
            constant=constant,
            skip=None if skip is None else skip * _gain(module.mlp_norm),
            skip_scale=self.run.mlp_scale[index] * self.covered[index],
        )

    def feature_reads(self, layer: int, positions: Tensor, encoders: Tensor) -> Tensor:
        """What features read of the middle residual stream: encoder rows (target, d_model) → same shape.

        ``positions`` (target,) int64 say where the features are.
        """
        gain = _gain(self.model.parts.layers[layer].mlp_norm)
        return encoders * gain * self.run.mlp_scale[layer, positions, None]

    def logit_reads(self, directions: Tensor) -> Tensor:
        """What logits read of the final residual stream at the last position: (target, d_model) → same."""
        return directions * _gain(self.model.parts.final_norm) * self.run.final_scale[-1]

    def skip_output(self, layer: int) -> Tensor | None:
        """What the skip connection of ``layer`` writes in the real model: (position, d_model) float32.

        It is 0 where no transcoder replaces the MLP. The result is None without a skip connection.
        """
        skip = self.transcoders.layer(layer).skip
        if skip is None:
            return None
        return self.run.mlp_input[layer].float() @ skip.T * self.covered[layer, :, None]

    def carry(self, entering: Callable[[int], Tensor], *, biased: bool) -> Iterator[Tensor]:
        """Carry constants forward through the whole network, over all positions.

        ``entering(l)`` (channel, position, d_model) enters at the input of layer l; with l = n_layers it is
        what the last MLP writes. With ``biased`` the biases of attention enter channel 0. Yields the middle
        residual stream of every layer, then the final one, each (channel, position, d_model).
        """
        stream = entering(0)
        for index in range(self.n_layers):
            layer = self.layer(index)
            # (channel, key, kv_head, head_dim)
            values = (stream @ layer.value.T).unflatten(-1, (len(layer.pattern), -1))
            mixed = torch.einsum("hgqk,ckhd->cqhgd", layer.pattern, values)
            stream = stream + mixed.flatten(2) @ layer.output.T
            if biased and layer.constant is not None:
                stream[0] += layer.constant
            yield stream
            if layer.skip is not None:
                stream = stream + (stream * layer.skip_scale[:, None]) @ layer.skip.T
            stream = stream + entering(index + 1)
        yield stream


def _gain(norm: nn.Module) -> Tensor:
    return cast(Tensor, norm.weight).float()
