"""The configuration beside a layer's file, in sets whose files do not say everything themselves.

    cfg.json      sparsify: top-k of ReLU; the folder's name, layers.N.mlp, says where it reads and writes
                  SAELens: the architecture, and the names of hooks
    config.json   Gemma Scope 2: the names of modules that are read and predicted

A key either computes nothing, or has a value that is understood. Everything else is refused. This module
imports no torch. Sources: sparsify, `config.py` and `sparse_coder.py`; SAELens, `saes/transcoder.py` and
`saes/sae.py`; the configurations that Google publishes with Gemma Scope 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from circuitstore.errors import ModelError, some_of
from circuitstore.models.hooks import ADDED, INPUT, MIDDLE, NORMALIZED, OUTPUT, Hooks
from circuitstore.transcoders.formats import Activation
from circuitstore.transcoders.layouts import (
    GEMMA_SCOPE_2,
    GEMMA_SCOPE_2_CROSS,
    SAELENS,
    SPARSIFY,
    Layout,
)

HOOKS = {  # ends of names → hooks
    "mlp.hook_in": INPUT,
    "hook_mlp_in": MIDDLE,
    "hook_resid_mid": MIDDLE,
    "ln2.hook_normalized": NORMALIZED,
    "mlp.hook_out": OUTPUT,
    "hook_mlp_out": ADDED,
    "pre_feedforward_layernorm.output": INPUT,
    "pre_feedforward_layernorm.input": MIDDLE,
    "mlp.output": OUTPUT,
    "post_feedforward_layernorm.output": ADDED,
}
_BLOCK = re.compile(r"(blocks|model\.layers)\.(\d+|\{all\})\.(?P<end>.+)")


@dataclass(frozen=True)
class Said:
    """What a configuration says of the file beside it; None where it says nothing."""

    layouts: tuple[Layout, ...]
    hooks: Hooks | None = None
    activation: Activation | None = None
    jumps: bool | None = None  # whether there are thresholds
    skip: bool | None = None  # whether there is a skip connection
    n_features: int | None = None


@dataclass(frozen=True)
class _Kind:
    """The configurations of one kind of set."""

    marks: tuple[str, ...]  # keys by which it is known
    fixed: dict[str, tuple[Any, ...]]  # key → values that are understood
    read: tuple[str, ...]  # keys that are read below
    idle: tuple[str, ...]  # keys that compute nothing
    said: Callable[[dict[str, Any], str, str], Said]


def said(config: dict[str, Any], where: str, folder: str) -> Said:
    """What the mapping ``config`` says, of a file in a folder of this name.

    Raises ModelError for a configuration of no kind that is known, an unknown key, or a value that is not
    understood.
    """
    kind = next((kind for kind in KINDS if all(mark in config for mark in kind.marks)), None)
    if kind is None:
        expected = " or ".join(f"a configuration with {' and '.join(kind.marks)}" for kind in KINDS)
        raise ModelError(where, expected=expected, got="keys " + some_of(sorted(config), 5, ", "))
    known = {*kind.fixed, *kind.read, *kind.idle}
    if unknown := sorted(set(config) - known):
        expected = "keys " + ", ".join(sorted(known))
        raise ModelError(where, expected=expected, got=f"unknown {some_of(unknown, 3, ', ')}")
    for key, values in kind.fixed.items():
        if config.get(key, values[0]) not in values:
            raise ModelError(f"{key} in {where}", expected=" or ".join(map(str, values)), got=config[key])
    return kind.said(config, where, folder)


def _hooks(reads: object, writes: object, where: str) -> Hooks:
    """Hooks from two names, each with the block in front. Raises ModelError."""
    found = []
    for name, known in ((reads, (INPUT, MIDDLE, NORMALIZED)), (writes, (OUTPUT, ADDED))):
        match = _BLOCK.fullmatch(str(name))
        hook = HOOKS.get(match["end"]) if match else None
        if hook not in known:
            ends = [end for end, hook in HOOKS.items() if hook in known]
            raise ModelError(f"hooks in {where}", expected="a block's " + " or ".join(ends), got=name)
        found.append(str(hook))
    return Hooks(*found)


def _sparsify(config: dict[str, Any], where: str, folder: str) -> Said:
    if not re.fullmatch(r"layers\.\d+\.mlp", folder):
        expected = "a folder layers.N.mlp, which says that it reads and writes at the MLP"
        raise ModelError(where, expected=expected, got=folder)
    count, factor, width = (config.get(key) for key in ("num_latents", "expansion_factor", "d_in"))
    if not count and isinstance(factor, int) and isinstance(width, int):
        count = factor * width
    return Said(
        (SPARSIFY,),
        Hooks(INPUT, OUTPUT),
        Activation.of({"activation": "relu", "top_k": config.get("k")}, where),
        jumps=False,
        skip=bool(config.get("skip_connection")),
        n_features=count or None,
    )


def _saelens(config: dict[str, Any], where: str, folder: str) -> Said:
    about = {**config, **_mapping(config.get("metadata"), where)}
    return Said(
        (SAELENS,),
        _hooks(about.get("hook_name"), about.get("hook_name_out"), where),
        jumps=config["architecture"].startswith("jumprelu"),
        skip="skip" in config["architecture"],
        n_features=config["d_sae"],
    )


def _gemma_scope_2(config: dict[str, Any], where: str, folder: str) -> Said:
    cross = config.get("type") == "clt"
    return Said(
        (GEMMA_SCOPE_2_CROSS if cross else GEMMA_SCOPE_2,),
        _hooks(config["hf_hook_point_in"], config["hf_hook_point_out"], where),
        jumps=True,
        skip=bool(config.get("affine_connection")),
    )


def _mapping(value: object, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ModelError(f"metadata in {where}", expected="a mapping", got=value)
    if unknown := sorted(set(value) - set(_ABOUT)):
        expected = "keys " + ", ".join(_ABOUT)
        raise ModelError(
            f"metadata in {where}", expected=expected, got=f"unknown {some_of(unknown, 3, ', ')}"
        )
    return value


_ABOUT = (  # of SAELens: what was trained, on what, and how; in older files beside the rest
    "model_name",
    "model_class_name",
    "model_from_pretrained_kwargs",
    "hook_name",
    "hook_name_out",
    "hook_layer",
    "hook_layer_out",
    "hf_hook_name",
    "hf_hook_name_out",
    "context_size",
    "dataset_path",
    "dataset_trust_remote_code",
    "prepend_bos",
    "exclude_special_tokens",
    "sequence_separator_token",
    "disable_concat_sequences",
    "sae_lens_version",
    "sae_lens_training_version",
    "neuronpedia_id",
)
KINDS = (
    _Kind(
        marks=("hf_hook_point_in", "hf_hook_point_out"),
        fixed={"architecture": ("jump_relu",), "type": ("transcoder", "clt")},
        read=("hf_hook_point_in", "hf_hook_point_out", "affine_connection"),
        idle=("width", "l0", "model_name"),
        said=_gemma_scope_2,
    ),
    _Kind(
        marks=("expansion_factor", "k"),
        fixed={
            "activation": ("topk",),
            "signed": (False,),
            "transcode": (True,),  # else the bias of the decoder is subtracted from the input
            "embed_skip": (False,),
            "gram_lookup": (False,),
        },
        read=("k", "num_latents", "expansion_factor", "skip_connection", "d_in"),
        idle=("normalize_decoder", "multi_topk", "lookup_max_order", "gram_table_hash"),  # of training
        said=_sparsify,
    ),
    _Kind(
        marks=("architecture", "d_sae"),
        fixed={
            "architecture": (
                "transcoder",
                "skip_transcoder",
                "jumprelu_transcoder",
                "jumprelu_skip_transcoder",
            ),
            "apply_b_dec_to_input": (False, True),  # which SAELens' transcoders do not look at
            "normalize_activations": ("none", None),
            "reshape_activations": ("none",),
            "activation_fn": ("relu",),
            "activation_fn_str": ("relu",),
            "finetuning_scaling_factor": (False,),
            "hook_head_index": (None,),
            "hook_head_index_out": (None,),
        },
        read=("d_sae", "metadata"),
        idle=("d_in", "d_out", "dtype", "device", *_ABOUT),
        said=_saelens,
    ),
)
