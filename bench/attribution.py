"""How long one attribution graph takes, and of what that time is made, on a random Qwen3 of the 0.6B shape.

    python bench/attribution.py --sweep python bench/attribution.py [--tokens 12] [--nodes 1000] [--naive 8]
    [--order both] [--peer PYTHON] [--runs 3] [--threads 1]

Builds the model (28 layers, d_model 1024, 16/8 heads, vocabulary 20,000) and transcoders (4,096 features a
layer, about 40 active at every layer and position) from a seed, once, into --folder. Then, in turn, run by
run: the matmul peak of this machine right now (float32, the shape of the engine's own products), the graph,
the same graph by automatic differentiation (`bench/naive.py`, `--naive` targets at a time, in the order that
a batch is of one layer and in the order of influence, as the reference goes), and with --peer circuit-tracer
in another interpreter. Prints CPU seconds, what the engine multiplies, which share of the peak that is, the
ratio pair by pair, the largest disagreement, the peak memory, and the rows carried beside the fewest that any
cut needs. Loading is left out; one small graph comes before all. With --sweep: CPU seconds and GFLOP at 8 to
64 tokens and at 250 to 4,000 nodes, and the exponents that fit them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # as a build sets it

import numpy as np
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench import naive  # noqa: E402
from circuitstore.circuits import edges, pruning  # noqa: E402
from circuitstore.circuits.graph import Graph, attribute  # noqa: E402
from circuitstore.models.load import load_model  # noqa: E402
from circuitstore.transcoders.per_layer import Transcoders  # noqa: E402

SHAPE = {
    "layers": 28,
    "d_model": 1024,
    "d_mlp": 3072,
    "heads": 16,
    "kv_heads": 8,
    "head_dim": 128,
    "vocab": 20_000,
    "features": 4096,
}
PEER = """
import os, resource, sys, time, torch
from pathlib import Path
from circuit_tracer import ReplacementModel, attribute
from circuit_tracer.transcoder.single_layer_transcoder import load_transcoder_set
model, transcoders, tokens, nodes, batch, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
paths = {i: f"{transcoders}/layer_{i}.safetensors" for i in range(len(list(Path(transcoders).glob("layer_*.safetensors"))))}
known = dict(scan="", feature_input_hook="mlp.hook_in", feature_output_hook="mlp.hook_out", device=torch.device("cpu"), dtype=torch.float32)
coders = load_transcoder_set(paths, lazy_encoder=False, lazy_decoder=True, **known)
replaced = ReplacementModel.from_pretrained_and_transcoders(
    os.path.abspath(model), coders, backend="nnsight", device=torch.device("cpu"), dtype=torch.float32
)
ids = torch.tensor([int(t) for t in tokens.split(",")])
started = time.process_time()
graph = attribute(ids, replaced, max_feature_nodes=int(nodes) or None, batch_size=int(batch))
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(graph.selected_features))
"""


def build(folder: Path, seed: int) -> tuple[Path, Path]:
    """Write model and transcoders in the real formats, unless they are there already."""
    model, transcoders = folder / "model", folder / "transcoders"
    if (folder / "done").is_file():
        return model, transcoders
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=SHAPE["vocab"],
        hidden_size=SHAPE["d_model"],
        intermediate_size=SHAPE["d_mlp"],
        num_hidden_layers=SHAPE["layers"],
        num_attention_heads=SHAPE["heads"],
        num_key_value_heads=SHAPE["kv_heads"],
        head_dim=SHAPE["head_dim"],
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "tests" / "conformance" / "model" / name, model / name)
    transcoders.mkdir(parents=True, exist_ok=True)
    for layer in range(SHAPE["layers"]):
        tensors = {
            "W_enc": torch.randn(SHAPE["features"], SHAPE["d_model"]) * SHAPE["d_model"] ** -0.5,
            "b_enc": torch.full((SHAPE["features"],), -2.33),  # about one in a hundred exceeds it
            "W_dec": torch.randn(SHAPE["features"], SHAPE["d_model"]) * 0.02,
            "b_dec": torch.randn(SHAPE["d_model"]) * 0.02,
        }
        save_file(tensors, transcoders / f"layer_{layer}.safetensors")
    (folder / "done").touch()
    return model, transcoders


def matmul_peak(rows: int = 2048, seconds: float = 1.0) -> float:
    """The best rate (FLOP a CPU second and thread) of the engine's own kind of product, right now."""
    a, b = (
        torch.randn(rows, SHAPE["d_model"]),
        torch.randn(SHAPE["d_model"], SHAPE["heads"] * SHAPE["head_dim"]),
    )
    out, best, end = torch.empty(rows, b.shape[1]), 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.process_time()
        torch.mm(a, b, out=out)
        best = max(best, 2 * rows * b.numel() / (time.process_time() - started))
    return best


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all threads, and the result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def disagreement(graph: Graph, slow: naive.Naive) -> float:
    """The largest difference of two edges, as a share of the largest in its row."""
    largest = np.abs(slow.adjacency).max(axis=1, keepdims=True)
    return float((np.abs(graph.adjacency_matrix - slow.adjacency) / np.where(largest > 0, largest, 1)).max())


def identity(graph: Graph) -> float:
    """The largest difference between a row's sum and its pre-activation, as a share of the row's largest
    entry.
    """
    rows = np.r_[0 : len(graph.selected_features), -len(graph.logit_token_ids) : 0]
    total = (
        graph.adjacency_matrix[rows].sum(1, dtype=np.float64)
        + graph.node_bias[rows]
        + graph.node_omitted[rows]
    )
    return float(
        (np.abs(total - graph.node_preactivation[rows]) / np.abs(graph.adjacency_matrix[rows]).max(1)).max()
    )


def by_influence(graph: Graph) -> np.ndarray:
    """Rows of the graph in the order of the reference: logits, then features from the most to the least
    influential.
    """
    n_features, n_nodes = len(graph.selected_features), len(graph.node_influence)
    logits = np.arange(n_nodes - len(graph.logit_token_ids), n_nodes)
    return np.concatenate([logits, np.argsort(-graph.node_influence[:n_features], kind="stable")])


def parts(model, transcoders, tokens, nodes) -> dict[str, float]:
    """CPU seconds of the parts of one graph, by timing what is called."""
    seconds: dict[str, float] = {}

    def watch(owner, name: str, label: str):
        work = getattr(owner, name)

        def watched(*args, **kwargs):
            spent, result = timed(lambda: work(*args, **kwargs))
            seconds[label] = seconds.get(label, 0) + spent
            return result

        setattr(owner, name, watched)
        return lambda: setattr(owner, name, work)

    from circuitstore.circuits import graph as module

    undo = [
        watch(module, "capture", "forward pass"),
        watch(module, "find_features", "encoders"),
        watch(edges, "effects", "effects"),
    ]
    undo += [watch(edges.Edges, "_received", "reads of constants")]
    undo += [watch(pruning, "prune", "pruning"), watch(pruning, "influence", "influence")]
    try:
        seconds["all"], _ = timed(lambda: attribute(model, transcoders, tokens, max_feature_nodes=nodes))
    finally:
        for restore in undo:
            restore()
    return seconds


def flops(work: Callable[[], Any]) -> float:
    """FLOP of all matrix products."""
    in_place = {
        torch.ops.aten.addmm_: lambda added, a, b, **_: 2 * a[0] * a[1] * b[1]
    }  # which the counter does not know
    with FlopCounterMode(display=False, custom_mapping=in_place) as counted:
        work()
    return counted.get_total_flops()


def carried(graph: Graph, n_layers: int) -> tuple[int, int]:
    """Rows carried through one layer at one position: by the best single cut, and the fewest that any cut
    needs.

    At a layer and position, every source before it meets every target behind it: one of the two must have
    been carried there, for each such pair. The fewest rows that cover all pairs are the smaller of the two
    sets (vertex cover of a complete bipartite graph).
    """
    n_positions = len(graph.input_tokens)
    layer, position, _ = graph.active_features[graph.selected_features].T
    targets, sources = np.zeros((2, n_layers + 1, n_positions))
    np.add.at(targets, (layer, position), 1)
    targets[n_layers, -1] += len(graph.logit_token_ids)
    np.add.at(sources, (layer + 1, position), 1)
    sources[:, 1:] += 1  # errors, and at the input of layer 0 embeddings
    before = sources.cumsum(0).cumsum(1)[:n_layers, 1:]
    behind = targets[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1][:n_layers, 1:]
    single = min(before[:cut].sum() + behind[cut:].sum() for cut in range(n_layers + 1))
    return int(single), int(np.minimum(before, behind).sum())


def sweep(model, transcoders, prompt: Callable[[int], list[int]]) -> None:
    """Print cost against tokens (1,000 nodes) and nodes (12 tokens), with the exponent of a power of each."""
    cases = {
        "tokens": [(n, 1000) for n in (8, 16, 32, 64)],
        "nodes": [(12, n) for n in (250, 500, 1000, 2000, 4000)],
    }
    for varied, points in cases.items():
        measured = []
        for tokens, nodes in points:
            work = partial(attribute, model, transcoders, prompt(tokens), max_feature_nodes=nodes)
            seconds = min(timed(work)[0] for _ in range(2))
            measured.append((tokens if varied == "tokens" else nodes, seconds, flops(work) / 1e9))
            print(
                f"{tokens:4} tokens {nodes:6} nodes {seconds:8.2f} CPU s {measured[-1][2]:9.0f} GFLOP",
                flush=True,
            )
        x, *ys = np.log(np.array(measured)).T
        print(
            f"exponent of {varied}: CPU s {np.polyfit(x, ys[0], 1)[0]:.2f}, FLOP {np.polyfit(x, ys[1], 1)[0]:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("bench-0.6b"), help="where the random model is kept (4 GB)"
    )
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--nodes", type=int, default=1000, help="feature nodes, 0 for all active features")
    parser.add_argument(
        "--naive", type=int, default=0, help="targets at a time of the naive version, 0 to leave it out"
    )
    parser.add_argument(
        "--order",
        choices=("layer", "influence", "both"),
        default="both",
        help="of the naive version's targets",
    )
    parser.add_argument("--peer", help="a Python interpreter with circuit-tracer")
    parser.add_argument("--peer-batch", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sweep", action="store_true", help="cost against tokens and nodes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folders = build(options.folder, options.seed)
    model, transcoders = load_model(folders[0]), Transcoders.open(folders[1])

    def prompt(length: int) -> list[int]:
        return [208, *np.random.default_rng(options.seed).integers(0, SHAPE["vocab"], length - 1).tolist()]

    tokens, nodes = prompt(options.tokens), options.nodes or None
    attribute(
        model, transcoders, tokens[:3], max_feature_nodes=10
    )  # pages in the weights: loading is left out
    if options.sweep:
        sweep(model, transcoders, prompt)
        return
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rows: list[dict[str, float]] = []
    slow = naive.load(*folders) if options.naive else None
    for run in range(options.runs):
        row = {"matmul peak, GFLOP/s": matmul_peak() / 1e9}
        row["CPU s"], graph = timed(lambda: attribute(model, transcoders, tokens, max_feature_nodes=nodes))
        if run == 0:
            row["peak GB"], row["of which loaded GB"] = (
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
                loaded,
            )
        chosen = graph.active_features[graph.selected_features]
        for order in ("layer", "influence") if options.order == "both" else (options.order,):
            if slow is not None:
                rank = by_influence(graph) if order == "influence" else None
                work = partial(naive.graph, *slow, tokens, batch=options.naive, nodes=chosen, order=rank)
                row[f"naive, by {order}, CPU s"], other = timed(work)
                row[f"ratio, by {order}"] = row[f"naive, by {order}, CPU s"] / row["CPU s"]
                row["disagreement"] = disagreement(graph, other)
        if options.peer:
            command = [
                options.peer,
                "-c",
                PEER,
                *map(str, folders),
                ",".join(map(str, tokens)),
                str(options.nodes),
            ]
            output = subprocess.run(
                [*command, str(options.peer_batch), str(options.threads)],
                check=True,
                capture_output=True,
                text=True,
            )
            spent, peak, _ = output.stdout.split()[-3:]
            row["peer CPU s"], row["peer peak GB"] = float(spent), float(peak) / 1e6
            row["ratio to peer"] = row["peer CPU s"] / row["CPU s"]
        row["identity"] = identity(graph)
        rows.append(row)
    result = {name: statistics.median(row[name] for row in rows if name in row) for name in rows[0]}
    result |= {"active features": len(graph.active_features), "nodes": len(graph.node_influence)}
    result["GFLOP"] = flops(partial(attribute, model, transcoders, tokens, max_feature_nodes=nodes)) / 1e9
    result["share of matmul peak"] = statistics.median(
        result["GFLOP"] / row["CPU s"] / row["matmul peak, GFLOP/s"] for row in rows
    )
    result["rows carried"], result["fewest rows of any cut"] = carried(graph, model.n_layers)
    result |= {
        f"part: {name}, CPU s": spent for name, spent in parts(model, transcoders, tokens, nodes).items()
    }
    print(
        json.dumps(result, indent=2)
        if options.json
        else "\n".join(f"{name:32} {value:10.4g}" for name, value in result.items())
    )


if __name__ == "__main__":
    main()
