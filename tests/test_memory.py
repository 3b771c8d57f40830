"""Memory: a phase that runs out of it is given less at a time, and what it takes does not grow with the depth of the model."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from workspace import LAYERS, one_line_error

from circuitstore.engine import inputs, work
from circuitstore.engine.inputs import Upstream
from circuitstore.models.transcoders import LayerTranscoder, Transcoders
from circuitstore.storage.artifact import Cell
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import write_object
from tasks import baseline as baseline_phase
from tasks import features as features_phase
from tasks.config import Features

EXHAUSTED = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "numpy": MemoryError("Unable to allocate 2.00 GiB for an array"),
}


def limited(patch: pytest.MonkeyPatch, most: int, error: Exception, given: list[int], *, after: int = 0) -> None:
    """From now on `features` runs out of memory when given more than so many cells, ``after`` some of them are done."""
    original = features_phase.features

    def features(cells, *arguments, **named):
        given.append(len(cells))
        for done, result in enumerate(original(cells, *arguments, **named)):
            if len(cells) > most and done == after:
                raise error
            yield result

    patch.setattr(features_phase, "features", features)


@pytest.mark.parametrize("kind", EXHAUSTED)
def test_memory_that_runs_out_changes_no_result(built_once, new_workspace, monkeypatch, kind):
    """Half as many cells are tried, and half of these, until they fit; content is that of an undisturbed build, and it says so."""
    given: list[int] = []
    limited(monkeypatch, 4, EXHAUSTED[kind], given)
    outcome = new_workspace.build(phase="features")
    assert outcome.code == 0, outcome.err
    assert given == [12, 6, 3, 3, 3, 3]
    assert "out of memory with 12 cells at once, going on with 6" in outcome.err and "going on with 3" in outcome.err
    assert new_workspace.contents(("features",)) == built_once.contents(("features",))


def test_what_finished_before_is_kept(built_once, new_workspace, monkeypatch):
    """Cells that were done when memory ran out are not computed again."""
    given: list[int] = []
    limited(monkeypatch, 4, EXHAUSTED["gpu"], given, after=5)
    outcome = new_workspace.build(phase="features")
    assert outcome.code == 0, outcome.err
    assert given == [12, 6, 2]  # five of twelve done, then five of the next six
    assert outcome.computed["features"] == 3 * LAYERS
    assert new_workspace.contents(("features",)) == built_once.contents(("features",))


def test_a_cell_that_does_not_fit_alone_fails_alone(new_workspace, monkeypatch):
    """It is named, with what can be done; the others are kept, and a build with more memory computes it alone."""
    assert new_workspace.build(phase="prompts").code == 0
    original = baseline_phase.baseline

    def baseline(cells, *arguments, **named):
        for cell, result in original(cells, *arguments, **named):
            if cell["prompt"] == "b":
                raise EXHAUSTED["gpu"]
            yield cell, result

    with monkeypatch.context() as patch:
        patch.setattr(baseline_phase, "baseline", baseline)
        error = one_line_error(new_workspace.build(phase="baseline"), code=1)
    assert "prompt b" in error and "1 of 3 cells failed" in error and "circuitstore plan" in error
    assert new_workspace.build(phase="baseline").computed == {"baseline": 1}


def test_a_model_that_does_not_fit_is_one_line(new_workspace, monkeypatch):
    """Not a traceback: what does not fit, and where to read how much it takes."""
    monkeypatch.setattr("circuitstore.models.load.load_model", lambda *_, **__: (_ for _ in ()).throw(EXHAUSTED["gpu"]))
    monkeypatch.setattr(work, "_loaded", type(work._loaded)())
    error = one_line_error(new_workspace.build(phase="baseline"), code=1)
    assert "model" in error and "circuitstore plan" in error


def test_another_error_is_no_lack_of_memory():
    """Only what says so."""
    assert not work.out_of_memory(RuntimeError("shapes do not match")) and not work.out_of_memory(ValueError("can't allocate memory"))


PROMPTS, POSITIONS, D_MODEL, FEATURES = 100, 6, 256, 64


def stored_activations(folder, layers: int) -> tuple[Upstream, Transcoders]:
    """Random activations of 100 prompts as the phase above commits them, 96 cells an object, and transcoders that read them."""
    generator = torch.Generator().manual_seed(0)
    cells: list[tuple[dict[str, str | int], xr.Dataset]] = []
    for prompt in range(PROMPTS):
        for layer in range(layers):
            streams = {
                name: (("position", "d_model"), torch.randn(POSITIONS, D_MODEL, generator=generator).numpy())
                for name in ("residual", "mlp_input", "mlp_output")
            }
            cells.append(({"prompt": f"p{prompt:03}", "layer": layer}, xr.Dataset({**streams, "n_tokens": ((), np.int32(POSITIONS + 1))})))
    store, reads = Store(str(folder / "store")).create(), []
    for start in range(0, len(cells), 96):
        manifest = write_object(store, cells[start : start + 96])
        reads += [(coords, [Cell(coords, manifest.cells[row], manifest.object, row)]) for row, coords in enumerate(manifest.coords)]
    (folder / "transcoders").mkdir()
    for layer in range(layers):
        encoder = torch.randn(FEATURES, D_MODEL, generator=generator) / D_MODEL**0.5
        tensors = {"W_enc": encoder, "W_dec": encoder.clone(), "b_enc": torch.full((FEATURES,), -1.0), "b_dec": torch.zeros(D_MODEL)}
        save_file(tensors, folder / "transcoders" / f"layer_{layer}.safetensors")
    return Upstream(store, "activations", reads), Transcoders.open(folder / "transcoders")


def peak_of_features(folder, layers: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """Most bytes of arrays alive while the features of all prompts are found, a layer a batch; and which encoders were read, in order."""
    upstream, transcoders = stored_activations(folder, layers)
    read: list[str] = []
    original = LayerTranscoder._map

    def mapped(self, name):
        if name == "W_enc":
            read.append(self.path.name)
        return original(self, name)

    monkeypatch.setattr(LayerTranscoder, "_map", mapped)
    tracemalloc.start()
    for layer in range(layers):
        cells = [{"layer": layer, "prompt": f"p{prompt:03}"} for prompt in range(PROMPTS)]
        assert sum(int(cell.l0.sum()) > 0 for _, cell in features_phase.features(cells, Features(), upstream, transcoders)) == PROMPTS
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    monkeypatch.undo()
    return peak, read


def test_features_of_many_prompts_read_each_encoder_once_in_memory_that_does_not_grow(tmp_path, monkeypatch):
    """100 prompts: one reading of each encoder, counted; three times the layers take no more memory."""
    monkeypatch.setattr(inputs, "KEPT_BYTES", 1)  # one object open: its size is a constant beside what is measured
    for name in ("shallow", "deep"):
        (tmp_path / name).mkdir()
    shallow, few = peak_of_features(tmp_path / "shallow", 2, monkeypatch)
    monkeypatch.setattr(inputs, "KEPT_BYTES", 1)
    deep, many = peak_of_features(tmp_path / "deep", 6, monkeypatch)
    assert few == [f"layer_{i}.safetensors" for i in range(2)] and many == [f"layer_{i}.safetensors" for i in range(6)]
    assert deep < 1.15 * shallow
