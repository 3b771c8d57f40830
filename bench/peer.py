"""One attribution graph by circuit-tracer, in another interpreter: the program that benchmarks run for it.

circuit-tracer has dependencies of its own, so it runs in its own process. Its model and transcoders are the
same files. The program prints a line of JSON for each batch size: seconds of each run, peak memory of the
device, active features and nodes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = """
import json, os, sys, time, torch
from pathlib import Path
from circuit_tracer import ReplacementModel, attribute
from circuit_tracer.transcoder.single_layer_transcoder import load_transcoder_set
asked = json.loads(sys.argv[1])
device, dtype = torch.device(asked["device"]), getattr(torch, asked["dtype"])
folder = Path(asked["transcoders"])
count = len(list(folder.glob("layer_*.safetensors")))
paths = {i: str(folder / f"layer_{i}.safetensors") for i in range(count)}
known = dict(scan="", feature_input_hook="mlp.hook_in", feature_output_hook="mlp.hook_out")
known |= dict(device=device, dtype=dtype, lazy_encoder=False, lazy_decoder=True)
started = time.perf_counter()
coders = load_transcoder_set(paths, **known)
replaced = ReplacementModel.from_pretrained_and_transcoders(
    os.path.abspath(asked["model"]), coders, backend="nnsight", device=device, dtype=dtype
)
loading = time.perf_counter() - started
def wait():
    if device.type == "cuda":
        torch.cuda.synchronize()
ids = torch.tensor(asked["tokens"])
for batch in asked["batches"]:
    row = {"batch": batch, "loading s": loading, "seconds": []}
    try:
        for run in range(asked["runs"] + 1):
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            wait()
            started = time.perf_counter()
            graph = attribute(ids, replaced, max_feature_nodes=asked["nodes"], batch_size=batch)
            wait()
            row["seconds"].append(time.perf_counter() - started)
        row["first s"] = row["seconds"].pop(0)
        if device.type == "cuda":
            row["device GB"] = torch.cuda.max_memory_allocated() / 1e9
        row["active"], row["nodes"] = len(graph.active_features), len(graph.selected_features)
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    print("PEER " + json.dumps(row), flush=True)
"""


def graphs(
    folders: tuple[Path, Path],
    tokens: list[int],
    nodes: int,
    *,
    device: str,
    dtype: str,
    batches: list[int],
    runs: int,
    python: str = sys.executable,
    path: str = "",
    seconds: float = 300,
) -> list[dict[str, Any]]:
    """What the program prints, a dict for each of ``batches``; ``path`` goes first on its module path."""
    asked = {"model": str(folders[0]), "transcoders": str(folders[1]), "tokens": tokens, "nodes": nodes}
    asked |= {"device": device, "dtype": dtype, "batches": batches, "runs": runs}
    done = subprocess.run(
        [python, "-c", PROGRAM, json.dumps(asked)],
        env=None if not path else {**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    rows = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("PEER ")]
    return rows or [{"error": done.stderr[-2000:]}]
