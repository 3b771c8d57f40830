"""Settings of torch that change results beyond their last bits, fixed while cells are computed.

A process may have set them for its own work: float32 products in TF32 or bfloat16, another default dtype
or device, autocast, no gradients. A result must not depend on that, because no key says it. Since torch 2.9
each backend has a `fp32_precision` too, which the older settings write; both are read, so that both can be
set back.

Source: PyTorch documentation, "Numerical accuracy" and "CUDA semantics".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

DEVICES = ("cpu", "cuda")
BACKENDS = ("", "cuda.matmul", "cudnn", "cudnn.conv", "mkldnn", "mkldnn.matmul")


class Setting(NamedTuple):
    """One setting of the process: how it is read and written, and its value while cells are computed.

    A setting with `fixed` None follows from the others, and is only set back.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    fixed: Any


def settings(torch: Any) -> Iterator[Setting]:
    """Every setting that is fixed, in the order in which they are written.

    `torch.backends.cuda.matmul.allow_tf32` is another name of the first: writing both would lose "medium".
    """
    read, write = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    yield Setting("float32_matmul_precision", read, write, "highest")
    yield _attribute("cudnn.allow_tf32", torch.backends.cudnn, "allow_tf32", False)
    for backend in BACKENDS:
        owner = torch.backends
        for part in filter(None, backend.split(".")):
            owner = getattr(owner, part, None)
        if hasattr(owner, "fp32_precision"):
            yield _attribute(f"{backend} fp32_precision".lstrip(), owner, "fp32_precision", None)
    yield Setting("default_dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    # `torch.use_deterministic_algorithms` says the same, but imports torch's compiler, which takes seconds.
    deterministic = torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
    yield Setting("deterministic_debug_mode", *deterministic, 0)
    for device in DEVICES:
        yield _autocast(torch, device)
    yield Setting("grad_enabled", torch.is_grad_enabled, torch.set_grad_enabled, True)


def _attribute(name: str, owner: Any, attribute: str, fixed: Any) -> Setting:
    def read() -> Any:
        return getattr(owner, attribute)

    def write(value: Any) -> None:
        setattr(owner, attribute, value)

    return Setting(name, read, write, fixed)


def _autocast(torch: Any, device: str) -> Setting:
    def read() -> Any:
        return torch.is_autocast_enabled(device)

    def write(value: Any) -> None:
        torch.set_autocast_enabled(device, value)

    return Setting(f"autocast_{device}", read, write, False)


@contextmanager
def fixed() -> Iterator[Callable[[], None]]:
    """Fix every setting inside the block, in this thread, and set all back at its end.

    The function that it gives fixes them where torch was first imported inside the block. Without torch
    nothing happens, and torch is not imported.
    """
    saved: list[tuple[Setting, Any]] = []
    with ExitStack() as modes:

        def fix() -> None:
            torch: Any = sys.modules.get("torch")
            if torch is None or saved or not hasattr(torch, "set_float32_matmul_precision"):
                return
            saved.extend((setting, _value(setting)) for setting in settings(torch))
            modes.enter_context(torch.inference_mode(False))  # its tensors could carry no gradients
            if torch.get_default_device().type != "cpu":
                modes.enter_context(torch.device("cpu"))
            for setting, _ in saved:
                if setting.fixed is not None:
                    setting.write(setting.fixed)

        try:
            fix()
            yield fix
        finally:
            modes.close()
            for setting, value in saved:
                if value is not None:
                    setting.write(value)


def current() -> dict[str, object]:
    """The settings as they are now, by name, as plain data; empty before torch is imported."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return {}
    chosen = (setting for setting in settings(torch) if setting.fixed is not None)
    return {each.name: value if isinstance(value := _value(each), bool) else str(value) for each in chosen}


def _value(setting: Setting) -> Any:
    """The value of a setting; None where torch cannot say it, because old and new settings contradict."""
    try:
        return setting.read()
    except RuntimeError:
        return None
