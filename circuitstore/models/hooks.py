"""Where transcoders read and write in a block of the model, by the names that published sets use.

    reads    mlp.hook_in           the output of the norm before the MLP, after its gain
             ln2.hook_normalized   the same before its gain
             hook_resid_mid        the residual stream that this norm reads
    writes   mlp.hook_out          the output of the MLP
             hook_mlp_out          what is added to the residual stream: the same, unless the block has a norm
                                   after its MLP, as those of Gemma have

This module imports no torch. Source: circuit-tracer, `utils/hf_utils.py` and its maps of TransformerLens'
names to modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from circuitstore.models.families import Layer

INPUT, NORMALIZED, MIDDLE = READS = ("mlp.hook_in", "ln2.hook_normalized", "hook_resid_mid")
OUTPUT, ADDED = WRITES = ("mlp.hook_out", "hook_mlp_out")


@dataclass(frozen=True)
class Hooks:
    """Where the transcoders of a set read and write: one of `READS`, and one of `WRITES`."""

    reads: str = INPUT
    writes: str = OUTPUT

    def writer(self, layer: Layer) -> nn.Module:
        """The module of a block whose output transcoders predict."""
        return self.before(layer) or layer.post_mlp_norm or layer.mlp

    def before(self, layer: Layer) -> nn.Module | None:
        """The MLP of a block, if transcoders predict what a norm still changes; None if they do not."""
        return layer.mlp if self.writes == OUTPUT and layer.post_mlp_norm is not None else None

    def on_read(
        self, layer: Layer, epsilon: float, use: Callable[[Tensor], object], frozen: Tensor | None = None
    ) -> Any:
        """Give ``use`` what transcoders read, (…, position, d_model), whenever the block runs.

        ``epsilon`` is that of the norm; ``frozen`` (position,) takes the place of 1 / its denominator.
        Returns the handle of torch's hook.
        """

        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            if self.reads == INPUT:
                use(output)
            elif self.reads == MIDDLE:
                use(args[0])
            else:
                middle = args[0].float()
                factor = scale(middle, epsilon) if frozen is None else frozen
                use((middle * factor[..., None]).to(output.dtype))

        return layer.mlp_norm.register_forward_hook(hook)


def scale(residual: Tensor, epsilon: float) -> Tensor:
    """1 / denominator of an RMS norm: (…, d_model) → (…,) float32."""
    return (residual.float().pow(2).mean(-1) + epsilon).rsqrt()
