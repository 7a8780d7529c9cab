"""Faults of MLPs and of biases: activation, gate and up, what a device of several leaves out or adds twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .fault import Kind, Place, named
from .patch import on_call, replaced, reweighted
from .structure import Block, block_at, blocks_of, blocks_where, experts_of, projection_of

_GATES = (("gate_proj", "up_proj"), ("w1", "w3"))
_OTHERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu-tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "quick-gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": functional.relu,
}
# What configurations call them.
_NAMES = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu-tanh",
    "gelu_new": "gelu-tanh",
    "quick_gelu": "quick-gelu",
    "relu": "relu",
}


def _activation_of(block: Block) -> Any:
    owner = experts_of(block) or block.module
    function = getattr(owner, "act_fn", None)
    return function if block.role == "mlp" and isinstance(function, nn.Module) else None


def _other_activation(model: Any, severity: str) -> list[Place]:
    config = model.config.get_text_config()
    own = _NAMES.get(getattr(config, "hidden_act", None) or getattr(config, "hidden_activation", None) or "")
    own = _NAMES.get(getattr(config, "hidden_activation", None) or "", own)
    if own == severity:
        return []
    return [block.place for block in blocks_of(model, "mlp") if _activation_of(block) is not None]


def _activation(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    function = _OTHERS[severity]
    return on_call(_activation_of(block_at(model, place)), lambda args, _kwargs, _output: function(args[0]))


def _gates_of(block: Block) -> tuple[str, str] | None:
    names = ((a, b) for a, b in _GATES if isinstance(getattr(block.module, a, None), nn.Linear))
    return next((pair for pair in names if hasattr(block.module, pair[1])), None)


def _gated(block: Block) -> bool:
    return bool(_gates_of(block)) or hasattr(experts_of(block), "gate_up_proj")


@contextmanager
def _swapped(model: Any, place: Place, _severity: str) -> Any:
    block = block_at(model, place)
    experts, gates = experts_of(block), _gates_of(block)
    with ExitStack() as stack:
        if experts is not None:
            axis = -1 if getattr(experts, "is_transposed", False) else -2
            for name, along in (("gate_up_proj", axis), ("gate_up_proj_bias", -1)):
                if hasattr(experts, name):
                    interleaved = not getattr(experts, "is_concatenated", True)
                    stack.enter_context(reweighted(experts, name, _swap_halves(along, interleaved=interleaved)))
        elif gates is not None:
            gate, up = (getattr(block.module, name).weight for name in gates)
            for name, other in zip(gates, (up, gate), strict=True):
                stack.enter_context(reweighted(getattr(block.module, name), "weight", _constant(other)))
        yield


def _constant(value: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda _weight: value.detach().clone()


def _swap_halves(axis: int, *, interleaved: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    def swap(weight: torch.Tensor) -> torch.Tensor:
        moved = weight.movedim(axis, -1)
        shape = (-1, 2) if interleaved else (2, -1)
        return moved.unflatten(-1, shape).flip(-1 if interleaved else -2).flatten(-2).movedim(-1, axis)

    return swap


def _attribute(name: str) -> Callable[[Any, str], list[Place]]:
    return blocks_where(lambda block: hasattr(experts_of(block), name), "mlp")


def _set(name: str) -> Callable[..., Any]:
    return lambda model, place, severity: replaced(experts_of(block_at(model, place)), name, float(severity))


def _shard_missing(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    projection = projection_of(block_at(model, place))
    assert projection is not None

    def without_tail(weight: torch.Tensor) -> torch.Tensor:
        axis = -2 if projection.transposed else -1
        width = weight.shape[axis]
        return weight.index_fill(axis, torch.arange(width - width // int(severity), width), 0)

    return reweighted(projection.owner, projection.name, without_tail)


def _output_bias(block: Block) -> tuple[Any, str] | None:
    projection = projection_of(block)
    if projection is None:
        return None
    name = "bias" if projection.name == "weight" else f"{projection.name}_bias"
    return (projection.owner, name) if getattr(projection.owner, name, None) is not None else None


def _bias_times(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    found = _output_bias(block_at(model, place))
    assert found is not None
    return reweighted(*found, lambda bias: bias * float(severity))


def _with_input_bias(model: Any, severity: str) -> list[Place]:
    blocks = blocks_of(model, "attn")
    return [b.place for b in blocks if getattr(getattr(b.module, severity, None), "bias", None) is not None]


def _no_input_bias(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    return reweighted(getattr(block_at(model, place).module, severity), "bias", torch.zeros_like)


_SOME_OUTPUT = blocks_where(lambda block: projection_of(block))
_SOME_BIAS = blocks_where(_output_bias)

KINDS = (
    Kind("activation", "mlp", tuple(_OTHERS), _other_activation, _activation, named("activation")),
    Kind("gate-up-swapped", "mlp", ("all",), blocks_where(_gated, "mlp"), _swapped, named("gate-up")),
    Kind("swiglu-alpha", "mlp", ("1.0",), _attribute("alpha"), _set("alpha"), named("activation")),
    Kind("swiglu-limit", "mlp", ("1e4", "1.0"), _attribute("limit"), _set("limit"), silent=True),
    # Of several devices one did not add its share; its bias was added by every one, or by none.
    Kind("shard-missing", "mlp", ("2", "8"), _SOME_OUTPUT, _shard_missing),
    Kind("bias-missing", "mlp", ("0",), _SOME_BIAS, _bias_times, named("bias")),
    Kind("bias-doubled", "mlp", ("2",), _SOME_BIAS, _bias_times, named("bias")),
    Kind(
        "input-bias-missing",
        "mlp",
        ("q_proj", "k_proj", "v_proj"),
        _with_input_bias,
        _no_input_bias,
        silent=True,
        # Weights of keys add up to one: what the values miss is one vector for all tokens, but for a sink's share.
        besides={"v_proj": named("bias")},
    ),
)
