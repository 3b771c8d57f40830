"""A second, slow implementation of attribution: the real model, hooks, and one autograd gradient per target.

Shares nothing with circuitstore.models: it reads the files itself and lets transformers run the forward pass, with attention
patterns and norm denominators detached and each MLP's output made a leaf (plus its skip connection). Used to check the fast
implementation and, in bench/, to time it against.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

THRESHOLD = "activation_function.threshold"


@dataclass
class Naive:
    """Rows are targets; nodes are features, errors (layer-major), embeddings, logits, as in the fast graph."""

    features: np.ndarray  # (feature node, 3): layer, position, feature
    values: np.ndarray  # (feature node,)
    logit_ids: np.ndarray  # (logit,)
    adjacency: np.ndarray  # (node target, node source)
    bias: np.ndarray  # (node,)
    preactivation: np.ndarray  # (node,)


def attribute(
    model_folder,
    transcoder_folder,
    tokens,
    *,
    max_logits=10,
    logit_prob=0.95,
    top_k=None,
    targets=None,
    covered=None,
    nodes=None,
) -> Naive:
    """``covered`` (layer, position) bool: where transcoders are used; ``nodes`` (n, 3): only these features are nodes."""
    model = AutoModelForCausalLM.from_pretrained(model_folder, attn_implementation="eager", dtype=torch.float32).eval()
    layers, n_pos = model.model.layers, len(tokens)
    paths = sorted(Path(transcoder_folder).glob("layer_*.safetensors"), key=lambda p: int(p.stem.split("_")[1]))
    coders = [{name: tensor.float() for name, tensor in load_file(path).items()} for path in paths]
    covered = torch.ones(len(layers), n_pos, dtype=torch.bool) if covered is None else torch.as_tensor(covered)
    inputs, outputs, leaves, biases = {}, {}, {}, {}

    def embed(module, args, output):
        leaves["embeddings"] = output[0].detach().requires_grad_()
        return leaves["embeddings"][None]

    def mlp(index):
        def hook(module, args, output):
            inputs[index], outputs[index] = args[0][0], output[0].detach()
            skip = torch.zeros_like(outputs[index])
            if "W_skip" in coders[index]:
                skip = inputs[index] @ coders[index]["W_skip"].T * covered[index][:, None]
            leaves[index] = (outputs[index] - skip).detach().requires_grad_()
            return (leaves[index] + skip)[None]

        return hook

    with frozen(model), contextlib.ExitStack() as stack:
        stack.callback(model.model.embed_tokens.register_forward_hook(embed).remove)
        for index, layer in enumerate(layers):
            stack.callback(layer.mlp.register_forward_hook(mlp(index)).remove)
            for name in ("v_proj", "o_proj"):
                if (bias := getattr(layer.self_attn, name).bias) is not None:
                    biases[index, name] = bias
        logits = model(torch.as_tensor(list(tokens))[None], use_cache=False).logits[0, -1]

    # features, and what of each MLP output they leave over
    found, errors, constants = [], {}, {}
    for index, coder in enumerate(coders):
        pre = inputs[index].detach() @ coder["W_enc"].T + coder["b_enc"]
        act = pre * (pre > coder[THRESHOLD]) if THRESHOLD in coder else pre.relu()
        if top_k is not None:
            kept = torch.topk(act, top_k, dim=1).indices
            act = torch.zeros_like(act).scatter(1, kept, act.gather(1, kept))
        act = act * covered[index][:, None]
        act[0] = 0
        found += [(index, p, f, act[p, f]) for p, f in act.nonzero().tolist()]
        constants[index] = coder["b_dec"] * covered[index][:, None]
        errors[index] = leaves[index].detach() - act @ coder["W_dec"] - constants[index]
        constants[index][0], errors[index][0] = leaves[index].detach()[0], 0
    if nodes is not None:
        wanted = {tuple(row) for row in np.asarray(nodes).tolist()}
        found = [entry for entry in found if entry[:3] in wanted]

    if targets is None:
        probability, ids = torch.softmax(logits.detach(), 0).topk(max_logits)
        n = next((i + 1 for i, total in enumerate(probability.cumsum(0)) if total >= logit_prob), max_logits)
        ids = ids[:n]
        scalars = [logits[i] - logits.mean() for i in ids]
    else:
        ids = torch.tensor(targets[:1])
        scalars = [logits[targets[0]] - logits[targets[1]]]

    n_features, n_errors = len(found), len(layers) * n_pos
    n_nodes = n_features + n_errors + n_pos + len(ids)
    adjacency, bias, preactivation = np.zeros((n_nodes, n_nodes)), np.zeros(n_nodes), np.zeros(n_nodes)
    rows = [(i, coders[layer]["W_enc"][f] @ inputs[layer][p], coders[layer]["b_enc"][f]) for i, (layer, p, f, _) in enumerate(found)]
    rows += [(n_nodes - len(ids) + i, scalar, torch.tensor(0.0)) for i, scalar in enumerate(scalars)]
    layer_of, position_of, feature_of = (np.array([e[k] for e in found], dtype=int) for k in range(3))
    values = torch.tensor([float(e[3]) for e in found])
    decoders = torch.stack([coders[layer]["W_dec"][f] for layer, _, f, _ in found]) if found else torch.zeros(0, 1)
    names = [*range(len(layers)), "embeddings", *biases]
    wrt = [leaves[n] if n in leaves else biases[n] for n in names]
    for row, scalar, own in rows:
        gradient = dict(zip(names, torch.autograd.grad(scalar, wrt, retain_graph=True, allow_unused=True), strict=True))
        for layer in range(len(layers)):
            g = gradient[layer]
            if g is None:
                continue
            here = np.flatnonzero(layer_of == layer)
            adjacency[row, here] = values[here] * (decoders[here] * g[position_of[here]]).sum(1)
            adjacency[row, n_features + layer * n_pos :][:n_pos] = (errors[layer] * g).sum(1)
            bias[row] += float((constants[layer] * g).sum())
        adjacency[row, n_features + n_errors :][:n_pos] = (leaves["embeddings"] * gradient["embeddings"]).sum(1).detach()
        for name, parameter in biases.items():
            if gradient[name] is not None:
                bias[row] += float((parameter * gradient[name]).sum().detach())
        bias[row] += float(own)
        preactivation[row] = float((scalar + own).detach())
    features = np.stack([layer_of, position_of, feature_of], axis=1)
    return Naive(features, values.numpy(), ids.numpy(), adjacency, bias, preactivation)


@contextlib.contextmanager
def frozen(model):
    """Detach attention patterns and norm denominators while the forward pass runs."""
    modelling = sys.modules[type(model).__module__]
    eager = modelling.eager_attention_forward

    def attention(module, query, key, value, mask, scaling, dropout=0.0, **kwargs):
        _, pattern = eager(module, query, key, value, mask, scaling, dropout=dropout, **kwargs)
        value = modelling.repeat_kv(value, module.num_key_value_groups)
        return (pattern.detach() @ value).transpose(1, 2).contiguous(), pattern

    def norm(module, args, output):
        x = args[0]
        return module.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).detach())

    norms = [model.model.norm] + [n for layer in model.model.layers for n in (layer.input_layernorm, layer.post_attention_layernorm)]
    handles = [n.register_forward_hook(norm) for n in norms]
    modelling.eager_attention_forward = attention
    try:
        yield
    finally:
        modelling.eager_attention_forward = eager
        for handle in handles:
            handle.remove()
