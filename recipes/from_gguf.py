"""A language model as a folder in the Hugging Face layout, from a GGUF file inside a Python package.

Package indexes carry a few models whose weights are quantized and lie in one GGUF file, or in parts of one.
transformers reads such a file. What it dequantizes is written as it is, in float32, so the model is a rounded
one and not the published one. Nothing of a package is run or unpickled.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitstore.errors import CircuitstoreError, InputError, ModelError, first_line

PROFILES = Path(__file__).parents[1] / "tasks" / "profiles"
READERS = ("accelerate", "gguf")
SOURCE = "source.json"


@dataclass(frozen=True)
class Recipe:
    """What one model is, and where its weights come from."""

    profile: str  # which profile uses the model
    folder: str  # in tasks/profiles, where that profile finds it
    packages: tuple[str, ...]  # modules that hold the GGUF file: one, or the parts of it in their order
    pattern: str  # of the file's name in each of them
    install: str  # the command that installs these packages
    expected: Mapping[str, Any]  # in config.json
    write_tokenizer: Callable[[Path, Path], None]  # of a GGUF file, into a folder

    @property
    def out(self) -> Path:
        """The folder that the profile names."""
        return PROFILES / self.folder / "model"


def main(recipe: Recipe, arguments: list[str] | None = None) -> int:
    """Convert, and say where the model is; returns the exit code."""
    parser = argparse.ArgumentParser(description=f"Make the model of profile {recipe.profile}.")
    parser.add_argument("--gguf", type=Path, help="the weights (default: those in the installed package)")
    where = f"tasks/profiles/{recipe.folder}/model"
    parser.add_argument(
        "--out", type=Path, default=recipe.out, help=f"the folder to write (default: {where})"
    )
    given = parser.parse_args(arguments)
    try:
        parts = [given.gguf] if given.gguf else packaged(recipe)
        written = convert(recipe, parts, given.out)
    except CircuitstoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{given.out}: {'written' if written else 'up to date'}", file=sys.stderr)
    return 0


def packaged(recipe: Recipe) -> list[Path]:
    """The GGUF file inside installed packages, or its parts in order. No package is imported.

    Raises InputError.
    """
    parts = []
    for package in recipe.packages:
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations or () if spec else ()
        files = [file for folder in folders for file in sorted(Path(folder).glob(recipe.pattern))]
        if len(files) != 1:
            raise InputError(
                f"package {package}",
                expected=f"one file {recipe.pattern} in it",
                got=f"{len(files)} files" if spec else "not installed",
                remedy=f"{recipe.install}, or name a file with --gguf",
            )
        parts += files
    return parts


def convert(recipe: Recipe, parts: list[Path], out: Path) -> bool:
    """Write the model of a GGUF file, given in one part or more, to a folder; False if it is there already.

    The folder appears whole or not at all. Raises InputError for a missing file, for missing packages or for
    another folder of this name, and ModelError for another model.
    """
    source = {"file": ", ".join(part.name for part in parts), "sha256": sha256(parts)}
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
        raise InputError(
            "reading GGUF",
            expected="the packages " + " and ".join(READERS),
            got="no " + ", ".join(missing),
            remedy='pip install -c constraints.txt -e ".[gguf]"',
        )
    draft = out.with_name(f"{out.name}.{os.getpid()}.part")
    with ExitStack() as leaving:
        leaving.callback(shutil.rmtree, draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True)
            gguf = parts[0] if len(parts) == 1 else join(parts, draft / "joined.gguf")
            recipe.write_tokenizer(gguf, draft)
            write_weights(gguf, recipe.expected, draft)
            if len(parts) > 1:
                gguf.unlink()
            (draft / SOURCE).write_text(json.dumps(source, indent=2) + "\n")
            for file in draft.iterdir():
                file.chmod(0o644)  # safetensors writes files that only their owner can read
            shutil.rmtree(out, ignore_errors=True)
            draft.rename(out)
        except OSError as error:
            raise InputError(
                str(out), expected="a folder that can be written", got=error.strerror or error
            ) from error
    return True


def write_weights(gguf: Path, expected: Mapping[str, Any], folder: Path) -> None:
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
        for name, value in expected.items()
        if getattr(model.config, name, None) != value
    }:
        raise ModelError(str(gguf), expected=dict(expected), got=wrong)
    del model.config.quantization_config  # with which transformers refuses to save what it has dequantized
    model.hf_quantizer = None
    model.config._name_or_path = ""
    model.save_pretrained(folder)


def join(parts: list[Path], whole: Path) -> Path:
    """Write the parts of a file one after the other into ``whole``, which is returned. Raises OSError."""
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
    return whole


def sha256(parts: list[Path]) -> str:
    """sha256 (hexadecimal) of the bytes of files, one after the other. Raises InputError."""
    digest = hashlib.sha256()
    for part in parts:
        try:
            with part.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise InputError(
                str(part), expected="a readable GGUF file", got=error.strerror or error
            ) from error
    return digest.hexdigest()
