"""The machine: the choice of a device, lack of memory, and what is set before torch computes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from circuitstore.models.device import Machine, choose, limit_threads

LIBRARY = Path(__file__).parents[2] / "circuitstore"
COMPUTING = sorted(
    str(file.relative_to(LIBRARY.parent).with_suffix("")).replace("/", ".")
    for room in ("models", "transcoders", "circuits")
    for file in (LIBRARY / room).glob("*.py")
    if "\nimport torch" in file.read_text() or "\nfrom torch" in file.read_text()
)


def test_every_module_that_uses_torch_sets_how_matrices_are_multiplied():
    """Each one, imported alone in a process without the variable, has set it."""
    check = (
        "import importlib, os, sys\n"
        "for name in sys.argv[1:]:\n"
        "    os.environ.pop('MKL_CBWR', None)\n"
        "    for known in [known for known in sys.modules if known.startswith('circuitstore')]:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
        "    assert os.environ.get('MKL_CBWR') == 'AUTO,STRICT', name\n"
    )
    assert "circuitstore.transcoders.activation" in COMPUTING and len(COMPUTING) > 12
    subprocess.run([sys.executable, "-c", check, *COMPUTING], check=True, cwd=LIBRARY.parent)


def test_lack_of_memory_is_told_from_other_errors():
    """NumPy, Python and torch say it in four ways; the words alone do not count."""
    machine = pickle.loads(pickle.dumps(Machine()))
    for error in (
        MemoryError("Unable to allocate 2.00 GiB for an array"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ):
        assert machine.out_of_memory(error)
    assert not machine.out_of_memory(RuntimeError("shapes do not match"))
    assert not machine.out_of_memory(ValueError("can't allocate memory"))


def test_the_device_is_chosen_only_when_left_open(monkeypatch):
    """A GPU if there is one, for "auto"; any other name is taken as it is."""
    for available, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert choose("auto") == expected and choose("cuda:1") == "cuda:1"


@pytest.mark.parametrize("asked", [0, 3])
def test_threads_are_limited_and_described(asked):
    """0 leaves their number as it was."""
    before = torch.get_num_threads()
    try:
        limit_threads(asked)
        described = Machine().description()
        assert described.pop("numerics") and described == {"threads": asked or before, "device": "cpu"}
    finally:
        torch.set_num_threads(before)
