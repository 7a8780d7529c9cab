"""Faults of the precision inside a block: of sums, of products of float32, of the softmax and its exponential."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .attention import attention_at, visible_keys
from .fault import Kind, Place, named
from .numbers import fp8, rounded, work
from .patch import on_attention, replaced
from .structure import Block, block_at, blocks_of, blocks_where, is_attention, linears_of, projection_of

_BF16_BITS = 8
# Significant bits, the leading one included: HF32 keeps 11 of float32's 23 fraction bits, TF32 10, bf16 7.
_MATMUL_BITS = {"hf32": 12, "tf32": 11, "bf16": 8}


def _bf16(x: torch.Tensor) -> torch.Tensor:
    return rounded(x, _BF16_BITS)


def _linear(block: Block) -> bool:
    projection = projection_of(block)
    return projection is not None and isinstance(projection.owner, nn.Linear)


def _accumulated(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    """Add up the output's products in chunks of ``severity``, with a sum that is rounded to bf16 after each."""
    projection = projection_of(block_at(model, place))
    assert projection is not None
    linear, chunk = projection.owner, int(severity)

    def forward(x: torch.Tensor) -> torch.Tensor:
        wide, weight = work(x), work(linear.weight)
        total = torch.zeros((*x.shape[:-1], weight.shape[0]), dtype=wide.dtype)
        for start in range(0, weight.shape[1], chunk):
            part = slice(start, start + chunk)
            total = _bf16(total + functional.linear(wide[..., part], weight[:, part]))
        return (total if linear.bias is None else total + work(linear.bias)).to(x.dtype)

    return replaced(linear, "forward", forward)


@contextmanager
def _matmul(model: Any, place: Place, severity: str) -> Any:
    blocks = list(blocks_of(model)) if place.systematic else [block_at(model, place)]
    bits = _MATMUL_BITS[severity]
    with ExitStack() as stack:
        for linear in (linear for block in blocks for linear in linears_of(block)):
            stack.enter_context(replaced(linear, "forward", _rounding(linear, bits)))
        yield


def _rounding(linear: nn.Linear, bits: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: functional.linear(rounded(x, bits), rounded(linear.weight, bits), linear.bias)


def _whole_model(model: Any, _severity: str) -> list[Place]:
    first = next((block for block in blocks_of(model) if linears_of(block)), None)
    return [] if first is None else [Place(None, first.place.module)]


def _plain(block: Block) -> bool:
    """Whether the attention is a softmax and nothing else, which can be written here anew."""
    module = block.module
    return (
        is_attention(block) and not hasattr(module, "sinks") and not getattr(module, "attn_logit_softcapping", None)
    )


def _softmax(change: Callable[[torch.Tensor, str], tuple[torch.Tensor, torch.Tensor]]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of the softmax.

    Args:
        change: called with the scores less their maximum, ``[B, heads, T, S]``, -inf where a key is not seen, and the
            severity; returns the numerators and their sums.
    """

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        def kernel(_kernel: Any, query: Any, key: Any, value: Any, mask: Any, *, scaling: float, **_: Any) -> Any:
            groups = query.shape[1] // key.shape[1]
            key, value = (work(x).repeat_interleave(groups, dim=1) for x in (key, value))
            scores = work(query) @ key.mT * scaling
            scores = scores.masked_fill(~visible_keys(mask, query, key), -torch.inf)
            numerators, sums = change(scores - scores.amax(dim=-1, keepdim=True), severity)
            weights = numerators / sums
            return (weights.to(query.dtype).to(value.dtype) @ value).transpose(1, 2).to(query.dtype), None

        return on_attention(attention_at(model, place), kernel)

    return apply


def _bf16_softmax(scores: torch.Tensor, severity: str) -> tuple[torch.Tensor, torch.Tensor]:
    numerators = _bf16(_bf16(scores).exp())
    if severity == "stored":
        return numerators, _bf16(numerators.sum(dim=-1, keepdim=True))
    total = torch.zeros_like(numerators[..., :1])
    for column in range(numerators.shape[-1]):
        total = _bf16(total + numerators[..., column : column + 1])
    return numerators, total


def _fp8_softmax(scores: torch.Tensor, _severity: str) -> tuple[torch.Tensor, torch.Tensor]:
    numerators = scores.exp()
    return fp8(numerators), numerators.sum(dim=-1, keepdim=True)


def _polynomial(scores: torch.Tensor, severity: str) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(x) as 2 to a whole power times a parabola, or a line, through 2^f at both ends of [0, 1)."""
    exponent = (scores / torch.log(torch.tensor(2.0, dtype=scores.dtype))).clamp_min(-120)
    whole = exponent.floor()
    part = exponent - whole
    bend = 0.34 if severity == "2" else 0.0
    power = torch.ldexp(1 + part * (1 - bend) + bend * part * part, whole.to(torch.int32))
    numerators = torch.where(torch.isinf(scores), 0, power)
    return numerators, numerators.sum(dim=-1, keepdim=True)


def _table(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    """Read the activation from a table of ``severity`` entries from -8 to 8, without interpolation."""
    function = block_at(model, place).module.act_fn
    step = 16 / int(severity)
    real = type(function).forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        wide = work(x)
        looked_up = real(function, (wide / step).round() * step)
        return torch.where(wide.abs() < 8, looked_up, real(function, wide)).to(x.dtype)

    return replaced(function, "forward", forward)


def _dense_mlp(block: Block) -> bool:
    return isinstance(getattr(block.module, "act_fn", None), nn.Module) and not hasattr(block.module, "experts")


_PRECISION = named("precision")
_LINEAR = blocks_where(_linear)
_SOFTMAX = blocks_where(_plain)
_SOME_LINEAR = blocks_where(linears_of)

KINDS = (
    Kind("bf16-sum", "precision", ("16", "64", "256"), _LINEAR, _accumulated, _PRECISION, silent=True),
    Kind("matmul", "precision", ("hf32", "tf32", "bf16"), _SOME_LINEAR, _matmul, _PRECISION, dtypes=("fp32",)),
    Kind("matmul-everywhere", "precision", ("hf32", "tf32"), _whole_model, _matmul, _PRECISION, dtypes=("fp32",)),
    Kind("softmax-bf16", "precision", ("stored", "running"), _SOFTMAX, _softmax(_bf16_softmax), _PRECISION),
    Kind("softmax-fp8", "precision", ("e4m3",), _SOFTMAX, _softmax(_fp8_softmax), _PRECISION),
    Kind("exponential", "precision", ("2", "1"), _SOFTMAX, _softmax(_polynomial)),
    Kind("activation-table", "precision", ("256", "64"), blocks_where(_dense_mlp, "mlp"), _table, _PRECISION),
)
