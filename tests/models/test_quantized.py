"""Quantized weights are refused by the name of their method or dtype, before anything is read or written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from damaged import edit_json, edit_tensors, refused
from random_model import write_model
from safetensors import safe_open
from workspace import MODEL, TRANSCODERS, Workspace, one_line_error

from circuitstore.models.load import check_model, load_model

METHODS = {
    "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False},
    "awq": {"quant_method": "awq", "bits": 4, "version": "gemm", "zero_point": True},
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "bitsandbytes, 8 bits": {"load_in_8bit": True, "llm_int8_threshold": 6.0},
    "compressed-tensors": {"quant_method": "compressed-tensors", "format": "pack-quantized"},
    "a method without a name": {},
}
PACKED = {
    "F8_E4M3": lambda weight: weight.to(torch.float8_e4m3fn),
    "F8_E5M2": lambda weight: weight.to(torch.float8_e5m2),
    "I8": lambda weight: weight.mul(50).to(torch.int8),
    "U8": lambda weight: weight.mul(50).to(torch.uint8),
    "I32": lambda weight: weight.mul(50).to(torch.int32),
}
WEIGHT = "model.layers.1.mlp.gate_proj.weight"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_in_the_configuration(tmp_path, method):
    """It is named, whatever the weights are: here they are float32 and would load."""
    folder = write_model(tmp_path / "model")
    load_model(folder)
    edit_json(folder / "config.json", quantization_config=METHODS[method])
    for action in (check_model, load_model):
        refused(lambda action=action: action(folder), "quantization_config", f"got {method};", "unquantized")


@pytest.mark.parametrize("change", [{"compression_config": METHODS["gptq"]}, {"text_config": {}}])
def test_other_places_of_a_method(tmp_path, change):
    """The older name of compressed-tensors, and the configuration of the text model inside another."""
    if "text_config" in change:
        change = {"text_config": {"quantization_config": METHODS["gptq"]}}
    folder = write_model(tmp_path / "model")
    edit_json(folder / "config.json", **change)
    refused(lambda: check_model(folder), "got gptq")


def test_no_method(tmp_path):
    """`null` says that nothing is quantized."""
    folder = write_model(tmp_path / "model")
    edit_json(folder / "config.json", quantization_config=None)
    check_model(folder)


@pytest.mark.parametrize("dtype", PACKED)
def test_a_dtype_in_the_weights(tmp_path, dtype):
    """Tensors of 8 bits, or of integers, are named, though config.json says nothing of them."""
    folder = write_model(tmp_path / "model")
    path = folder / "model.safetensors"
    edit_tensors(path, lambda tensors: tensors.update({WEIGHT: PACKED[dtype](tensors[WEIGHT])}))
    with safe_open(path, "pt") as file:
        assert file.get_slice(WEIGHT).get_dtype() == dtype
    for action in (check_model, load_model):
        refused(lambda action=action: action(folder), "model.safetensors", f"got {dtype} in {WEIGHT}")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes_that_are_read(tmp_path, dtype):
    """Sixteen bits and more are no quantization."""
    folder = write_model(tmp_path / "model")
    edit_tensors(folder / "model.safetensors", lambda ts: ts.update({n: t.to(dtype) for n, t in ts.items()}))
    assert load_model(folder).dtype == torch.float32


def test_a_build_says_so_and_writes_nothing(tmp_path):
    """One line, and no store."""
    model = Path(shutil.copytree(MODEL, tmp_path / "model"))
    edit_json(model / "config.json", quantization_config=METHODS["awq"])
    workspace = Workspace.create(tmp_path / "work", model, TRANSCODERS)
    message = one_line_error(workspace.build(), code=1)
    assert "quantization_config in config.json" in message and "awq" in message
    assert not workspace.store.exists()
