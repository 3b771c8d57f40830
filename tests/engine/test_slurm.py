"""`examples/slurm.py` with an `sbatch` that starts processes here."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from processes import alive
from workspace import ROOT

from circuitstore.storage.layout import Store
from circuitstore.storage.refs import Name, named

pytest.importorskip("dask_jobqueue")

SBATCH = """#!/bin/sh
for script; do :; done
cp "$script" "$JOBS/job.sh"
sh "$JOBS/job.sh" > "$JOBS/job.log" 2>&1 &
echo $! > "$JOBS/pid"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job; do :; done
echo "$job" > "$JOBS/cancelled"
pkill -TERM -P "$job"
"""


@pytest.mark.slow
def test_jobs_are_workers(tmp_path):
    """A job is submitted with what was asked for, computes, and ends with the script."""
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "JOBS": str(tmp_path),
        "CIRCUITSTORE_STORE": str(tmp_path / "store"),
        "CIRCUITSTORE_PROFILE": "tiny",
    }
    asked = {
        "behaviour": "plural",
        "workers": 1,
        "cpus": 3,
        "gpus": 1,
        "time": "00:10:00",
        "partition": "some",
    }
    words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "slurm.py"), "prompts", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "computed" in done.stdout
    assert named(Store(tmp_path / "store"), Name("tiny", "plural", "prompts")).count == 100
    job = (tmp_path / "job.sh").read_text()
    for asked in ("#SBATCH -p some", "#SBATCH -t 00:10:00", "#SBATCH --gres=gpu:1", "--cpus-per-task=3"):
        assert asked in job, job
    assert "OMP_NUM_THREADS=3" in job and "--resources GPU=1" in job and "--nthreads 1" in job
    assert gone(int((tmp_path / "pid").read_text()))


def gone(process: int) -> bool:
    """Whether a process ends within seconds."""
    deadline = time.monotonic() + 20
    while alive(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive(process)
