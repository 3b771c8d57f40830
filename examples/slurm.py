"""Build on a SLURM cluster: submits jobs, each of which is a worker, and builds on these.

python examples/slurm.py attribution --behaviour plural --workers 4 --gpus 1 --time 04:00:00

Run it where all workers see the store and this folder by the same paths, as on a login node. Options of the
profile and the store are taken from CIRCUITSTORE_PROFILE and CIRCUITSTORE_STORE.
"""

from __future__ import annotations

import argparse

from dask_jobqueue import SLURMCluster

import circuitstore as cs


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("phases", nargs="*", help="all when none is named")
    parser.add_argument("--behaviour", action="append", default=[])
    parser.add_argument("--workers", type=int, default=2, help="jobs to submit")
    parser.add_argument("--cpus", type=int, default=8, help="cores of each")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of each")
    parser.add_argument("--memory", default="32GB", help="of each")
    parser.add_argument("--time", default="01:00:00", help="the longest that a job may run")
    parser.add_argument("--partition")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    threads = f"export OMP_NUM_THREADS={asked.cpus} MKL_NUM_THREADS={asked.cpus}"
    tags = ["--resources", f"GPU={asked.gpus}"] if asked.gpus else []
    cluster = SLURMCluster(
        queue=asked.partition,
        walltime=asked.time,
        memory=asked.memory,
        cores=1,  # batches at a time: a process computes one after the other
        job_cpu=asked.cpus,
        job_extra_directives=[f"--gres=gpu:{asked.gpus}"] if asked.gpus else [],
        job_script_prologue=[threads],
        worker_extra_args=["--memory-limit", "0", *tags],
        scheduler_options={"dashboard_address": ":0"},
    )
    with cluster:
        cluster.scale(jobs=asked.workers)
        print(cs.build(*asked.phases, behaviour=asked.behaviour, dask=cluster.scheduler_address))


if __name__ == "__main__":
    main()
