"""Numerical settings: what a user's process has set changes no result, and is there again afterwards."""

from __future__ import annotations

import json

import pytest
import torch

from circuitstore.engine import work
from circuitstore.models import numerics
from circuitstore.models.device import Machine


def state() -> dict[str, object]:
    return {setting.name: setting.read() for setting in numerics.settings(torch)}


@pytest.fixture
def odd_settings():
    """Every setting as it should not be; all back at the end."""
    before = state()
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode(), torch.device("meta"):
        yield state()
    for setting in numerics.settings(torch):
        setting.write(before[setting.name])


def test_settings_are_fixed_inside_and_the_users_own_afterwards(odd_settings):
    """Also after an exception, and where the block is inside another one."""
    with pytest.raises(KeyError), Machine().fixed() as fix:
        for setting in numerics.settings(torch):
            assert setting.fixed is None or setting.read() == setting.fixed, setting.name
        assert not torch.is_inference_mode_enabled()
        recorded = Machine().description()["numerics"]
        assert recorded["float32_matmul_precision"] == "highest" and recorded["autocast_cpu"] is False
        with Machine().fixed():
            fix()
        assert torch.get_default_dtype() is torch.float32 and torch.get_default_device().type == "cpu"
        raise KeyError
    assert state() == odd_settings and torch.is_inference_mode_enabled()
    assert torch.get_default_device().type == "meta"


def test_settings_that_contradict_each_other_are_set_back(monkeypatch):
    """Since torch 2.9 a backend may be set beside the older settings, which torch then cannot say."""
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("this torch has only the older settings")
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        with Machine().fixed():
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_build_in_an_odd_process_gives_the_same_content(built_once, new_workspace, odd_settings):
    """Every phase up to the graphs, and the process has its own settings back."""
    work.loaded.clear()
    outcome = new_workspace.build()
    assert outcome.code == 0, outcome.err
    assert new_workspace.contents() == built_once.contents()
    journals = list((new_workspace.store / "actions" / "attribution").glob("*.json"))
    recorded = [json.loads(file.read_text())["record"]["provenance"]["numerics"] for file in journals]
    assert recorded
    for each in recorded:
        assert each["float32_matmul_precision"] == "highest" and each["default_dtype"] == "torch.float32"
    assert state() == odd_settings
    work.loaded.clear()


@pytest.mark.gpu
def test_tf32_of_the_users_changes_no_product(odd_settings):
    """A product inside has the accuracy of float32, and outside that of TF32."""
    with Machine().fixed():
        a, b = (torch.randn(512, 512, device="cuda") for _ in range(2))
        inside, exact = a @ b, a.double() @ b.double()
    with torch.autocast("cpu", enabled=False):
        outside = a @ b
    errors = [float((product - exact).abs().max() / exact.abs().max()) for product in (inside, outside)]
    assert errors[0] < 1e-5 < 1e-4 < errors[1]
