"""Memory: a phase that runs out of it is given less at a time, and what it takes does not grow with the depth
of the model.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file
from workspace import LAYERS, one_line_error

from circuitstore.engine import inputs, work
from circuitstore.engine.inputs import Upstream
from circuitstore.models.device import Machine
from circuitstore.storage.artifact import Cell
from circuitstore.storage.layout import Store
from circuitstore.storage.objects import write_object
from circuitstore.transcoders.layer_file import LayerFile
from circuitstore.transcoders.per_layer import Transcoders
from tasks import baseline as baseline_phase
from tasks import features as features_phase
from tasks.settings.phases import Features

EXHAUSTED = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 9 bytes."
    ),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "numpy": MemoryError("Unable to allocate 2.00 GiB for an array"),
}


def limited(
    patch: pytest.MonkeyPatch, most: int, error: Exception, given: list[int], *, after: int = 0
) -> None:
    """From now on `features` runs out of memory when given more than so many cells, ``after`` some of them
    are done.
    """
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
    """Half as many cells are tried, and half of these, until they fit; content is that of an undisturbed
    build, and it says so.
    """
    given: list[int] = []
    limited(monkeypatch, 4, EXHAUSTED[kind], given)
    outcome = new_workspace.build(phase="features")
    assert outcome.code == 0, outcome.err
    assert given == [12, 6, 3, 3, 3, 3]
    assert (
        "out of memory with 12 cells at once, going on with 6" in outcome.err
        and "going on with 3" in outcome.err
    )
    assert new_workspace.contents(("features",)) == built_once.contents(("features",))


@pytest.mark.gpu
def test_memory_of_a_gpu_that_really_runs_out(built_once, new_workspace, monkeypatch):
    """The same when the device itself refuses: 1 GB a cell, where less than 4 GB may be taken."""
    original, given = features_phase.features, []

    def features(cells, *arguments, **named):
        given.append(len(cells))
        held = torch.empty(len(cells) << 30, dtype=torch.uint8, device="cuda")
        yield from original(cells, *arguments, **named)
        del held

    monkeypatch.setattr(features_phase, "features", features)
    torch.cuda.set_per_process_memory_fraction(4e9 / torch.cuda.mem_get_info()[1])
    try:
        outcome = new_workspace.build(phase="features")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert outcome.code == 0, outcome.err
    assert given == [12, 6, 3, 3, 3, 3]
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
    """It is named, with what can be done; the others are kept, and a build with more memory computes it
    alone.
    """
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
    monkeypatch.setattr(
        "circuitstore.models.load.load_model", lambda *_, **__: (_ for _ in ()).throw(EXHAUSTED["gpu"])
    )
    work.loaded.clear()
    error = one_line_error(new_workspace.build(phase="baseline"), code=1)
    assert "model" in error and "circuitstore plan" in error


def test_another_error_is_no_lack_of_memory():
    """Only what says so."""
    for error in (RuntimeError("shapes do not match"), ValueError("can't allocate memory")):
        assert not Machine().out_of_memory(error)


PROMPTS, POSITIONS, D_MODEL, FEATURES = 100, 6, 256, 64


def stored_activations(folder, layers: int) -> tuple[Upstream, Transcoders]:
    """Random activations of 100 prompts as the phase above commits them, 96 cells an object, and transcoders
    that read them.
    """
    generator = torch.Generator().manual_seed(0)
    cells: list[tuple[dict[str, str | int], xr.Dataset]] = []
    for prompt in range(PROMPTS):
        for layer in range(layers):
            streams = {
                name: (("position", "d_model"), torch.randn(POSITIONS, D_MODEL, generator=generator).numpy())
                for name in ("residual", "mlp_input", "mlp_output")
            }
            cells.append(
                (
                    {"prompt": f"p{prompt:03}", "layer": layer},
                    xr.Dataset({**streams, "n_tokens": ((), np.int32(POSITIONS + 1))}),
                )
            )
    store, reads = Store(str(folder / "store")).create(), []
    for start in range(0, len(cells), 96):
        manifest = write_object(store, cells[start : start + 96])
        reads += [
            (coords, [Cell(coords, manifest.cells[row], manifest.object, row)])
            for row, coords in enumerate(manifest.coords)
        ]
    (folder / "transcoders").mkdir()
    for layer in range(layers):
        encoder = torch.randn(FEATURES, D_MODEL, generator=generator) / D_MODEL**0.5
        tensors = {
            "W_enc": encoder,
            "W_dec": encoder.clone(),
            "b_enc": torch.full((FEATURES,), -1.0),
            "b_dec": torch.zeros(D_MODEL),
        }
        save_file(tensors, folder / "transcoders" / f"layer_{layer}.safetensors")
    return Upstream(store, "activations", reads), Transcoders.open(folder / "transcoders")


def watched_features(folder, layers: int, patch: pytest.MonkeyPatch) -> tuple[int, int, list[str]]:
    """Find the features of all prompts, a layer a batch. Most bytes of inputs in memory while an encoder is
    read: those that the phase holds, and those that are kept of open objects; and the encoders that were
    read, in order.
    """
    upstream, transcoders = stored_activations(folder, layers)
    given: list[xr.Dataset] = []
    held, kept, read = [0], [0], []
    one, mapped = Upstream.one, LayerFile.tensor

    def watched_one(self, cell):
        given.append(one(self, cell))
        return given[-1]

    def watched_map(self, name):
        if name == "W_enc":
            read.append(self.path.name)
            owners = {
                id(owner): owner.nbytes
                for cell in given
                for variable in cell.variables.values()
                for owner in [owner_of(variable.values)]
            }
            held.append(sum(owners.values()))
            kept.append(upstream._kept())
        return mapped(self, name)

    with patch.context() as inner:
        inner.setattr(Upstream, "one", watched_one)
        inner.setattr(LayerFile, "tensor", watched_map)
        for layer in range(layers):
            cells = [{"layer": layer, "prompt": f"p{prompt:03}"} for prompt in range(PROMPTS)]
            assert (
                sum(
                    int(cell.l0.sum()) > 0
                    for _, cell in features_phase.features(cells, Features(), upstream, transcoders)
                )
                == PROMPTS
            )
            given.clear()
    return max(held), max(kept), read


def owner_of(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one is a view of, or itself."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_features_of_many_prompts_read_each_encoder_once_in_memory_that_does_not_grow(tmp_path, monkeypatch):
    """100 prompts: one reading of each encoder, counted. Four times the layers take no more memory: one layer
    of all prompts is held, and of what lies beside it in the same objects no more than a stated amount.
    """
    monkeypatch.setattr(inputs, "KEPT_BYTES", 2 * 10**6)  # two objects
    for name in ("shallow", "deep"):
        (tmp_path / name).mkdir()
    held, _, few = watched_features(tmp_path / "shallow", 1, monkeypatch)
    deep, kept, many = watched_features(tmp_path / "deep", 4, monkeypatch)
    assert few == ["layer_0.safetensors"] and many == [f"layer_{i}.safetensors" for i in range(4)]
    streams = PROMPTS * 3 * POSITIONS * D_MODEL * 4
    assert deep == held and streams <= held < 1.01 * streams
    assert kept <= inputs.KEPT_BYTES
