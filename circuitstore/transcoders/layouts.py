"""How published files lay out one layer's transcoder: what each tensor is called, and which way it lies.

A layout is recognised by the tensors of a file, never by the name of a file or of a repository. The roles of
tensors are called as in circuit-tracer's own layout:

    W_enc (feature, d_model)   b_enc (feature,)   threshold (feature,)
    W_dec (feature, d_model)   b_dec (d_model,)   W_skip (d_model out, d_model in)   k ()

A cross-layer transcoder has a decoder for every layer that it writes to: W_dec (feature, layer, d_model). Its
b_dec and W_skip are those of the prediction for its own layer.

This module imports no torch. Sources: circuit-tracer, `transcoder/*.py` and `utils/hf_utils.py`; sparsify,
`sparse_coder.py`; SAELens, `saes/transcoder.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from circuitstore.errors import ModelError, some_of

Shape = tuple[int, ...]
DTYPES = ("F32", "F16", "BF16")  # as safetensors calls them
NEEDED = ("W_enc", "b_enc", "W_dec", "b_dec")
THRESHOLD = "activation_function.threshold"
OWN, LATER, ALL = (
    "own",
    "later",
    "all",
)  # the layers on the second axis of W_dec; `OWN`: there is no such axis


@dataclass(frozen=True)
class Layout:
    """One layout. ``{layer}`` in the name of a tensor stands for the number of the layer."""

    name: str
    tensors: Mapping[str, str]  # role → name of the tensor
    turned: Collection[str] = ()  # roles of tensors whose axes are the other way round
    needed: Collection[str] = NEEDED
    targets: str = OWN
    npz: bool = False  # an archive of NumPy's, where the others are safetensors
    companion: bool = False  # a configuration must lie beside the file

    def names(self, layer: int) -> dict[str, str]:
        """Role → name of the tensor of a layer."""
        return {role: name.format(layer=layer) for role, name in self.tensors.items()}

    def shapes(self, n_features: int, d_model: int, n_targets: int) -> dict[str, Shape]:
        """Role → the shape that its tensor has in a file."""
        shapes: dict[str, Shape] = {
            "W_enc": (n_features, d_model),
            "b_enc": (n_features,),
            "W_dec": (n_features, d_model) if self.targets == OWN else (n_features, n_targets, d_model),
            "b_dec": (d_model,),
            "W_skip": (d_model, d_model),
            "threshold": (n_features,),
            "k": (),
        }
        return {role: shape[::-1] if role in self.turned else shape for role, shape in shapes.items()}


_GEMMA_2 = {
    "W_enc": "w_enc",
    "b_enc": "b_enc",
    "W_dec": "w_dec",
    "b_dec": "b_dec",
    "threshold": "threshold",
    "W_skip": "affine_skip_connection",
}
_PLAIN = {name: name for name in (*NEEDED, "threshold", "W_skip")}
JUMPING = (*NEEDED, "threshold")
NATIVE = Layout("circuit-tracer, per layer", {**_PLAIN, "threshold": THRESHOLD, "k": "k"})
CROSS_LAYER = Layout(
    "circuit-tracer, cross-layer",
    {name: f"{name}_{{layer}}" for name in JUMPING},
    targets=LATER,
)
GEMMA_SCOPE = Layout(
    "Gemma Scope", {name: name for name in JUMPING}, turned=("W_enc",), needed=JUMPING, npz=True
)
GEMMA_SCOPE_2 = Layout("Gemma Scope 2, per layer", _GEMMA_2, turned=("W_enc", "W_skip"), needed=JUMPING)
GEMMA_SCOPE_2_CROSS = Layout(
    "Gemma Scope 2, cross-layer", _GEMMA_2, turned=("W_enc", "W_skip"), needed=JUMPING, targets=ALL
)
SPARSIFY = Layout(
    "sparsify",
    {
        "W_enc": "encoder.weight",
        "b_enc": "encoder.bias",
        "W_dec": "W_dec",
        "b_dec": "b_dec",
        "W_skip": "W_skip",
    },
    companion=True,
)
SAELENS = Layout("SAELens", _PLAIN, turned=("W_enc",), companion=True)
LAYOUTS = (NATIVE, CROSS_LAYER, GEMMA_SCOPE, GEMMA_SCOPE_2, GEMMA_SCOPE_2_CROSS, SPARSIFY, SAELENS)


@dataclass(frozen=True)
class Recognised:
    """The layout of one layer's file, and the sizes that its tensors state."""

    layout: Layout
    n_features: int
    d_model: int
    n_targets: int  # how long the axis of layers is; 1 without one
    names: dict[str, str] = field(repr=False)  # role → tensor, of those that the file has

    def has(self, role: str) -> bool:
        """Whether the file has a tensor of this role."""
        return role in self.names


def recognise(
    shapes: Mapping[str, Shape],
    dtypes: Mapping[str, str],
    where: str,
    *,
    layer: int = 0,
    npz: bool = False,
    companion: bool = False,
) -> Recognised:
    """The layout whose tensors these are: name → shape, name → dtype as safetensors calls it.

    ``companion`` says whether a configuration lies beside the file. Raises ModelError for a tensor that is
    missing, unknown, misshapen or of another dtype, by the layout that comes nearest.
    """
    candidates = [layout for layout in LAYOUTS if layout.npz == npz and (companion or not layout.companion)]

    def unlike(layout: Layout) -> tuple[int, int]:
        names = layout.names(layer)
        lacking = sum(names[role] not in shapes for role in layout.needed)
        sizes = () if lacking else _sizes(layout, shapes, names)
        expected = layout.shapes(*sizes) if sizes else {}
        wrong = sum(name in shapes and shapes[name] != expected.get(role) for role, name in names.items())
        return lacking, wrong + len(set(shapes) - set(names.values()))

    layout = min(candidates, key=unlike)
    names = layout.names(layer)
    _check_names(layout, names, shapes, where)
    sizes = _sizes(layout, shapes, names)
    if not sizes:
        got = f"{shapes[names['b_enc']]} and {shapes[names['b_dec']]}"
        raise ModelError(where, expected=f"vectors {names['b_enc']} and {names['b_dec']}", got=got)
    expected = layout.shapes(*sizes)
    known = {role: name for role, name in names.items() if name in shapes}
    for role, name in known.items():
        if (shape := shapes[name]) != expected[role]:
            turned = shape == expected[role][::-1] and not layout.turned
            remedy = "transpose it: rows are features" if turned else None
            raise ModelError(f"{name} in {where}", expected=expected[role], got=shape, remedy=remedy)
        if role != "k" and dtypes[name] not in DTYPES:
            raise ModelError(f"{name} in {where}", expected=" or ".join(DTYPES), got=dtypes[name])
    return Recognised(layout, *sizes, known)


def _check_names(layout: Layout, names: dict[str, str], shapes: Mapping[str, Shape], where: str) -> None:
    if unknown := sorted(set(shapes) - set(names.values())):
        expected = f"no tensors but {', '.join(names.values())} ({layout.name})"
        raise ModelError(where, expected=expected, got=f"also {some_of(unknown, 3, ', ')}")
    for role in layout.needed:
        if names[role] not in shapes:
            got = ", ".join(sorted(shapes)) or "no tensors"
            raise ModelError(where, expected=f"a tensor {names[role]} ({layout.name})", got=got)


def _sizes(layout: Layout, shapes: Mapping[str, Shape], names: dict[str, str]) -> tuple[int, int, int] | None:
    """(n_features, d_model, n_targets) as biases and decoders state them; None if biases are no vectors."""
    features, model, decoder = (shapes[names[role]] for role in ("b_enc", "b_dec", "W_dec"))
    if len(features) != 1 or len(model) != 1:
        return None
    return features[0], model[0], decoder[1] if layout.targets != OWN and len(decoder) == 3 else 1
