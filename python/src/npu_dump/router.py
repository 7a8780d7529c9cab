"""Routers of mixtures of experts: where they are, and their logits, which most of them keep to themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .module_tree import text_config

_NAME = re.compile(r"gate|router", re.IGNORECASE)
_CLASS = re.compile(r"router|gating|topkgate", re.IGNORECASE)
_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
_PRODUCTS = {
    nn.functional.linear,
    torch.matmul,
    torch.mm,
    torch.addmm,
    torch.Tensor.matmul,
    torch.Tensor.mm,
    torch.Tensor.__matmul__,
}

Take = Callable[[torch.Tensor], torch.Tensor | None]


def expert_count(model: nn.Module) -> int:
    """Return how many routed experts a layer has by the model's configuration; 0 where it has none."""
    return expert_count_of(text_config(model))


def expert_count_of(config: Any) -> int:
    """Return how many routed experts a layer has by a text configuration; 0 where it has none."""
    counts = (getattr(config, name, None) for name in _COUNTS)
    return next((count for count in counts if isinstance(count, int) and count > 1), 0)


def is_router(name: str, module: nn.Module) -> bool:
    """Return whether a module inside a layer is called as routers are, by its name or its class."""
    return bool(_NAME.fullmatch(name) or _CLASS.search(type(module).__name__))


def find_routers(layer: nn.Module, experts: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield the path inside the layer, and the module, of each outermost router: what gives one logit an expert."""
    found: list[str] = []
    for path, module in layer.named_modules():
        if not path or any(path.startswith(f"{outer}.") for outer in found):
            continue
        named = is_router(path.rpartition(".")[2], module)
        if named and any(weight.ndim == 2 and weight.shape[0] == experts for weight in module.parameters()):
            found.append(path)
            yield path, module


class RouterTap:
    """Shows the logits that a router computes, where it computes them, and may put others in their place.

    The logits are the first matrix product inside the router's forward that is as wide as there are experts. Whatever
    follows, from the choice of the best to their weights, is the router's own code.

    Args:
        router: the module.
        experts: how many experts.
        take: called with the logits ``[rows, experts]``; returns what the router goes on with, or None.
    """

    def __init__(self, router: nn.Module, experts: int, take: Take) -> None:
        self._experts = experts
        self._take = take
        self._active: list[_Watch] = []
        self._handles = [
            router.register_forward_pre_hook(self._enter),
            # Also when the router fails: a mode left behind would watch the rest of the program.
            router.register_forward_hook(self._leave, always_call=True),
        ]

    def remove(self) -> None:
        """Take the hooks away, and what an interrupt inside the router has left: torch runs no hook after one."""
        for handle in self._handles:
            handle.remove()
        while self._active:
            self._leave()

    def _enter(self, *_: Any) -> None:
        watch = _Watch(self._experts, self._take)
        watch.__enter__()
        self._active.append(watch)

    def _leave(self, *_: Any) -> None:
        if self._active:
            self._active.pop().__exit__(None, None, None)


class _Watch(TorchFunctionMode):
    def __init__(self, experts: int, take: Take) -> None:
        super().__init__()
        self._experts = experts
        self._take: Take | None = take

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        take = self._take
        if take is None or func not in _PRODUCTS or output.shape[-1] != self._experts:
            return output
        self._take = None
        instead = take(output)
        return output if instead is None else instead
