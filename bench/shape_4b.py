"""A random model and transcoders of the exact shape of Qwen3-4B, written as files in the real formats.

The model has d_model 2560, 32 heads and 8 key-value heads of width 128, d_mlp 9728, and a tied vocabulary of
151,936, in bfloat16. A layer's transcoder has 163,840 features in bfloat16, which is 1.7 GB, and biases such
that about 70 are active at every position. The tokenizer is that of `tiny`, whose vocabulary is smaller.
"""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).parent.parent
LAYERS, D_MODEL, FEATURES, ACTIVE, VOCABULARY = 36, 2560, 163_840, 70, 151_936
WRITERS = 8  # layers that are written at once
PROFILE = """[model]
path = "model"
dtype = "bfloat16"
device = "{device}"
threads = {threads}

[transcoders]
path = "transcoders"

[activations]
positions = 0

[shape]
active = {active}
"""


def build(
    folder: Path, layers: int, features: int = FEATURES, *, device: str = "cpu", threads: int = 1
) -> Path:
    """Write model, transcoders and profile, unless they are there already; returns the profile."""
    profile = folder / f"shape-4b-{layers}-{features}.toml"
    if not profile.is_file():
        torch.manual_seed(0)
        write_model(folder / "model", layers, device)
        write_transcoders(folder / "transcoders", layers, features, device)
        profile.write_text(PROFILE.format(active=ACTIVE, device=device, threads=threads))
    return profile


def write_model(folder: Path, layers: int, device: str = "cpu") -> None:
    """The model, with its norms' gains at one and weights of transformers' own initialisation."""
    config = AutoConfig.for_model(
        "qwen3",
        vocab_size=VOCABULARY,
        hidden_size=D_MODEL,
        intermediate_size=9728,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        max_position_embeddings=40_960,
        rope_theta=1_000_000,
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "tasks" / "profiles" / "tiny" / "model" / name, folder / name)


def write_transcoders(folder: Path, layers: int, features: int, device: str = "cpu") -> None:
    """Transcoders whose encoder rows have norm one.

    Pre-activations of a normalised input are then standard normal, less the bias.
    """
    folder.mkdir(parents=True, exist_ok=True)
    share = torch.tensor(ACTIVE / features, dtype=torch.float64)
    bias = float(torch.special.ndtri(share))

    def write(layer: int) -> None:
        generator = torch.Generator(device).manual_seed(layer)

        def normal(*shape: int, scale: float) -> Tensor:
            made = torch.empty(shape, dtype=torch.bfloat16, device=device)
            return made.normal_(0, scale, generator=generator)

        tensors = {
            "W_enc": normal(features, D_MODEL, scale=D_MODEL**-0.5),
            "b_enc": torch.full((features,), bias, dtype=torch.bfloat16),
            "W_dec": normal(features, D_MODEL, scale=0.02),
            "b_dec": normal(D_MODEL, scale=0.02),
        }
        write_bfloat16(folder / f"layer_{layer}.safetensors", tensors)

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(write, range(layers)))


def write_bfloat16(path: Path, tensors: dict[str, Tensor]) -> None:
    """A safetensors file of bfloat16 tensors, copied from where they are straight into the file.

    safetensors itself writes from the memory of the host, which doubles the time at this size. Source of the
    layout: safetensors, "Format".
    """
    sizes = [2 * math.prod(tensor.shape) for tensor in tensors.values()]
    ends = np.cumsum(sizes).tolist()
    header = json.dumps(
        {
            name: {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [end - size, end]}
            for (name, tensor), size, end in zip(tensors.items(), sizes, ends, strict=True)
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    start = 8 + len(header)
    file = np.memmap(path, dtype=np.uint8, mode="w+", shape=(start + ends[-1],))
    file[:8] = np.frombuffer(len(header).to_bytes(8, "little"), dtype=np.uint8)
    file[8:start] = np.frombuffer(header, dtype=np.uint8)
    for tensor, size, end in zip(tensors.values(), sizes, ends, strict=True):
        place = torch.from_numpy(file[start + end - size : start + end])
        place.copy_(tensor.contiguous().view(torch.uint8).flatten())
