"""Quantized weights, which are refused by name.

Weights of 8 bits or fewer are products of packed numbers and scales. transformers computes with them in ways
of their own: scaled by blocks, on some devices only, and with modules in the place of linear layers, whose
``weight`` is no matrix of the model. What this library reads as the matrix would be another function. Nothing
here imports torch. Source: transformers, `quantizers/auto.py`, for the methods that a config.json can name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from circuitstore.errors import ModelError, some_of
from circuitstore.models import shards

KEYS = ("quantization_config", "compression_config")  # in config.json, now and in older files
DTYPES = ("F64", "F32", "F16", "BF16")  # of weights that are read, as safetensors calls them
EXPECTED = "weights of 16 bits or more, not quantized"
REMEDY = "use the repository with the unquantized weights, or save them dequantized, as bfloat16"


def check_config(config: dict[str, Any], where: str) -> None:
    """Raise ModelError for a config.json that says how weights are quantized, naming the method.

    Methods are fp8, gptq, awq, bitsandbytes, compressed-tensors, and whatever else is named there.
    """
    inner = config.get("text_config")
    for level in (config, inner if isinstance(inner, dict) else {}):
        for key in KEYS:
            if (said := level.get(key)) is not None:
                raise ModelError(f"{key} in {where}", expected=EXPECTED, got=_method(said), remedy=REMEDY)


def check_weights(paths: Iterable[Path]) -> None:
    """Raise ModelError for a safetensors file with tensors of another dtype, whatever config.json says.

    Only headers are read.
    """
    for path in paths:
        with shards.opened(path) as file:
            dtypes = {name: file.get_slice(name).get_dtype() for name in [*file.keys()]}
        if wrong := sorted(name for name, dtype in dtypes.items() if dtype not in DTYPES):
            got = f"{dtypes[wrong[0]]} in {some_of(wrong, 2, ', ')}"
            raise ModelError(str(path), expected=EXPECTED, got=got, remedy=REMEDY)


def _method(said: object) -> str:
    """What a quantization_config calls its method; older ones of bitsandbytes say only how many bits."""
    if not isinstance(said, dict):
        return str(said)[:80]
    bits = next((bits for bits in (4, 8) if said.get(f"load_in_{bits}bit") is True), None)
    method = said.get("quant_method") or (f"bitsandbytes, {bits} bits" if bits else "a method without a name")
    return str(method)[:80]
