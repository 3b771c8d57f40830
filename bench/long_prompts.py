"""Memory and CPU time of one graph of `tiny` on long prompts, and how they grow with the number of tokens.

    python bench/long_prompts.py                  # 64 to 2,048 tokens, 7,500 feature nodes
    python bench/long_prompts.py --tokens 64 128 256

The model was trained on at most 128 positions. It is given more by its config alone, so what it says of a
long text means nothing; what its graph costs is that of any model of this shape. Each length is a process of
its own, on one thread, and peak memory is that of the process (resident).
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tasks" / "profiles" / "tiny"
LENGTHS = (64, 128, 256, 512, 1024, 2048)


def measure(model_folder: str, count: int, nodes: int) -> dict[str, float]:
    """One graph of a text of so many tokens: active features, nodes, CPU seconds, peak in GB."""
    import torch

    from circuitstore.circuits.graph import attribute
    from circuitstore.models.load import load_model
    from circuitstore.transcoders.per_layer import Transcoders
    from tasks.inputs.behaviour import declaration
    from tasks.inputs.draw import generate

    torch.set_num_threads(1)
    model, transcoders = load_model(model_folder), Transcoders.open(TINY / "transcoders")
    rows = [
        row for name in ("plural", "capital", "antonym", "addition") for row in generate(declaration(name))
    ]
    text = "\n".join(row.text + row.correct for row in rows)
    tokens = model.tokenizer.encode(text, add_special_tokens=False, verbose=False)[: count - 1]
    start = time.process_time()
    graph = attribute(model, transcoders, [model.tokenizer.pad_token_id, *tokens], max_feature_nodes=nodes)
    return {
        "tokens": len(tokens) + 1,
        "active": len(graph.active_features),
        "nodes": len(graph.node_bias),
        "cpu_seconds": time.process_time() - start,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--nodes", type=int, default=7500)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]), options.nodes)))
        return
    found = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(shutil.copytree(TINY / "model", Path(folder) / "model"))
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
        for count in options.tokens:
            words = ["--one", str(model), str(count), "--nodes", str(options.nodes)]
            done = subprocess.run(
                [sys.executable, "-m", "bench.long_prompts", *words], cwd=ROOT, capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(done.stderr)
            found.append(json.loads(done.stdout))
            print({name: round(value, 2) for name, value in found[-1].items()}, flush=True)
    if len(found) > 1:
        size = np.log([row["tokens"] for row in found])
        for name in ("active", "cpu_seconds", "peak_gb"):
            slope = np.polyfit(size, np.log([row[name] for row in found]), 1)[0]
            print(f"{name} grows as tokens to the power {slope:.2f}")


if __name__ == "__main__":
    main()
