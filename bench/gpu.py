"""The pipeline on a GPU at the exact shape of Qwen3-4B: seconds and memory beside the floors and `plan`.

    python bench/gpu.py FOLDER [--out DIR] [--peer PATH] [--parts rates graphs precision phases peer]
    python bench/gpu.py FOLDER --device cpu --layers 2 --features 4096 --tokens 8 --nodes 200    # a trial

The script writes a random model and transcoders (`bench/shape_4b.py`; 69 GB with all 36 layers) into FOLDER,
which should lie in memory (/dev/shm), because no disk is being measured. The parts are:

*   *rates*: what this card reaches in copies within its memory, copies from pinned memory of the host, and
    matrix products in float32 and bfloat16. All shares below are of these.
*   *graphs*: one attribution graph for each of --tokens and --nodes, once everything is loaded, by its parts.
    The encoders are read in a part of their own, because the pipeline reads them once for all prompts.
*   *precision*: edges of the same weights in bfloat16 and in float32, with the same features.
*   *phases*: baseline to interventions by the pipeline's own code, in one process, beside `plan`.
*   *peer*: the same graph by circuit-tracer, which --peer says where to import from.

The floors of a phase are the time that its matrix products take at the measured rate, and the time that
their weights take to be read from the device's memory or to come from the host.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench import peer  # noqa: E402
from bench.measures import flops, identity, parts  # noqa: E402
from bench.pipeline_phases import phases  # noqa: E402
from bench.shape_4b import FEATURES, LAYERS, VOCABULARY, build  # noqa: E402
from circuitstore.circuits.active import ActiveFeatures, find_features  # noqa: E402
from circuitstore.circuits.graph import Graph, attribute  # noqa: E402
from circuitstore.models.capture import capture  # noqa: E402
from circuitstore.models.load import LanguageModel, load_model  # noqa: E402
from circuitstore.transcoders.per_layer import Transcoders  # noqa: E402

Row = dict[str, Any]
MEMORY = 40 * 10**9  # bytes of dense matrices that a graph of this benchmark may take
BATCHES = [64, 256, 512]  # of the peer: its default is 512
COUNTED = 12_000  # tokens times nodes of graphs whose operations are counted, which takes long


def wait(device: str) -> None:
    """Until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def wall(device: str, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds by the clock, and the result."""
    wait(device)
    started = time.perf_counter()
    result = work()
    wait(device)
    return time.perf_counter() - started, result


def median(device: str, work: Callable[[], Any], runs: int = 5) -> float:
    """The median of some runs, after one that is not counted."""
    wall(device, work)
    return statistics.median(wall(device, work)[0] for _ in range(runs))


def rates(device: str, size: int) -> Row:
    """What the device reaches: bytes a second (read and written counted), and FLOP a second."""
    made = torch.empty(size * size * 16, dtype=torch.uint8, device=device)
    other = torch.empty_like(made)
    row: Row = {"device": torch.cuda.get_device_name() if device == "cuda" else "cpu"}
    row["memory B/s"] = 2 * made.numel() / median(device, lambda: other.copy_(made))
    host = torch.empty(size * size * 4, dtype=torch.uint8, pin_memory=device == "cuda")
    row["from host B/s"] = host.numel() / median(device, lambda: made[: len(host)].copy_(host))
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        row[f"{str(dtype)[6:]} FLOP/s"] = 2 * size**3 / median(device, partial(torch.mm, a, b))
    return row


def prompt(length: int) -> list[int]:
    """Token ids (position,), the first that of the prepended token."""
    return [208, *np.random.default_rng(0).integers(300, VOCABULARY, length - 1).tolist()]


def graph(
    model: LanguageModel, transcoders: Transcoders, tokens: int, nodes: int, rate: Row, runs: int
) -> Row:
    """Seconds, memory and shares of one graph."""
    device, ids = model.device.type, prompt(tokens)
    row: Row = {"tokens": tokens, "nodes": nodes}
    row["encoders s"], active = wall(device, lambda: find_features(transcoders, capture(model, ids)))
    work = partial(
        attribute, model, transcoders, ids, features=active, max_feature_nodes=nodes, memory=MEMORY
    )
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    row["first s"], made = wall(device, work)
    if device == "cuda":
        row["device GB"] = torch.cuda.max_memory_allocated() / 1e9
    row["seconds"] = [round(wall(device, work)[0], 4) for _ in range(runs)]
    row["active"], row["graph nodes"] = len(made.active_features), len(made.node_influence)
    if tokens * nodes <= COUNTED:
        row["TFLOP"] = flops(work) / 1e12
        row["floor s"] = row["TFLOP"] * 1e12 / rate["float32 FLOP/s"]
    row["identity"] = identity(made)
    row["parts s"] = parts(work, clock=partial(wall, device))
    return row


def precision(folders: tuple[Path, Path], tokens: int, device: str) -> Row:
    """How far edges in bfloat16 are from those in float32, with the same weights and features."""
    ids = prompt(tokens)
    transcoders = Transcoders.open(folders[1], device=device)
    made: dict[str, Graph] = {}
    active: ActiveFeatures | None = None
    for dtype in ("float32", "bfloat16"):
        model = load_model(folders[0], dtype=dtype, device=device)
        if active is None:
            active = find_features(transcoders, capture(model, ids))
        made[dtype] = attribute(model, transcoders, ids, features=active, memory=MEMORY, targets=[1, 2, 3])
        del model
    exact, rounded = (made[dtype].adjacency_matrix for dtype in ("float32", "bfloat16"))
    largest = np.abs(exact).max(axis=1, keepdims=True)
    rows = largest[:, 0] > 0
    error = (np.abs(exact - rounded)[rows] / largest[rows]).max(axis=1)
    return {
        "tokens": tokens,
        "nodes": len(exact),
        "largest error of a row, median": float(np.median(error)),
        "largest error of a row, largest": float(error.max()),
        "identity in float32": identity(made["float32"]),
        "identity in bfloat16": identity(made["bfloat16"]),
    }


class Report:
    """Prints rows as they come, and keeps them in a file."""

    def __init__(self, out: Path):
        self.path, self.rows, self.failed = out / "gpu.json", {}, False
        out.mkdir(parents=True, exist_ok=True)

    def add(self, part: str, work: Callable[[], Row]) -> Row:
        """Run a part; what it raises is printed, and the others go on."""
        started = time.perf_counter()
        try:
            row = work()
        except Exception:
            traceback.print_exc()
            row, self.failed = {"error": traceback.format_exc(limit=-1)}, True
        row["in all s"] = round(time.perf_counter() - started, 1)
        self.rows.setdefault(part, []).append(row)
        self.path.write_text(json.dumps(self.rows, indent=1, default=str))
        print(part, json.dumps(row, default=lambda x: f"{x:.4g}"), flush=True)
        return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where model, transcoders and store are written")
    parser.add_argument("--out", type=Path, default=Path(), help="where gpu.json is written")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--features", type=int, default=FEATURES)
    parser.add_argument("--tokens", type=int, nargs="+", default=[12, 64])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 7500])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=4, help="of the phases; even: they come in pairs")
    parser.add_argument("--parts", nargs="+", default=["rates", "graphs", "precision", "phases", "peer"])
    parser.add_argument("--peer", default="", help="the folder that circuit-tracer is imported from")
    parser.add_argument("--peer-seconds", type=float, default=150)
    options = parser.parse_args()
    device, threads = options.device, 0 if options.device == "cuda" else 1
    report, folder = Report(options.out), options.folder.resolve()
    rate = report.add("rates", lambda: rates(device, 8192 if device == "cuda" else 1024))
    built: list[Path] = []

    def write() -> Row:
        built.append(build(folder, options.layers, options.features, device=device, threads=threads))
        return {"free GB": shutil.disk_usage(folder).free / 1e9, "cores": os.cpu_count()}

    report.add("files", write)
    folders = (folder / "model", folder / "transcoders")
    if "graphs" in options.parts:
        seconds, model = wall(device, lambda: load_model(folders[0], dtype="bfloat16", device=device))
        transcoders = Transcoders.open(folders[1], device=device)
        report.add("loading", lambda: {"model s": seconds, "bytes": sum_of(folders[0])})
        for tokens in options.tokens:
            for nodes in options.nodes:
                work = partial(graph, model, transcoders, tokens, nodes, rate, options.runs)
                report.add("graphs", work)
        del model, transcoders
    if "phases" in options.parts:
        shutil.rmtree(folder / "store", ignore_errors=True)
        for row in phases(built[0], folder / "store", options.prompts, rate):
            report.add("phases", lambda row=row: row)  # type: ignore[misc]
    if "precision" in options.parts:
        report.add("precision", lambda: precision(folders, min(options.tokens) // 2, device))
    if "peer" in options.parts and options.peer:
        if device == "cuda":
            torch.cuda.empty_cache()
        asked = {"device": device, "batches": BATCHES, "runs": options.runs, "path": options.peer}
        asked |= {"seconds": options.peer_seconds, "dtype": "bfloat16"}
        tokens = prompt(min(options.tokens))
        for row in peer.graphs(folders, tokens, min(options.nodes), **asked):
            report.add("peer", lambda row=row: row)  # type: ignore[misc]
    sys.exit(report.failed)


def sum_of(folder: Path) -> int:
    """Bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    main()
