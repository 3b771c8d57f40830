"""Baseline to attribution at the exact shape of Qwen3-4B: what it takes, beside what `plan` predicted.

    python bench/real_shape.py FOLDER [--layers 3] [--prompts 4] [--phases prompts baseline activations
    features attribution]

The script builds a random model and transcoders once, into FOLDER. The model has the 4B shape with --layers
of its 36 layers (d_model 2560, 32 heads and 8 key-value heads of width 128, d_mlp 9728, vocabulary 151,936,
tied, bfloat16). The transcoders have 163,840 features a layer in bfloat16, 1.7 GB a layer, with biases such
that about 70 are active at every layer and position. The tokenizer is that of `tiny`, whose vocabulary is
smaller. `circuitstore plan` predicts first. Then each phase is built by the real command line, in a process
of its own, from the store that the phases before it left.

Memory is measured as *anonymous* memory, `RssAnon` of /proc/PID/status, read every 5 ms. This is what the
process itself needs and what a machine runs out of. The resident set (`VmHWM`, printed beside it) also counts
pages of mapped weight files, which the kernel takes back whenever somebody needs the memory. A peak shorter
than 5 ms can be missed; writing 100 MB takes longer.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.shape_4b import build  # noqa: E402

PHASES = ("prompts", "baseline", "activations", "features", "attribution")


@dataclass
class Peak:
    """Largest memory of a process, bytes, and its CPU time in seconds, user and system."""

    anonymous: int = 0
    resident: int = 0
    seconds: float = 0.0


def watched(command: list[str]) -> tuple[Peak, str]:
    """Run a command to its end and watch its memory; returns the peak and its standard output."""
    peak, before = Peak(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except (FileNotFoundError, ProcessLookupError):
            break
        if "RssAnon" in fields:
            peak.anonymous = max(peak.anonymous, int(fields["RssAnon"].split()[0]) * 1024)
            peak.resident = max(peak.resident, int(fields["VmHWM"].split()[0]) * 1024)
        time.sleep(0.005)
    out, _ = process.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak.seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return peak, out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where model, transcoders and store are kept")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=4, help="even: they come in pairs")
    parser.add_argument("--behaviour", default="plural")
    parser.add_argument("--phases", nargs="+", default=PHASES, choices=PHASES)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    profile = build(options.folder.resolve(), options.layers)
    store = options.folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    selection = [
        "--profile",
        str(profile),
        "--behaviour",
        options.behaviour,
        "--set",
        f"prompts.train={options.prompts}",
        "--set",
        "prompts.test=0",
    ]
    selection += [word for setting in options.settings for word in ("--set", setting)]
    cli = [sys.executable, str(ROOT / "cli.py")]
    _, answer = watched([*cli, "plan", "attribution", *selection, "--json"])
    planned = {row["phase"]: row for row in json.loads(answer)["phases"]}
    rows = []
    for phase in options.phases:
        peak, out = watched(
            [*cli, "build", phase, *selection, "--store", str(store), "--ignore-gate", "--json"]
        )
        built = next(row for row in json.loads(out)["phases"] if row["phase"] == phase)
        plan = planned[phase]
        rows.append(
            {
                "phase": phase,
                "cells": built["computed"],
                "CPU s": peak.seconds,
                "planned s": plan["seconds"],
                "peak GB": peak.anonymous / 1e9,
                "planned GB": plan["host_bytes"] / 1e9,
                "ratio": peak.anonymous / plan["host_bytes"],
                "resident GB": peak.resident / 1e9,
            }
        )
        if not options.json:
            print(
                "  ".join(
                    f"{name} {value:.3g}" if isinstance(value, float) else str(value)
                    for name, value in rows[-1].items()
                ),
                flush=True,
            )
    if "attribution" in options.phases:
        _, answer = watched(
            [
                *cli,
                "show",
                "attribution",
                "--behaviour",
                options.behaviour,
                "--profile",
                str(profile),
                "--store",
                str(store),
                "--json",
            ]
        )
        summary = json.loads(answer)["summary"]
        print(
            json.dumps({"phases": rows, "attribution": summary}, indent=2)
            if options.json
            else f"attribution: {summary}"
        )


if __name__ == "__main__":
    main()
