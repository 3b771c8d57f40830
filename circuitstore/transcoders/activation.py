"""The activation functions of transcoders: ReLU, JumpReLU and top-k.

    ReLU      a pre-activation is kept where it exceeds 0
    JumpReLU  a pre-activation is kept where it exceeds its feature's threshold
    top-k     of each position the k largest pre-activations are kept, whatever their sign

ReLU and JumpReLU may be followed by a choice of the k largest of each position.

Sources: JumpReLU: *Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders*
(Rajamanoharan et al., 2024), §3; top-k: *Scaling and evaluating sparse autoencoders* (Gao et al., 2024), §2.3.
"""

from __future__ import annotations

from torch import Tensor


def thresholded(pre: Tensor, threshold: Tensor | float = 0.0) -> Tensor:
    """Pre-activations (…, feature) where they exceed ``threshold``, a number or (feature,), and 0 elsewhere."""
    return pre * (pre > threshold)


def largest(values: Tensor, k: int) -> Tensor:
    """The ``k`` largest values of the last axis, or all if there are fewer, and 0 elsewhere: same shape."""
    top = values.topk(min(k, values.shape[-1]), dim=-1)
    return values.new_zeros(values.shape).scatter(-1, top.indices, top.values)
