"""Random transcoders in the layouts in which sets are published, with their names, shapes and dtypes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import load_file, save_file

THRESHOLD = "activation_function.threshold"


def _tensors(native: Path) -> list[dict[str, torch.Tensor]]:
    paths = sorted(native.glob("layer_*.safetensors"))
    return [{name: tensor.float() for name, tensor in load_file(path).items()} for path in paths]


def _config(folder: Path, files: list[str], **said: object) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump({"transcoders": files, **said}))


def _save(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def gemma_scope(native: Path, folder: Path) -> Path:
    """An archive a layer: W_enc (d_model, feature), float32."""
    for layer, t in enumerate(_tensors(native)):
        path = folder / f"layer_{layer}/width_16k/average_l0_{60 + layer}/params.npz"
        path.parent.mkdir(parents=True)
        arrays = {name: t[name].numpy() for name in ("W_dec", "b_enc", "b_dec")}
        np.savez(path, W_enc=t["W_enc"].T.numpy().copy(), threshold=t[THRESHOLD].numpy(), **arrays)
    return folder


def gemma_scope_2(native: Path, folder: Path, *, beside: bool = True) -> Path:
    """w_enc (d_model, feature); the skip connection (d_model in, d_model out)."""
    for layer, t in enumerate(_tensors(native)):
        start = folder / f"layer_{layer}_width_16k_l0_small_affine"
        _save(start / "params.safetensors", _gemma_2(t) | {"w_dec": t["W_dec"]})
        if beside:
            (start / "config.json").write_text(json.dumps(google(layer, "transcoder", "W_skip" in t)))
    return folder


def google(layer: int | str, kind: str, affine: bool) -> dict[str, object]:
    """The configuration that Google publishes beside a file."""
    block = f"model.layers.{layer}"
    return {
        "architecture": "jump_relu",
        "type": kind,
        "width": 16384,
        "l0": 20,
        "affine_connection": affine,
        "model_name": "gemma-v3-270m-pt",
        "hf_hook_point_in": f"{block}.pre_feedforward_layernorm.output",
        "hf_hook_point_out": f"{block}.post_feedforward_layernorm.output",
    }


def _gemma_2(t: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors = {"w_enc": t["W_enc"].T, "b_enc": t["b_enc"], "b_dec": t["b_dec"], "threshold": t[THRESHOLD]}
    return tensors | ({"affine_skip_connection": t["W_skip"].T} if "W_skip" in t else {})


def sparsify(native: Path, folder: Path, *, k: int) -> Path:
    """encoder.weight and encoder.bias; top-k in cfg.json."""
    for layer, t in enumerate(_tensors(native)):
        start = folder / f"layers.{layer}.mlp"
        tensors = {name: t[name] for name in ("W_dec", "b_dec", "W_skip") if name in t}
        _save(
            start / "sae.safetensors",
            tensors | {"encoder.weight": t["W_enc"], "encoder.bias": t["b_enc"]},
        )
        cfg = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "multi_topk": False}
        cfg |= {"num_latents": len(t["b_enc"]), "k": k, "skip_connection": "W_skip" in t, "transcode": True}
        (start / "cfg.json").write_text(json.dumps(cfg | {"d_in": len(t["b_dec"])}))
    return folder


def saelens(native: Path, folder: Path) -> Path:
    """W_enc (d_in, d_sae); the architecture and the hooks in cfg.json."""
    for layer, t in enumerate(_tensors(native)):
        start = folder / f"blocks.{layer}.mlp.hook_in"
        tensors = {"W_enc": t["W_enc"].T, **{name: t[name] for name in ("b_enc", "W_dec", "b_dec")}}
        tensors |= {"W_skip": t["W_skip"]} if "W_skip" in t else {}
        tensors |= {"threshold": t[THRESHOLD]} if THRESHOLD in t else {}
        _save(start / "sae_weights.safetensors", tensors)
        kind = ("jumprelu_" if THRESHOLD in t else "") + ("skip_" if "W_skip" in t else "") + "transcoder"
        d, n = len(t["b_dec"]), len(t["b_enc"])
        cfg = {"architecture": kind, "d_in": d, "d_sae": n, "d_out": d, "dtype": "float32", "device": "cpu"}
        cfg |= {"apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none"}
        about = {"model_name": "qwen3", "sae_lens_version": "6.54.0", "prepend_bos": True}
        about |= {
            "hook_name": f"blocks.{layer}.mlp.hook_in",
            "hook_name_out": f"blocks.{layer}.mlp.hook_out",
        }
        (start / "cfg.json").write_text(json.dumps(cfg | {"metadata": about}))
    return folder


def cross_layer(
    folder: Path,
    seed: int = 0,
    *,
    layers: int = 3,
    d_model: int = 48,
    n_features: int = 60,
    threshold: bool = False,
    **said: object,
) -> Path:
    """Random cross-layer transcoders in circuit-tracer's layout, of which one feature in six is active."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    for i in range(layers):
        tensors = {
            f"W_enc_{i}": normal(n_features, d_model, scale=d_model**-0.5),
            f"b_enc_{i}": normal(n_features, scale=0.3) - 0.8,
            f"b_dec_{i}": normal(d_model, scale=0.3),
        }
        if threshold:
            tensors[f"threshold_{i}"] = torch.rand(n_features, generator=generator) * 0.7 - 0.2
        _save(folder / f"W_enc_{i}.safetensors", tensors)
        decoder = normal(n_features, layers - i, d_model, scale=0.3)
        _save(folder / f"W_dec_{i}.safetensors", {f"W_dec_{i}": decoder})
    config = {"model_kind": "cross_layer_transcoder", "feature_input_hook": "mlp.hook_in"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | said))
    return folder


def cross_layer_tensors(folder: Path) -> list[dict[str, torch.Tensor]]:
    """The tensors of each layer of such a set by role, W_dec (feature, layers from its own, d_model)."""
    count = len(list(folder.glob("W_enc_*.safetensors")))
    layers = []
    for i in range(count):
        both = load_file(folder / f"W_enc_{i}.safetensors") | load_file(folder / f"W_dec_{i}.safetensors")
        layers.append({name.removesuffix(f"_{i}"): tensor for name, tensor in both.items()})
    return layers


def gemma_scope_2_cross(native: Path, folder: Path, skips: list[torch.Tensor] | None = None) -> Path:
    """From a cross-layer set: w_dec over all layers, with zeros below; the last file listed twice."""
    layers = cross_layer_tensors(native)
    for i, t in enumerate(layers):
        below = t["W_dec"].new_zeros(len(t["W_dec"]), i, t["W_dec"].shape[2])
        given = {THRESHOLD: t["threshold"], **t} | ({"W_skip": skips[i]} if skips else {})
        _save(
            folder / f"params_layer_{i}.safetensors",
            _gemma_2(given) | {"w_dec": torch.cat([below, t["W_dec"]], dim=1)},
        )
    files = [f"params_layer_{i}.safetensors" for i in range(len(layers))]
    _config(folder, [*files, files[-1]], model_kind="cross_layer_transcoder")
    (folder / "config.json").write_text(json.dumps(google("{all}", "clt", bool(skips))))
    return folder
