"""The MLP: another activation, gate and up projection exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from ..change import Absent, Change, Hypothesis, Proposal, attributes, single, weights
from ..subject import Subject

_ATTRIBUTES = ("act_fn", "act", "activation_fn", "activation", "activation_func")
# Where each expert is a module of its own there are too many to try them one by one.
_MOST_PARTS = 4
Function = Callable[[torch.Tensor], torch.Tensor]


def _quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.gelu(x, approximate="tanh")


_ACTIVATIONS: dict[str, Function] = {
    "gelu": nn.functional.gelu,
    "gelu-tanh": _gelu_tanh,
    "quick-gelu": _quick_gelu,
    "silu": nn.functional.silu,
    "relu": torch.relu,
}


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about one MLP or mixture of experts."""
    if subject.role != "mlp":
        return
    yield from _activations(subject)
    found = [
        (type(module).__name__, pairs) for module in subject.block.modules() if (pairs := list(_exchanged(module)))
    ]
    parts = [("", [pair for _, pairs in found for pair in pairs])] if found else []
    for part, pairs in parts + (found if 1 < len(found) <= _MOST_PARTS else []):
        change = Change(patch=lambda pairs=pairs: weights(*pairs))
        where, words = (f"/{part}", f" in {part}") if part else ("", "")
        yield single(f"gate-up{where}", "cause/gate-up", change, f"gate and up projection exchanged{words}")
    if not found:
        yield Absent("gate-up", "cause/gate-up", "it has no gate beside an up projection")


def _activations(subject: Subject) -> Iterator[Proposal]:
    held = [
        (module, name, function)
        for module in subject.block.modules()
        for name in _ATTRIBUTES
        if callable(function := getattr(module, name, None))
    ]
    if not held:
        yield Absent("activation", "cause/activation", "its activation is no part that can be exchanged")
        return
    probe = torch.linspace(-6, 6, 97)
    own = _values(held[0][2], probe)
    for label, function in _ACTIVATIONS.items():
        if own is None or not torch.allclose(own, function(probe), atol=1e-6):
            yield _activation(f"activation/{label}", [(module, name, function) for module, name, _ in held], label)
            # Experts, and the one that all tokens share, may be the work of two kernels.
            for module, name, _ in held if 1 < len(held) <= _MOST_PARTS else ():
                part = type(module).__name__
                yield _activation(f"activation/{label}/{part}", [(module, name, function)], f"{label} in {part}")


def _activation(identity: str, changes: list[tuple[Any, str, Function]], words: str) -> Hypothesis:
    change = Change(patch=lambda: attributes(*changes))
    return single(identity, "cause/activation", change, f"activation {words}")


@torch.no_grad()
def _values(function: Callable[..., Any], at: torch.Tensor) -> torch.Tensor | None:
    """Return an activation's values; None where it is no function of one number (normalising, learned)."""
    values = function(at)
    return values if isinstance(values, torch.Tensor) and values.shape == at.shape else None


def _exchanged(module: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield a module's gate and up weights with what they have when the two are exchanged."""
    for first, second in (("gate_proj", "up_proj"), ("w1", "w3"), ("linear", "linear_v")):
        gate, up = getattr(module, first, None), getattr(module, second, None)
        if isinstance(gate, nn.Linear) and isinstance(up, nn.Linear) and gate.weight.shape == up.weight.shape:
            yield from ((gate.weight, up.weight), (up.weight, gate.weight))
            if gate.bias is not None and up.bias is not None:
                yield from ((gate.bias, up.bias), (up.bias, gate.bias))
    fused = getattr(module, "gate_up_proj", None)
    if isinstance(fused, nn.Linear):
        yield fused.weight, fused.weight.roll(fused.out_features // 2, dims=0)
        if fused.bias is not None:
            yield fused.bias, fused.bias.roll(fused.out_features // 2, dims=0)
    elif isinstance(fused, nn.Parameter) and fused.ndim == 3:
        yield from _exchanged_experts(module, fused)


def _exchanged_experts(module: nn.Module, fused: nn.Parameter) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the same of experts in one tensor: ``[E, 2I, H]``, gate first; ``[E, H, 2I]`` in turns has biases."""
    bias = getattr(module, "gate_up_proj_bias", None)
    if isinstance(bias, nn.Parameter):
        yield fused, _in_turns(fused)
        yield bias, _in_turns(bias)
    else:
        yield fused, fused.roll(fused.shape[1] // 2, dims=1)


def _in_turns(tensor: torch.Tensor) -> torch.Tensor:
    return torch.stack([tensor[..., 1::2], tensor[..., ::2]], dim=-1).flatten(-2)
