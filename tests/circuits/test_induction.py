"""A hand-made induction head is found: by the largest pair of its score, and as the last head of its edge.

Head 0 of layer 0 copies each token to the position after it. Head 2 of layer 1 looks from a token to the
position after an earlier one of its kind, and writes the token there as the next one.
"""

from __future__ import annotations

import pytest
import torch
from random_model import write_model
from safetensors.torch import load_file, save_file

from circuitstore.circuits.heads import Edge, loadings
from circuitstore.circuits.qk import KINDS, score
from circuitstore.circuits.sources import NONE
from circuitstore.models.capture import capture
from circuitstore.models.load import load_model
from circuitstore.transcoders.per_layer import Transcoders

N, HEAD = 8, 16  # tokens, dimensions of a head
TOKEN, BEFORE, ONE, NEXT = slice(0, 8), slice(8, 16), 16, slice(17, 25)  # dimensions of the residual stream
SLOW = torch.tensor([4, 5, 6, 7, 12, 13, 14, 15])  # of a head: hardly turned by rotary embeddings
TEXT = [7, 0, 1, 2, 3, 0]  # A B C D A: B comes next


@pytest.fixture(scope="module")
def induction(tmp_path_factory):
    folder = tmp_path_factory.mktemp("induction")
    write_model(folder / "m", kind="llama", layers=2, kv_heads=4)
    path = folder / "m" / "model.safetensors"
    weights = {name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}
    for name in weights:
        if "norm" in name:
            weights[name] += 1
    for token in range(N):
        weights["model.embed_tokens.weight"][token, token] = 1
        weights["model.embed_tokens.weight"][token, ONE] = 1
        weights["lm_head.weight"][token, NEXT.start + token] = 5

    def part(layer, name, head):
        matrix = weights[f"model.layers.{layer}.self_attn.{name}.weight"]
        rows = slice(head * HEAD, (head + 1) * HEAD)
        return matrix[:, rows] if name == "o_proj" else matrix[rows]

    # Both read the constant; the key is turned by one position, so that they match one position apart.
    frequency = torch.tensor([1.0, 10_000 ** (-2 / HEAD)])
    part(0, "q_proj", 0)[[0, 1], ONE] = 4
    part(0, "k_proj", 0)[[0, 1], ONE] = 4 * torch.cos(frequency)
    part(0, "k_proj", 0)[[8, 9], ONE] = 4 * torch.sin(frequency)
    part(1, "q_proj", 2)[SLOW, TOKEN] = 4 * torch.eye(N)
    part(1, "k_proj", 2)[SLOW, BEFORE] = 4 * torch.eye(N)
    for layer, head, to in ((0, 0, BEFORE), (1, 2, NEXT)):
        part(layer, "v_proj", head)[:N, TOKEN] = torch.eye(N)
        part(layer, "o_proj", head)[to, :N] = torch.eye(N)
    save_file(weights, path, metadata={"format": "pt"})
    (folder / "t").mkdir()
    silent = {"W_enc": torch.zeros(3, 48), "b_enc": -torch.ones(3), "W_dec": torch.zeros(3, 48)}
    for layer in range(2):
        save_file(silent | {"b_dec": torch.zeros(48)}, folder / "t" / f"layer_{layer}.safetensors")
    return load_model(folder / "m"), Transcoders.open(folder / "t")


def test_the_model_does_induction(induction):
    """It says B after A, because of what its heads look at."""
    run = capture(induction[0], TEXT, patterns=True)
    assert int(run.logits[-1].argmax()) == 1
    assert run.patterns[0, 0, 2, 1] > 0.9 and run.patterns[1, 2, 5, 2] > 0.9


def test_it_looks_at_b_because_a_stands_before_it(induction):
    """Of all heads and keys, the largest share of a pair is A here with A there, over the copying head."""
    found = {
        (layer, head, key): score(*induction, TEXT, layer, head, 5, key)
        for layer in range(2)
        for head in range(4)
        for key in range(6)
        if (layer, head) != (0, 0)
    }
    largest = {place: one.pairs(1) for place, one in found.items()}
    place = max(largest, key=lambda place: largest[place][2][0])
    assert place == (1, 2, 2)
    (query,), (key,), (share,) = largest[place]
    one = found[place]
    named = [(KINDS[one.kind[i]], one.position[i]) for i in (query, key)]
    assert named == [("embedding", 5), ("embedding", 1)] and share > 0.95 * one.score > 1


def test_the_edge_from_b_to_the_prediction_goes_through_the_induction_head(induction):
    """And from the first A there is none, for A only makes the head look."""
    model = induction[0]
    unembedding = model.parts.unembedding
    direction = unembedding[1] - unembedding.mean(0)
    edges = [Edge((NONE, position, NONE), None, direction) for position in (2, 1)]
    of_heads, direct = loadings(*induction, TEXT, edges)
    weight = of_heads.sum((1, 2)) + direct
    assert weight[0] > 1 and of_heads[0, 1, 2] > 0.99 * weight[0]
    assert abs(weight[1]) < 0.05 * weight[0] and direct.abs().max() == 0
    assert torch.equal(of_heads[0].abs().argmax(), torch.tensor(4 + 2))
