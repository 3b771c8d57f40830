"""How long one attribution graph takes, and what the time goes into, on a random Qwen3 of the 0.6B shape.

    python bench/attribution.py [--tokens 12] [--nodes 1000] [--naive 8] [--order both] [--peer PYTHON]
    [--runs 3] [--threads 1]
    python bench/attribution.py --sweep

The script builds the model (28 layers, d_model 1024, 16 heads and 8 key-value heads, vocabulary 20,000) and
transcoders (4,096 features a layer, about 40 active at every layer and position) from a seed, once, into
--folder. Each run then measures in turn:

*   the best rate of float32 matrix products of the engine's own shape, on this machine, right now;
*   the graph;
*   with --naive, the same graph by automatic differentiation (`bench/naive.py`), so many targets at a time,
    in the order of layers and in the order of influence, which is that of the reference;
*   with --peer, the same graph by circuit-tracer in another interpreter.

It prints CPU seconds, the work of the engine and its share of the best rate, the ratio pair by pair, the
largest disagreement, the peak memory, and the rows carried beside the fewest that any cut needs. Loading is
left out, and one small graph comes before all. With --sweep it prints CPU seconds and GFLOP at 8 to 64 tokens
and at 250 to 4,000 nodes, and the exponents that fit them.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench import naive  # noqa: E402
from bench.measures import by_influence, carried, disagreement, flops, identity, matmul_peak, parts, timed  # noqa: E402
from circuitstore.circuits.graph import attribute  # noqa: E402
from circuitstore.models.load import LanguageModel, load_model  # noqa: E402
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
count = len(list(Path(transcoders).glob("layer_*.safetensors")))
paths = {i: f"{transcoders}/layer_{i}.safetensors" for i in range(count)}
known = dict(scan="", feature_input_hook="mlp.hook_in", feature_output_hook="mlp.hook_out")
known |= dict(device=torch.device("cpu"), dtype=torch.float32)
coders = load_transcoder_set(paths, lazy_encoder=False, lazy_decoder=True, **known)
replaced = ReplacementModel.from_pretrained_and_transcoders(
    os.path.abspath(model), coders, backend="nnsight", device=torch.device("cpu"), dtype=torch.float32
)
ids = torch.tensor([int(t) for t in tokens.split(",")])
started = time.process_time()
graph = attribute(ids, replaced, max_feature_nodes=int(nodes) or None, batch_size=int(batch))
seconds, peak = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, peak, len(graph.selected_features))
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


def sweep(model: LanguageModel, transcoders: Transcoders, prompt: Callable[[int], list[int]]) -> None:
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
        seconds_exponent, flop_exponent = (np.polyfit(x, y, 1)[0] for y in ys)
        print(f"exponent of {varied}: CPU s {seconds_exponent:.2f}, FLOP {flop_exponent:.2f}")


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
        peak = matmul_peak(SHAPE["d_model"], SHAPE["heads"] * SHAPE["head_dim"])
        row = {"matmul peak, GFLOP/s": peak / 1e9}
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
            spent, peer_peak, _ = output.stdout.split()[-3:]
            row["peer CPU s"], row["peer peak GB"] = float(spent), float(peer_peak) / 1e6
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
    work = partial(attribute, model, transcoders, tokens, max_feature_nodes=nodes)
    result |= {f"part: {name}, CPU s": spent for name, spent in parts(work).items()}
    print(
        json.dumps(result, indent=2)
        if options.json
        else "\n".join(f"{name:32} {value:10.4g}" for name, value in result.items())
    )


if __name__ == "__main__":
    main()
