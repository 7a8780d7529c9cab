"""Kernels that round less often, or elsewhere: whole modules in float32 inside, and a float32 residual stream."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from npu_dump.module_tree import find_decoder, is_attention, is_mlp

from .catalogue.patch import replaced

Forward = Callable[..., Any]


def widened(value: Any) -> Any:
    """Return what a module is called with, every float tensor of 16 bits in float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, tuple):
        return tuple(map(widened, value))
    return value


def _narrowed(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(_narrowed(item, dtype) for item in value)
    return value


def float32_inside(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Let a module compute in float32 and round what it returns, once, to the precision of its weights."""
    forward, dtype = module.forward, next(module.parameters()).dtype

    def wide(*args: Any, **kwargs: Any) -> Any:
        return _narrowed(forward(*map(widened, args), **{k: widened(v) for k, v in kwargs.items()}), dtype)

    return replaced(module, "forward", wide)


def norms(model: nn.Module) -> list[nn.Module]:
    """Return every norm that has a weight."""
    return [
        module
        for module in model.modules()
        if re.search("norm", type(module).__name__, re.IGNORECASE) and next(module.parameters(), None) is not None
    ]


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the MLPs of all layers, and the attentions that know no state besides their keys and values."""
    decoder = find_decoder(model)
    assert decoder is not None
    children = [item for _, layer in decoder.layers for item in layer.named_children()]
    return [
        module
        for name, module in children
        if is_mlp(name, module) or (is_attention(name, module) and hasattr(module, "o_proj"))
    ]


@contextlib.contextmanager
def wide_norms(model: nn.Module) -> Iterator[None]:
    """Let every norm round once: what it returns."""
    with ExitStack() as stack:
        for module in norms(model):
            stack.enter_context(float32_inside(module))
        yield


@contextlib.contextmanager
def wide_blocks(model: nn.Module) -> Iterator[None]:
    """Let every attention and every MLP round once: what it returns."""
    with ExitStack() as stack:
        for module in blocks(model):
            stack.enter_context(float32_inside(module))
        yield


@contextlib.contextmanager
def wide_rotary(model: nn.Module) -> Iterator[None]:
    """Let sine and cosine stay in float32 until queries and keys are turned."""
    namespace = vars(sys.modules[type(model).__module__])
    turns = {name: turn for name, turn in namespace.items() if name.startswith("apply_rotary_pos_emb")}

    def wide(turn: Forward) -> Forward:
        def forward(q: torch.Tensor, k: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            return _narrowed(turn(q.float(), k.float(), *args, **kwargs), q.dtype)

        return forward

    with ExitStack() as stack:
        for name, turn in turns.items():
            stack.callback(namespace.__setitem__, name, turn)
            namespace[name] = wide(turn)
        if turns:
            for module in model.modules():
                if type(module).__name__.endswith("RotaryEmbedding"):
                    stack.enter_context(replaced(module, "forward", _wide_angles(module.forward)))
        yield


def _wide_angles(forward: Forward) -> Forward:
    def wide(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return forward(x.float(), *args, **kwargs)

    return wide


def gated(model: nn.Module) -> list[nn.Module]:
    """Return every MLP of a gate, an activation and two more products; no experts that are stacked in one module."""
    parts = ("gate_proj", "up_proj", "down_proj", "act_fn")
    dense = [module for module in model.modules() if all(hasattr(module, name) for name in parts)]
    return [module for module in dense if isinstance(module.gate_proj, nn.Linear)]


@contextlib.contextmanager
def fused_activation(model: nn.Module) -> Iterator[None]:
    """Let every gated MLP round once between its products: after the activation was multiplied."""

    def fused(mlp: Any) -> Forward:
        def forward(x: torch.Tensor) -> torch.Tensor:
            gate, up = mlp.gate_proj(x), mlp.up_proj(x)
            return mlp.down_proj((mlp.act_fn(gate.float()) * up.float()).to(x.dtype))

        return forward

    with ExitStack() as stack:
        for module in gated(model):
            stack.enter_context(replaced(module, "forward", fused(module)))
        yield


@contextlib.contextmanager
def wide_residual(model: Any) -> Iterator[None]:
    """Let the residual stream be float32; norms give their blocks what they are used to."""

    def widen(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
        return output.float()

    with wide_norms(model), wide_rotary(model):
        hook = model.get_input_embeddings().register_forward_hook(widen)
        try:
            yield
        finally:
            hook.remove()


@contextlib.contextmanager
def wide_logits(model: Any) -> Iterator[None]:
    """Let the head hand out its float32 sums, unrounded."""
    head = model.get_output_embeddings()

    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x.float(), head.weight.float())

    with replaced(head, "forward", forward):
        yield


@contextlib.contextmanager
def compiled(model: nn.Module) -> Iterator[None]:
    """Let torch.compile make one kernel of each norm and each MLP."""
    parts = [*norms(model), *(block for block in blocks(model) if not hasattr(block, "o_proj"))]
    with ExitStack() as stack:
        for module in parts:
            stack.enter_context(replaced(module, "forward", torch.compile(module.forward, dynamic=True)))
        yield
