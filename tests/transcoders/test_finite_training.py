"""NaN and infinity in the phases that train transcoders: the build says where, and stores nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import INF, NAN, planted, stored
from trained import MODEL, Trained
from workspace import one_line_error

from tasks.training import replacement

DOWN = "model.layers.1.mlp.down_proj.weight"


def with_weight(root: Path, name: str, value: float, where: object = ...) -> Trained:
    """A corpus, and the model with one weight that is not finite."""
    root.mkdir()
    return Trained(root).write(planted(MODEL, root / "model", name, value, where))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("value", [NAN, INF])
def test_a_weight_of_the_model(tmp_path, dtype, value):
    """The layer is named. Infinity in float16 is first taken for a number that is too large for it."""
    made = with_weight(tmp_path / "work", DOWN, value, (0, 0))
    error = one_line_error(
        made.build("corpus_activations", "--set", f"corpus_activations.dtype={dtype}"), code=1
    )
    assert "layer 1" in error and ("expected finite numbers" in error or "float16" in error)
    if dtype == "float16" and value == INF:
        assert "dtype=bfloat16" in error
    else:
        assert "mlp_output: expected finite numbers, got" in error and "sample 0, dimension 0" in error
    kept = [path for path in stored(made.store, "corpus_activations") if "refs" in Path(path).parts]
    assert kept == []


def test_training_that_diverges(tmp_path):
    """Layer, weight and remedy are named, and the remedy works."""
    (tmp_path / "work").mkdir()
    made = Trained(tmp_path / "work").write()
    error = one_line_error(made.build("transcoders", "--set", "training.rate=1e30"), code=1)
    assert "layer 0" in error and "after 30 steps at rate 1e+30: expected finite numbers, got" in error
    assert "--set training.rate=1e-3" in error and stored(made.store, "transcoders") == []
    assert made.build("transcoders", "--set", "training.rate=1e-3").code == 0


def test_logits_of_the_model(tmp_path):
    """A weight after the last MLP is met by phase `replacement` alone."""
    made = with_weight(tmp_path / "work", "model.norm.weight", NAN, 0)
    error = one_line_error(made.build(), code=1)
    assert "logits of the model: expected finite numbers, got nan at prediction 0, token 0" in error
    assert stored(made.store, "replacement") == [] and stored(made.store, "transcoders") != []


def test_logits_of_the_model_with_transcoders(tmp_path, monkeypatch):
    """The layer whose transcoder gives numbers that are not finite is named."""
    (tmp_path / "work").mkdir()
    made = Trained(tmp_path / "work").write()
    read = replacement._Layers.__getitem__

    def broken(self, index):
        weights = read(self, index)
        return weights | {"b_dec": weights["b_dec"] * (NAN if index == 2 else 1)}

    monkeypatch.setattr(replacement._Layers, "__getitem__", broken)
    error = one_line_error(made.build(), code=1)
    assert "logits of the model with transcoders in layer 2: expected finite numbers, got nan" in error
    assert stored(made.store, "replacement") == []
