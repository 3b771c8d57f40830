"""The local replacement model: the network with everything nonlinear frozen, so that it is linear.

Two things are frozen at their values for one prompt: the attention patterns, with which the norms of queries
and keys drop out, and the denominator of every norm. Each MLP is replaced by constants that enter the
residual stream after it: active features, b_dec and an error. Where a transcoder has a skip connection, it is
linear and stays part of the network. For layer l with residual stream r (position, d_model) this remains:

    middle   m_l = r_l + Σ_head P_head (r_l · scale_attn · gain_attn) W_V W_O        P_head (query, key)
    read     a target of layer l sees  m_l[p] · scale_mlp[p] · gain_mlp
    output   r_{l+1} = m_l + what enters after layer l (+ skip)

Norms after attention and after the MLP (Gemma) are frozen too: what passes them is multiplied by their gain
and by the scale of its position. Transcoders may read before the gain or before the norm, and write before or
after the norm that follows the MLP (`circuitstore.models.hooks`). Gains are folded into the weights and the
scales into the patterns, once a layer. Position 0 holds the prepended token: it has no features and no error,
and its MLP output enters as the constant it was.

Source: *Circuit Tracing: Attribution Graphs* (Anthropic, 2025), sections "The local replacement model" and
"Attribution".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitstore.errors import UsageError
from circuitstore.models import hooks
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
    constant: Tensor | None  # (d_model,) or (position, d_model): what the biases of W_V and W_O add
    skip: Tensor | None  # (d_model out, d_model in): W_skip with the gains around it folded in
    skip_scale: Tensor  # (position,): scales around W_skip; 0 where no transcoder stands in for the MLP


class FrozenNetwork:
    """The frozen network of one prompt.

    A layer is folded when it is asked for, so that only one is in memory beside the model.
    """

    def __init__(
        self,
        model: LanguageModel,
        run: Capture,
        transcoders: Transcoders,
        covered: Tensor,
        n_layers: int | None = None,
    ):
        """``run`` must hold attention patterns, else UsageError is raised.

        ``covered`` (layer, position) bool says where a transcoder replaces the MLP. With ``n_layers`` the
        network ends below the layer of that number, whose input takes the place of the final residual stream.
        """
        if run.patterns is None:
            raise UsageError(
                "frozen network", expected="a capture with attention patterns", got="one without"
            )
        self.model, self.run, self.transcoders = model, run, transcoders
        self.covered, self.patterns = covered, run.patterns
        self.n_layers = model.n_layers if n_layers is None else n_layers
        self.d_model, self.n_positions = model.d_model, len(run.tokens)
        self.device = model.device

    def layer(self, index: int) -> FrozenLayer:
        """Fold layer ``index``."""
        parts, module = self.model.parts, self.model.parts.layers[index]
        output, pattern = module.output.weight.float(), self.patterns[index] * self.run.attention_scale[index]
        groups = (parts.n_kv_heads, parts.n_heads // parts.n_kv_heads)
        constant = None
        if module.value.bias is not None:
            # Every row of a pattern sums to 1, so the bias of the values passes it unchanged.
            bias = module.value.bias.float().view(parts.n_kv_heads, 1, parts.head_dim).expand(*groups, -1)
            constant = output @ bias.reshape(-1)
        if module.output.bias is not None:
            constant = module.output.bias.float() + (0 if constant is None else constant)
        if module.post_attention_norm is not None and self.run.post_attention_scale is not None:
            gain, scale = parts.gain(module.post_attention_norm), self.run.post_attention_scale[index]
            output, pattern = output * gain[:, None], pattern * scale[:, None]
            constant = None if constant is None else constant * gain * scale[:, None]
        skip = self.transcoders.layer(index).skip if self.covered[index].any() else None
        read_gain, read_scale = self._reading(index)
        skip_scale = read_scale * self.covered[index]
        if skip is not None:
            skip = skip if read_gain is None else skip * read_gain
            if (written := self._writing(index)) is not None:
                skip, skip_scale = skip * written[0][:, None], skip_scale * written[1]
        return FrozenLayer(
            value=module.value.weight.float() * parts.gain(module.attention_norm),
            output=output,
            pattern=pattern.unflatten(0, groups),
            constant=constant,
            skip=skip,
            skip_scale=skip_scale,
        )

    def _reading(self, layer: int) -> tuple[Tensor | None, Tensor]:
        """What transcoders read of the middle residual stream: gain (d_model,), scale (position,)."""
        reads, norm = self.run.hooks.reads, self.model.parts.layers[layer].mlp_norm
        gain = self.model.parts.gain(norm) if reads == hooks.INPUT else None
        scale = self.run.mlp_scale[layer]
        return gain, torch.ones_like(scale) if reads == hooks.MIDDLE else scale

    def _writing(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """The gain (d_model,) and scale (position,) of a norm that follows what transcoders write."""
        module = self.model.parts.layers[layer]
        if self.run.hooks.before(module) is None:
            return None
        assert module.post_mlp_norm is not None and self.run.post_mlp_scale is not None
        return self.model.parts.gain(module.post_mlp_norm), self.run.post_mlp_scale[layer]

    def feature_reads(self, layer: int, positions: Tensor, encoders: Tensor) -> Tensor:
        """What features read of the middle residual stream: encoder rows (target, d_model) → same shape.

        ``positions`` (target,) int64 say where the features are.
        """
        gain, scale = self._reading(layer)
        return (encoders if gain is None else encoders * gain) * scale[positions, None]

    def entering(self, layer: int, positions: Tensor | slice, written: Tensor) -> Tensor:
        """What enters the residual stream of what is written in place of an MLP: (…, entry, d_model) → same.

        ``positions`` (entry,) int64 say where. The two differ only by a norm that follows the MLP.
        """
        if (passed := self._writing(layer)) is None:
            return written
        gain, scale = passed
        return written * gain * scale[positions, None]

    def logit_reads(self, directions: Tensor) -> Tensor:
        """What logits read of the final residual stream at the last position: (target, d_model) → same."""
        return directions * self.model.parts.gain(self.model.parts.final_norm) * self.run.final_scale[-1]

    def skip_output(self, layer: int) -> Tensor | None:
        """What the skip connection of ``layer`` predicts in the real model: (position, d_model) float32.

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
