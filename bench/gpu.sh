#!/usr/bin/env bash
# Everything that is measured and tested on a GPU, in one go: bash bench/gpu.sh OUT [SECONDS] [gpu.py's arguments]
# Wheels that the machine lacks are taken from .whl/ (ours) and .peer/ (circuit-tracer's, with its source).
set -uo pipefail
cd "$(dirname "$0")/.."
out="$1" seconds="${2:-400}"
shift 2
install() { python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$1" "$2"/*.whl; }
[ -d .whl ] && install /tmp/site .whl
[ -d .peer ] && install /tmp/peer .peer && cp -r .peer/circuit_tracer /tmp/peer/
export PYTHONPATH="/tmp/site:$PWD" PYTHONUNBUFFERED=1 CIRCUITSTORE_CACHE="$(mktemp -d)" HF_HUB_OFFLINE=1
nvidia-smi -L
folder="$(mktemp -d)"
mount -t tmpfs -o size=90g tmpfs "$folder" || folder="$(mktemp -d -p /dev/shm)"
timeout "$seconds" python3 bench/gpu.py "$folder" --out "$out" --peer /tmp/peer "$@" 2>&1 | tee "$out/gpu.log"
timeout 170 python3 -m pytest -m gpu -q --durations 5 -p no:cacheprovider 2>&1 | tee "$out/tests.log" | tail -40
