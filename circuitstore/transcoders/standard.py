"""What the files of transcoders are called and hold, as circuit-tracer and other readers expect it. Imports
no torch.
"""

from __future__ import annotations

CONFIG = """\
model_name: {name}
model_kind: transcoder_set
feature_input_hook: mlp.hook_in
feature_output_hook: mlp.hook_out
scan: {name}
"""
TENSORS = {  # variable of phase `transcoders` → tensor in a file
    "W_enc": "W_enc",
    "b_enc": "b_enc",
    "W_dec": "W_dec",
    "b_dec": "b_dec",
    "threshold": "activation_function.threshold",
    "W_skip": "W_skip",
}


def layer_file(layer: int) -> str:
    """The file of one layer."""
    return f"layer_{layer}.safetensors"


def config_yaml(name: str, layers: int, top_k: int | None = None) -> str:
    """The text of config.yaml, for transcoders of this name that keep the `top_k` largest activations of a
    position, or all.
    """
    listed = "".join(f"- {layer_file(layer)}\n" for layer in range(layers))
    return CONFIG.format(name=name) + (f"top_k: {top_k}\n" if top_k else "") + "transcoders:\n" + listed
