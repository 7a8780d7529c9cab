"""Faults of the attention itself: scale, mask, window, heads, sinks, soft caps, the layout of its output."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from .fault import Kind, Place, named
from .patch import on_attention, replaced, reweighted
from .structure import Block, block_at, blocks_of, blocks_where, is_attention

# Below every score, and within the range of float16.
_NEVER = -1e4


def attention_at(model: Any, place: Place) -> Any:
    """Return the attention module of a place."""
    return block_at(model, place).module


def visible_keys(mask: torch.Tensor | None, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return which keys each query sees, ``[B or 1, 1, T, S]``; without a mask all up to its own."""
    rows, columns = query.shape[2], key.shape[2]
    if mask is None:
        return torch.ones(rows, columns, dtype=torch.bool).tril(columns - rows)[None, None]
    mask = mask[..., :columns]
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def with_visible(
    change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Callable[..., Any]:
    """Return a change of an attention's kernel that lets it see other keys.

    Args:
        change: called with the keys that are seen and, ``[T, S]``, how far each key lies behind each query.
    """

    def changed(kernel: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        seen = visible_keys(mask, query, key)
        rows, columns = query.shape[2], key.shape[2]
        behind = torch.arange(rows)[:, None] + (columns - rows) - torch.arange(columns)[None]
        # Padding is seen by no query; a query that would see nothing goes on as before.
        now = change(seen, behind) & seen.any(dim=2, keepdim=True)
        now = torch.where(now.any(dim=-1, keepdim=True), now, seen)
        if mask is None or mask.dtype != torch.bool:
            now = torch.zeros(now.shape, dtype=query.dtype).masked_fill(~now, torch.finfo(query.dtype).min)
        return kernel(query, key, value, now, **kwargs)

    return changed


def _masked(change: Callable[[Any, Any, torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of the mask; ``change(attention, severity, seen, behind)``."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        attention = attention_at(model, place)
        return on_attention(attention, with_visible(lambda seen, behind: change(attention, severity, seen, behind)))

    return apply


def _scale(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    attention = attention_at(model, place)
    width = attention.q_norm.weight.shape[0] if severity == "squared" and hasattr(attention, "q_norm") else None
    width = width or getattr(attention, "qk_head_dim", None) or attention.head_dim
    factor = 1 / math.sqrt(width) if severity == "squared" else float(severity)
    return replaced(attention, "scaling", attention.scaling * factor)


def _future(_attention: Any, severity: str, seen: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    ahead = behind.shape[1] if severity == "all" else int(severity)
    return seen | ((behind < 0) & (behind >= -ahead))


def _blind_to_itself(_attention: Any, _severity: str, seen: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    return seen & (behind != 0)


def _window(_attention: Any, severity: str, seen: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    return seen & (behind < int(severity))


def _no_window(_attention: Any, _severity: str, seen: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    return seen | (behind >= 0)


def _window_off(attention: Any, severity: str, seen: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    window = attention.sliding_window + int(severity)
    return seen & (behind < window) if int(severity) < 0 else seen | ((behind >= 0) & (behind < window))


def _groups(block: Block) -> int:
    return getattr(block.module, "num_key_value_groups", 1)


def _grouped(block: Block) -> bool:
    module = block.module
    # Latent attention repeats nothing; sinks belong to a head, which would move.
    return is_attention(block) and hasattr(module, "k_proj") and _groups(block) > 1 and not hasattr(module, "sinks")


def _several_kv_heads(block: Block) -> bool:
    linear = getattr(block.module, "k_proj", None)
    return is_attention(block) and linear is not None and linear.out_features > block.module.head_dim


def _tiled(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    repeats = attention_at(model, place).num_key_value_groups

    def change(kernel: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        # Head h reads keys h mod K instead of h div repeats: the same as moving the queries' heads.
        kv_heads = query.shape[1] // repeats
        order = torch.arange(query.shape[1]).reshape(repeats, kv_heads).T.reshape(-1)
        output, *rest = kernel(query[:, order], key, value, mask, **kwargs)
        moved = torch.empty_like(output)
        moved[:, :, order] = output
        return moved, *rest

    return on_attention(attention_at(model, place), change)


def _rolled(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    def change(kernel: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        if severity != "values":
            key = key.roll(1, dims=1)
        return kernel(query, key, value.roll(1, dims=1), mask, **kwargs)

    return on_attention(attention_at(model, place), change)


def _on_heads(change: Callable[[torch.Tensor, str], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of what the kernel gives, ``[B, T, heads, D]``."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        def changed(kernel: Any, *args: Any, **kwargs: Any) -> Any:
            output, *rest = kernel(*args, **kwargs)
            return change(output, severity), *rest

        return on_attention(attention_at(model, place), changed)

    return apply


def _head_zero(output: torch.Tensor, severity: str) -> torch.Tensor:
    output = output.clone()
    output[:, :, int(severity) % output.shape[2]] = 0
    return output


def _heads_swapped(output: torch.Tensor, _severity: str) -> torch.Tensor:
    return output[:, :, torch.tensor([1, 0, *range(2, output.shape[2])])]


def _layout_mixed(output: torch.Tensor, _severity: str) -> torch.Tensor:
    return output.transpose(1, 2).reshape(output.shape)


def _no_soft_cap(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return replaced(attention_at(model, place), "attn_logit_softcapping", None)


def _no_sinks(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return reweighted(attention_at(model, place), "sinks", lambda sinks: torch.full_like(sinks, _NEVER))


def _windowed(model: Any, _severity: str) -> list[Place]:
    return [b.place for b in blocks_of(model, "attn") if getattr(b.module, "sliding_window", None)]


def _several_heads(block: Block) -> bool:
    if not is_attention(block):
        return False
    heads = getattr(block.module, "num_heads", None) or block.module.config.num_attention_heads
    return heads > 1


_ATTENTION = blocks_where(is_attention)
_HEADS = blocks_where(_several_heads)
_CAPPED = blocks_where(lambda block: getattr(block.module, "attn_logit_softcapping", None))

KINDS = (
    Kind(
        "attention-scale",
        "attention",
        ("1.005", "1.02", "1.1", "squared"),
        _ATTENTION,
        _scale,
        named("attention-scale"),
    ),
    Kind("mask-future", "attention", ("1", "8", "all"), _ATTENTION, _masked(_future), named("mask")),
    Kind("mask-self", "attention", ("-1",), _ATTENTION, _masked(_blind_to_itself), named("mask")),
    Kind("window-added", "attention", ("16", "32"), _ATTENTION, _masked(_window), named("window"), silent=True),
    Kind("window-missing", "attention", ("all",), _windowed, _masked(_no_window), named("window"), silent=True),
    Kind("window-off", "attention", ("-1", "+1"), _windowed, _masked(_window_off), named("window"), silent=True),
    Kind("kv-tiled", "attention", ("all",), blocks_where(_grouped), _tiled, named("kv-heads")),
    Kind("kv-rolled", "attention", ("both", "values"), blocks_where(_several_kv_heads), _rolled, named("kv-heads")),
    Kind("head-zero", "attention", ("0", "3"), _HEADS, _on_heads(_head_zero), named("head")),
    Kind("heads-swapped", "attention", ("0-1",), _HEADS, _on_heads(_heads_swapped), named("head")),
    Kind("layout-mixed", "attention", ("all",), _HEADS, _on_heads(_layout_mixed)),
    Kind("soft-cap-missing", "attention", ("all",), _CAPPED, _no_soft_cap, named("soft-cap"), silent=True),
    Kind(
        "sink-missing",
        "attention",
        ("all",),
        blocks_where(lambda block: hasattr(block.module, "sinks")),
        _no_sinks,
        named("sink"),
    ),
)
