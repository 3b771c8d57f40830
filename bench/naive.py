"""The same attribution by automatic differentiation: the real model, hooks, and a gradient per target.

It is one file, long because it shares nothing with the library. It reads the files itself and lets
transformers run the forward pass. Attention patterns and norm denominators are detached, and what each
transcoder predicts is made a leaf (plus its skip connection). A batch of targets is differentiated at once,
each in a copy of the prompt of its own, as circuit-tracer does it. Tests compare the fast implementation
with it; `bench/attribution.py` times both.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

THRESHOLD = "activation_function.threshold"


@dataclass
class Naive:
    """A graph whose nodes are features, errors (layer-major), embeddings and logits, as in the fast graph."""

    features: np.ndarray  # (feature node, 3): layer, position, feature
    values: np.ndarray  # (feature node,)
    logit_ids: np.ndarray  # (logit,)
    adjacency: np.ndarray  # (node target, node source); float64
    bias: np.ndarray  # (node,)
    preactivation: np.ndarray  # (node,)


def load(model_folder, transcoder_folder):
    """The model, and the tensors of every layer's transcoder as float32."""
    eager = {"attn_implementation": "eager", "dtype": torch.float32}
    model = AutoModelForCausalLM.from_pretrained(model_folder, **eager).eval()
    found = Path(transcoder_folder).glob("layer_*.safetensors")
    paths = sorted(found, key=lambda path: int(path.stem.split("_")[1]))
    return model.requires_grad_(False), [
        {name: tensor.float() for name, tensor in load_file(path).items()} for path in paths
    ]


def attribute(model_folder, transcoder_folder, tokens, **options) -> Naive:
    """`graph` of folders."""
    return graph(*load(model_folder, transcoder_folder), tokens, **options)


def graph(
    model,
    coders,
    tokens,
    *,
    batch=1,
    max_logits=10,
    logit_prob=0.95,
    top_k=None,
    targets=None,
    difference=None,
    direction=None,
    feature=None,
    covered=None,
    nodes=None,
    order=None,
    hooks=("mlp.hook_in", "mlp.hook_out"),
) -> Naive:
    """All edges, `batch` targets at a time.

    With a ``direction`` (d_model,) of the final norm's output, or a ``feature`` (layer, position, feature),
    its product or pre-activation is the one node in the place of logits.

    ``hooks`` say where transcoders read and write. ``covered`` (layer, position) bool says where transcoders
    are used. With ``nodes`` (n, 3), only these features are nodes. ``order`` gives the rows in the order in
    which they are computed. By default that is their numbering, so that a batch is of about one layer and
    nothing above it is differentiated. The reference goes from the most to the least influential target.
    """
    network = _Network(model, coders, tokens, covered, batch, hooks)
    found = _features(network, top_k)
    if nodes is not None:
        wanted = {tuple(row) for row in np.asarray(nodes).tolist()}
        found = [entry for entry in found if entry[:3] in wanted]
    ids, scalars = _logits(network, targets, difference, max_logits, logit_prob)
    if direction is not None or feature is not None:
        ids, scalars = torch.tensor([-1]), _other(network, direction, feature)
    bias = 0.0 if feature is None else float(coders[feature[0]]["b_enc"][feature[2]])
    n_features, n_pos, n_layers = len(found), len(tokens), len(coders)
    n_nodes = n_features + n_layers * n_pos + n_pos + len(ids)
    result = Naive(
        np.array([entry[:3] for entry in found], dtype=int).reshape(-1, 3),
        np.array([entry[3] for entry in found]),
        ids.numpy(),
        *(np.zeros(shape) for shape in ((n_nodes, n_nodes), n_nodes, n_nodes)),
    )
    sources = _Sources(network, result)
    in_order = (
        list(range(n_features)) + list(range(n_nodes - len(ids), n_nodes)) if order is None else list(order)
    )
    for start in range(0, len(in_order), batch):
        chunk = in_order[start : start + batch]
        total, own = [], []
        for copy, row in enumerate(chunk):
            if row < n_features:
                layer, position, feature = result.features[row]
                total.append(coders[layer]["W_enc"][feature] @ network.inputs[layer][copy, position])
                own.append(float(coders[layer]["b_enc"][feature]))
            else:
                total.append(scalars(row - n_nodes + len(ids), copy))
                own.append(bias)
        sources.fill(
            result, chunk, torch.autograd.grad(sum(total), network.wrt, retain_graph=True, allow_unused=True)
        )
        result.bias[chunk] += own
        result.preactivation[chunk] = [float(t.detach()) + b for t, b in zip(total, own, strict=True)]
    return result


class _Network:
    """One forward pass of `batch` copies of a prompt, its nonlinear parts detached, its leaves kept."""

    def __init__(self, model, coders, tokens, covered, batch, hooks):
        layers, self.coders = model.model.layers, coders
        reads, writes = hooks
        everywhere = np.ones((len(layers), len(tokens)), dtype=bool)
        self.covered = torch.as_tensor(everywhere if covered is None else covered)
        self.inputs, self.outputs, self.leaves, self.biases = {}, {}, {}, {}

        def embed(module, args, output):
            self.leaves["embeddings"] = output.detach().requires_grad_()
            return self.leaves["embeddings"]

        def read(index):
            def hook(module, args, output):
                normalized = args[0] * _scale(module, args[0])
                kinds = {"hook_resid_mid": args[0], "ln2.hook_normalized": normalized, "mlp.hook_in": output}
                self.inputs[index] = kinds[reads]

            return hook

        def written(index):
            def hook(module, args, output):
                self.outputs[index] = output.detach()
                skip = torch.zeros(())
                if "W_skip" in coders[index]:
                    skip = self.inputs[index] @ coders[index]["W_skip"].T * self.covered[index][:, None]
                self.leaves[index] = (self.outputs[index] - skip).detach().requires_grad_()
                return self.leaves[index] + skip

            return hook

        def biased(key):
            def hook(module, args, output):
                # Every copy has a leaf of its own, so that each target has its own gradient.
                self.biases[key] = module.bias.detach().expand(output.shape).clone().requires_grad_()
                return output - module.bias + self.biases[key]

            return hook

        with _frozen(model), contextlib.ExitStack() as stack:
            stack.callback(model.model.embed_tokens.register_forward_hook(embed).remove)
            for index, layer in enumerate(layers):
                norms = _norms(layer)
                before = norms[2] if len(norms) > 2 else norms[1]
                last = norms[3] if len(norms) > 2 and writes == "hook_mlp_out" else layer.mlp
                stack.callback(before.register_forward_hook(read(index)).remove)
                stack.callback(last.register_forward_hook(written(index)).remove)
                for name in ("v_proj", "o_proj"):
                    projection = getattr(layer.self_attn, name)
                    if projection.bias is not None:
                        stack.callback(projection.register_forward_hook(biased((index, name))).remove)
            ids = torch.as_tensor(list(tokens)).expand(batch, -1)
            self.normed = model.model(ids, use_cache=False).last_hidden_state[:, -1]
            self.logits = model.lm_head(self.normed)
        self.cap = getattr(model.config, "final_logit_softcapping", None)
        self.names = [*self.leaves, *self.biases]
        self.wrt = [self.leaves.get(name, self.biases.get(name)) for name in self.names]


class _Sources:
    """What every source writes, and what has no node."""

    def __init__(self, network, graph):
        self.network, self.n_features = network, len(graph.features)
        layer_of, position_of, feature_of = graph.features.T
        self.features, self.constants, self.errors = {}, {}, {}
        for index, coder in enumerate(network.coders):
            leaf, covered = network.leaves[index][0].detach(), network.covered[index][:, None]
            self.constants[index] = coder["b_dec"] * covered
            decoded = 0
            for below, other in enumerate(network.coders):
                if (decoder := _decoder(other, below, index)) is None:
                    continue
                decoded = decoded + network.activations[below] @ decoder
                for position in np.unique(position_of[layer_of == below]).tolist():
                    here = np.flatnonzero((layer_of == below) & (position_of == position))
                    values = torch.tensor(graph.values[here], dtype=torch.float32)
                    written = here, decoder[feature_of[here]] * values[:, None]
                    self.features.setdefault((index, position), []).append(written)
            self.errors[index] = leaf - decoded - self.constants[index]
            self.constants[index][0], self.errors[index][0] = leaf[0], 0

    def fill(self, graph, chunk, gradients):
        """Write the rows ``chunk`` from the gradients of their targets."""
        n_layers, n_pos = self.network.covered.shape
        for name, gradient in zip(self.network.names, gradients, strict=True):
            if gradient is None:
                continue
            g = gradient[: len(chunk)]
            if name == "embeddings":
                first = self.n_features + n_layers * n_pos
                graph.adjacency[chunk, first : first + n_pos] = (
                    (self.network.leaves[name][0].detach() * g).sum(-1).numpy()
                )
            elif name in self.network.biases:
                graph.bias[chunk] += (self.network.biases[name][0].detach() * g).sum((1, 2)).numpy()
            else:
                first = self.n_features + name * n_pos
                graph.adjacency[chunk, first : first + n_pos] = (self.errors[name] * g).sum(-1).numpy()
                graph.bias[chunk] += (self.constants[name] * g).sum((1, 2)).numpy()
                for position in range(n_pos):
                    for here, written in self.features.get((name, position), []):
                        graph.adjacency[np.ix_(chunk, here)] += (g[:, position] @ written.T).numpy()


def _decoder(coder, own, to):
    """What features of layer ``own`` write to a layer; None if nothing.

    Those of cross-layer transcoders have an axis of layers, from their own on: (feature, layer, d_model).
    """
    decoder = coder["W_dec"]
    if decoder.ndim == 2:
        return decoder if own == to else None
    return decoder[:, to - own] if own <= to else None


def _features(network, top_k):
    """Active features (layer, position, feature, value); none at position 0."""
    found, network.activations = [], {}
    for index, coder in enumerate(network.coders):
        pre = network.inputs[index][0].detach() @ coder["W_enc"].T + coder["b_enc"]
        act = pre * (pre > coder[THRESHOLD]) if THRESHOLD in coder else pre.relu()
        if top_k is not None:
            kept = torch.topk(act, top_k, dim=1).indices
            act = torch.zeros_like(act).scatter(1, kept, act.gather(1, kept))
        act = act * network.covered[index][:, None]
        act[0] = 0
        network.activations[index] = act
        places = act.nonzero()
        found += [
            (index, p, f, v)
            for (p, f), v in zip(places.tolist(), act[places[:, 0], places[:, 1]].tolist(), strict=True)
        ]
    return found


def _logits(network, targets, difference, max_logits, logit_prob):
    """Token ids of the logit nodes, and the scalar of each in each copy of the prompt, before a cap."""
    logits, cap = network.logits, network.cap
    if difference is not None:
        one = torch.tensor(difference[:1])
        return one, lambda node, copy: logits[copy, difference[0]] - logits[copy, difference[1]]
    if targets is not None:
        return torch.tensor(targets), lambda node, copy: logits[copy, targets[node]] - logits[copy].mean()
    capped = logits[0].detach() if cap is None else cap * torch.tanh(logits[0].detach() / cap)
    probability, ids = torch.softmax(capped, 0).topk(max_logits)
    n = next((i + 1 for i, total in enumerate(probability.cumsum(0)) if total >= logit_prob), max_logits)
    return ids[:n], lambda node, copy: logits[copy, ids[node]] - logits[copy].mean()


def _other(network, direction, feature):
    """The scalar of the one node that is no logit: of a direction (d_model,), or of a feature."""
    if feature is None:
        return lambda node, copy: network.normed[copy] @ direction
    layer, position, index = feature
    return lambda node, copy: network.coders[layer]["W_enc"][index] @ network.inputs[layer][copy, position]


@contextlib.contextmanager
def _frozen(model) -> Iterator[None]:
    """Detach attention patterns and norm denominators while the forward pass runs."""
    modelling = sys.modules[type(model).__module__]
    eager = modelling.eager_attention_forward

    def attention(module, query, key, value, mask, **kwargs):
        _, pattern = eager(module, query.detach(), key.detach(), value.detach(), mask, **kwargs)
        value = modelling.repeat_kv(value, module.num_key_value_groups)
        return (pattern @ value).transpose(1, 2).contiguous(), pattern

    def norm(module, args, output):
        gain = 1 + module.weight if type(module).__name__.startswith("Gemma") else module.weight
        return gain * (args[0] * _scale(module, args[0]))

    norms = [model.model.norm] + [norm for layer in model.model.layers for norm in _norms(layer)]
    handles = [n.register_forward_hook(norm) for n in norms]
    modelling.eager_attention_forward = attention
    try:
        yield
    finally:
        modelling.eager_attention_forward = eager
        for handle in handles:
            handle.remove()


def _scale(norm, x):
    """1 / denominator of a norm, detached."""
    epsilon = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
    return torch.rsqrt(x.detach().pow(2).mean(-1, keepdim=True) + epsilon)


def _norms(layer):
    """The two norms of a block, or its four."""
    names = ("input_layernorm", "post_attention_layernorm", "attention_layernorm", "feedforward_layernorm")
    more = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    return [getattr(layer, name) for name in names + more if hasattr(layer, name)]
