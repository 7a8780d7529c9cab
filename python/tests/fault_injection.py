"""Porting faults, put into tiny bfloat16 models by hand: nothing here is shared with what is to find them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Fault = Callable[[Any], None]
FAULTY = 1


def layer_of(model: Any) -> Any:
    return _layers(model)[FAULTY]


def _layers(model: Any) -> Any:
    for path in (
        "model.layers",
        "model.decoder.layers",
        "transformer.h",
        "gpt_neox.layers",
        "model.language_model.layers",
    ):
        try:
            return model.get_submodule(path)
        except AttributeError:
            continue
    raise AssertionError("no layers")


@torch.no_grad()
def sharpened(model: Any) -> Any:
    """Make attention look somewhere: random weights as small as these give nearly equal scores."""
    for name, parameter in model.named_parameters():
        if any(part in name for part in ("q_proj", "k_proj", "q_b_proj", "c_attn", "router", "mlp.gate.weight")):
            parameter.mul_(6)
        elif any(part in name for part in ("v_proj", "up_proj", "gate_proj", "down_proj", "gate_up_proj", "c_fc")):
            parameter.mul_(3)
    return model


def attribute(path: str, value: Any) -> Fault:
    """Set an attribute inside the layer; a function is called with what was there."""

    def apply(model: Any) -> None:
        owner, _, name = path.rpartition(".")
        module = layer_of(model).get_submodule(owner)
        old = getattr(module, name)
        setattr(module, name, value(old) if callable(value) and not isinstance(value, nn.Module) else value)

    return apply


def weights(path: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Fault:
    """Give a parameter inside the layer other values."""

    @torch.no_grad()
    def apply(model: Any) -> None:
        owner, _, name = path.rpartition(".")
        parameter = getattr(layer_of(model).get_submodule(owner), name)
        parameter.copy_(change(parameter.clone()))

    return apply


def outputs(path: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Fault:
    """Let a module inside the layer return something else."""

    def after(_module: nn.Module, _args: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return lambda model: layer_of(model).get_submodule(path).register_forward_hook(after)


def inputs(path: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Fault:
    """Let a module inside the layer read something else."""
    return lambda model: (
        layer_of(model)
        .get_submodule(path)
        .register_forward_pre_hook(lambda _module, args: (change(args[0]), *args[1:]))
    )


def arguments(path: str, name: str, change: Callable[[Any], Any]) -> Fault:
    """Let a module inside the layer be called with something else under a keyword."""
    return lambda model: (
        layer_of(model)
        .get_submodule(path)
        .register_forward_pre_hook(
            lambda _module, args, kwargs: (args, kwargs | {name: change(kwargs[name])}), with_kwargs=True
        )
    )


def bypassed(path: str) -> Fault:
    """Let a module inside the layer return what it reads."""
    return lambda model: (
        layer_of(model).get_submodule(path).register_forward_hook(lambda _module, args, _output: args[0])
    )


def of_neighbour(path: str, offset: int) -> Fault:
    """Give a module inside the layer the weights of another layer's."""
    return lambda model: (
        layer_of(model)
        .get_submodule(path)
        .load_state_dict(_layers(model)[FAULTY + offset].get_submodule(path).state_dict())
    )


@torch.no_grad()
def exchanged(first: nn.Linear, second: nn.Linear) -> None:
    """Give each of two projections the weights of the other."""
    kept = first.weight.clone()
    first.weight.copy_(second.weight)
    second.weight.copy_(kept)


def function(name: str, replace: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Fault:
    """Let the layer's attention use another function than the one of that name in its module of transformers."""

    def apply(model: Any) -> None:
        attention = layer_of(model).self_attn
        home = importlib.import_module(type(attention).__module__)
        plain, forward = getattr(home, name), attention.forward

        def faulty(*args: Any, **kwargs: Any) -> Any:
            setattr(home, name, replace(plain))
            try:
                return forward(*args, **kwargs)
            finally:
                setattr(home, name, plain)

        attention.forward = faulty

    return apply


def cosines(tokens: int, width: int, base: float, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotary cos and sin ``[1, tokens, width]``, halves alike, from the definition."""
    positions = torch.arange(first, first + tokens, dtype=torch.float64)
    angles = positions[:, None] / base ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.cat([angles, angles], dim=-1)[None]
    return angles.cos().float(), angles.sin().float()


def with_base(base: float) -> Callable[[Any], Any]:
    def change(given: Any) -> Any:
        cos, sin = cosines(given[0].shape[1], given[0].shape[2], base)
        return cos.to(given[0].dtype), sin.to(given[0].dtype)

    return change


def queries_later(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Rotate queries as if each token stood one place further."""

    def apply(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *rest: Any) -> Any:
        later = (tensor.to(cos.dtype) for tensor in cosines(cos.shape[1], cos.shape[2], 10_000.0, first=1))
        return plain(q, k, *later, *rest)[0], plain(q, k, cos, sin, *rest)[1]

    return apply


def neighbours_paired(_plain: Callable[..., Any]) -> Callable[..., Any]:
    """Rotate channels 2j and 2j+1 as a pair."""

    def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        half = cos.shape[-1] // 2
        cos, sin = cos[:, None, :, :half], sin[:, None, :, :half]
        even, odd = x[..., 0::2], x[..., 1::2]
        result = torch.empty_like(x)
        result[..., 0::2], result[..., 1::2] = even * cos - odd * sin, odd * cos + even * sin
        return result

    return lambda q, k, cos, sin, *_: (turned(q, cos, sin), turned(k, cos, sin))


def tiled(_plain: Callable[..., Any]) -> Callable[..., Any]:
    """Repeat key heads one after the other, not each beside itself."""
    return lambda states, count: states.repeat(1, count, 1, 1)


def seeing(allowed: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], Any]:
    """A mask by how many tokens a token lies before the one that looks."""

    def change(mask: torch.Tensor) -> torch.Tensor:
        places = torch.arange(mask.shape[-1])
        seen = allowed(places[:, None] - places[None, :])
        seen[0, 0] = True
        return torch.zeros_like(mask).masked_fill(~seen, torch.finfo(mask.dtype).min)

    return change
