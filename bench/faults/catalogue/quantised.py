"""Faults of quantisation: formats that a port did not mean to use, and scales and zero points that went astray."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from .attention import attention_at
from .fault import Kind, Place, named
from .numbers import absmax_scale, chosen, fp8, integer, quantised, work
from .patch import on_attention, on_input
from .structure import block_at, blocks_where, experts_of, is_attention, projection_of
from .weights import PROJECTED, on_projection

_INT8, _INT4, _GROUP = 127, 7, 32
_LINEAR = blocks_where(lambda block: projection_of(block) is not None and experts_of(block) is None)


def _grouped(weight: torch.Tensor) -> torch.Tensor:
    """Return ``[…, out, groups, 32]``; the last group is the wider where 32 does not divide."""
    width = weight.shape[-1]
    return weight.unflatten(-1, (-1, _GROUP if width % _GROUP == 0 else width))


def _int8_tensor(weight: torch.Tensor, _place: Place, _severity: str) -> torch.Tensor:
    return quantised(work(weight), None, _INT8)


def _int8_channel(weight: torch.Tensor, _place: Place, _severity: str) -> torch.Tensor:
    return quantised(work(weight), -1, _INT8)


def _int4_group(weight: torch.Tensor, _place: Place, _severity: str) -> torch.Tensor:
    return quantised(_grouped(work(weight)), -1, _INT4).flatten(-2)


def _fp8(weight: torch.Tensor, _place: Place, _severity: str) -> torch.Tensor:
    return fp8(work(weight))


def _scales_rolled(weight: torch.Tensor, _place: Place, severity: str) -> torch.Tensor:
    scale = absmax_scale(work(weight), -1, _INT8)
    return integer(work(weight), scale, _INT8) * scale.roll(int(severity), dims=-2)


def _scales_transposed(weight: torch.Tensor, _place: Place, _severity: str) -> torch.Tensor:
    """The scales of ``[out, groups]`` are read as if they were stored as ``[groups, out]``."""
    groups = _grouped(work(weight))
    scale = absmax_scale(groups, -1, _INT4)
    flat = scale.squeeze(-1)
    misread = flat.mT.reshape(flat.shape)[..., None]
    return (integer(groups, scale, _INT4) * misread).flatten(-2)


def _scale_shared(weight: torch.Tensor, place: Place, _severity: str) -> torch.Tensor:
    """One channel has twice its scale."""
    scale = absmax_scale(work(weight), -1, _INT8)
    at = chosen(f"scale {place.module}", 1, weight.shape[-2])
    wrong = scale.index_copy(-2, at, 2 * scale.index_select(-2, at))
    return integer(work(weight), scale, _INT8) * wrong


def _zero_point(weight: torch.Tensor, _place: Place, severity: str) -> torch.Tensor:
    """Asymmetric int8 by channel, whose zero point is one or more too large: all of a row is off by one constant."""
    wide = work(weight)
    low, high = wide.amin(dim=-1, keepdim=True), wide.amax(dim=-1, keepdim=True)
    scale = ((high - low) / (2 * _INT8 + 1)).clamp_min(torch.finfo(wide.dtype).tiny)
    zero = (-low / scale).round()
    codes = (wide / scale + zero).round().clamp(0, 2 * _INT8 + 1)
    return (codes - zero - float(severity)) * scale


def _activations(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    projection = projection_of(block_at(model, place))
    assert projection is not None
    axis = None if severity == "tensor" else -1
    return on_input(projection.owner, lambda x: quantised(work(x), axis, _INT8).to(x.dtype))


def _keys_values(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    def through(x: torch.Tensor) -> torch.Tensor:
        return (fp8(work(x)) if severity == "fp8" else quantised(work(x), -1, _INT8)).to(x.dtype)

    def change(kernel: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return kernel(query, through(key), through(value), *args, **kwargs)

    return on_attention(attention_at(model, place), change)


_PRECISION = named("precision")

KINDS = (
    Kind("int8-tensor", "quantised", ("weight",), PROJECTED, on_projection(_int8_tensor), _PRECISION),
    Kind("int8-channel", "quantised", ("weight",), PROJECTED, on_projection(_int8_channel), _PRECISION),
    Kind("int4-group", "quantised", ("weight",), PROJECTED, on_projection(_int4_group), _PRECISION),
    Kind("fp8-weight", "quantised", ("e4m3",), PROJECTED, on_projection(_fp8), _PRECISION),
    Kind("int8-activations", "quantised", ("token", "tensor"), _LINEAR, _activations, _PRECISION),
    Kind("kv-quantised", "quantised", ("int8", "fp8"), blocks_where(is_attention), _keys_values, _PRECISION),
    Kind("scales-rolled", "quantised", ("1",), PROJECTED, on_projection(_scales_rolled), named("channel-gain")),
    Kind("scales-transposed", "quantised", ("int4",), PROJECTED, on_projection(_scales_transposed)),
    Kind("scale-of-one", "quantised", ("2",), PROJECTED, on_projection(_scale_shared), named("channel")),
    Kind("zero-point", "quantised", ("1", "8"), PROJECTED, on_projection(_zero_point), named("low-rank")),
)
