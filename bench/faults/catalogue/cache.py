"""Faults of the cache of keys and values, and of positions, that show at decode steps alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from .attention import attention_at
from .fault import Kind, Place, named
from .numbers import fp8, work
from .patch import Turning, on_attention, on_rotary
from .structure import blocks_where, has_rotary, is_attention

_ATTENTION = blocks_where(is_attention)


def _decoding(query: torch.Tensor, key: torch.Tensor) -> bool:
    return query.shape[2] == 1 and key.shape[2] > 1


def _on_cache(change: Callable[..., tuple[Any, Any, Any]]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of what a decode step reads: ``change(key, value, mask, severity)``."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        def changed(kernel: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
            if _decoding(query, key):
                key, value, mask = change(key.clone(), value.clone(), mask, severity)
            return kernel(query, key, value, mask, **kwargs)

        return on_attention(attention_at(model, place), changed)

    return apply


def _stale_slot(key: torch.Tensor, value: torch.Tensor, mask: Any, severity: str) -> tuple[Any, Any, Any]:
    """A slot, counted from the newest, holds what its neighbour holds."""
    slot = max(1, key.shape[2] - 1 - int(severity))
    for x in (key, value):
        x[:, :, slot] = x[:, :, slot - 1].clone()
    return key, value, mask


def _evicted(key: torch.Tensor, value: torch.Tensor, mask: Any, severity: str) -> tuple[Any, Any, Any]:
    count = min(int(severity), key.shape[2] - 1)
    return key[:, :, count:], value[:, :, count:], None if mask is None else mask[..., count:]


def _values_only(key: torch.Tensor, value: torch.Tensor, mask: Any, _severity: str) -> tuple[Any, Any, Any]:
    """The slots of values lag one behind those of keys."""
    return key, torch.cat([value[:, :, :1], value[:, :, :-1]], dim=2), mask


def _fp8_cache(key: torch.Tensor, value: torch.Tensor, mask: Any, _severity: str) -> tuple[Any, Any, Any]:
    return fp8(work(key)).to(key.dtype), fp8(work(value)).to(value.dtype), mask


def _of_another_sample(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    """A slot belongs to another sample: to the next of a batch, or to the last prompt before this one."""
    prompts: list[tuple[Any, Any]] = []

    def change(kernel: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        if not _decoding(query, key):
            prompts.append((key.clone(), value.clone()))
            del prompts[:-2]
            return kernel(query, key, value, mask, **kwargs)
        key, value = key.clone(), value.clone()
        for x, other in zip((key, value), prompts[0] if prompts else (key, value), strict=True):
            slot = min(x.shape[2], other.shape[2]) // 2
            rows = x.roll(1, dims=0) if x.shape[0] > 1 else other
            x[:, :, slot] = rows[: x.shape[0], :, slot].clone()
        return kernel(query, key, value, mask, **kwargs)

    return on_attention(attention_at(model, place), change)


def _position(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    def change(turning: Turning, query: Any, key: Any, cos: Any, sin: Any) -> Any:
        if query.shape[2] == 1:
            cos, sin = turning.tables(positions=lambda positions: positions + int(severity))
        return turning(query, key, cos, sin)

    return on_rotary(model, attention_at(model, place), change)


_ROTARY = blocks_where(has_rotary)

KINDS = (
    Kind("slot-stale", "cache", ("0", "3"), _ATTENTION, _on_cache(_stale_slot), decode=True),
    Kind("slot-evicted", "cache", ("1", "4"), _ATTENTION, _on_cache(_evicted), named("window"), decode=True),
    Kind("values-lag", "cache", ("1",), _ATTENTION, _on_cache(_values_only), decode=True),
    Kind("cache-fp8", "cache", ("e4m3",), _ATTENTION, _on_cache(_fp8_cache), named("precision"), decode=True),
    # The first sample finds no other before it where samples come one by one.
    Kind("slot-of-another", "cache", ("1",), _ATTENTION, _of_another_sample, decode=True, silent=True),
    Kind("decode-position", "cache", ("+1", "-1"), _ROTARY, _position, named("position"), decode=True),
)
