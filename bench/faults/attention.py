"""Attention as fused kernels compute it: an online softmax over blocks of keys, in float32 inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask


@dataclass(frozen=True)
class Attention:
    """A kernel of attention.

    Attributes:
        block: keys at a time.
        rows: queries at a time; 0: all.
        backwards: the last block first.
        splits: parts of the keys that are computed apart, and merged by their sums.
        wide: probabilities stay in float32; else they are rounded to the precision of the values.
        folded: queries are multiplied by the scale, and rounded, before their products with the keys.
        exponential: of float32.
    """

    block: int = 64
    rows: int = 0
    backwards: bool = False
    splits: int = 1
    wide: bool = False
    folded: bool = False
    exponential: Callable[[torch.Tensor], torch.Tensor] = torch.exp

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        softcap: float | None = None,
        s_aux: torch.Tensor | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """Return ``[B, T, heads, width]``, as transformers wants it of an attention.

        Args:
            module: the attention.
            query: ``[B, heads, T, width]``.
            key: ``[B, heads of keys, S, width]``.
            value: as the keys.
            attention_mask: what is added to the scores, ``[B, 1, T, S]``.
            scaling: of the scores; None: 1 over the root of the width.
            softcap: of the scores; None: none.
            s_aux: sinks, one score a head that takes part in the sum alone.
        """
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        queries = (query * scale).float() if self.folded else query.float() * scale
        mask = torch.zeros(1) if attention_mask is None else attention_mask.float()
        sinks = getattr(module, "sinks", None) if s_aux is None else s_aux
        given = _Given(key.float(), value.float(), softcap, sinks, value.dtype)
        rows = self.rows or query.shape[2]
        blocks = zip(queries.split(rows, 2), _rows_of(mask, query.shape[2], rows), strict=True)
        out = torch.cat([self._of_rows(piece, piece_mask, given) for piece, piece_mask in blocks], 2)
        return out.to(query.dtype).transpose(1, 2).contiguous(), None

    def _of_rows(self, queries: torch.Tensor, mask: torch.Tensor, given: _Given) -> torch.Tensor:
        """Return the attention of some queries, ``[B, heads, rows, width]`` float32."""
        ends = range(0, given.key.shape[2], self.block)
        starts = list(reversed(ends)) if self.backwards else list(ends)
        # The first part takes the sinks into its sum; they have no values.
        parts = [self._partial(queries, mask, given, starts[i :: self.splits], i == 0) for i in range(self.splits)]
        parts = [part for part in parts if part is not None]
        top = torch.stack([part[0] for part in parts]).amax(0)
        total = sum(part[1] * self.exponential(part[0] - top) for part in parts)
        return sum(part[2] * self.exponential(part[0] - top) for part in parts) / total

    def _partial(
        self, queries: torch.Tensor, mask: torch.Tensor, given: _Given, starts: list[int], first: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Return the largest score, the sum of exponentials and the sum of values over some blocks of keys."""
        if not starts:
            return None
        shape = queries.shape[:3]
        top = torch.full((*shape, 1), torch.finfo(torch.float32).min)
        total, out = torch.zeros(*shape, 1), torch.zeros(*shape, given.value.shape[-1])
        if first and given.sinks is not None:
            top = given.sinks.float().reshape(1, -1, 1, 1).expand(*shape, 1)
            total = torch.ones_like(top)
        for start in starts:
            keys = slice(start, start + self.block)
            scores = queries @ given.key[:, :, keys].transpose(2, 3)
            if given.softcap is not None:
                scores = torch.tanh(scores / given.softcap) * given.softcap
            scores = scores + (mask if mask.ndim == 1 else mask[..., keys])
            higher = torch.maximum(top, scores.amax(-1, keepdim=True))
            weights, shrunk = self.exponential(scores - higher), self.exponential(top - higher)
            total = total * shrunk + weights.sum(-1, keepdim=True)
            rounded = weights if self.wide else weights.to(given.dtype).float()
            out = out * shrunk + rounded @ given.value[:, :, keys]
            top = higher
        return top, total, out


@dataclass(frozen=True)
class _Given:
    key: torch.Tensor
    value: torch.Tensor
    softcap: float | None
    sinks: torch.Tensor | None
    dtype: torch.dtype


def _rows_of(mask: torch.Tensor, length: int, rows: int) -> list[torch.Tensor]:
    count = -(-length // rows)
    return [mask] * count if mask.ndim == 1 else list(mask.split(rows, 2))


NAME = "benchmark"


@contextlib.contextmanager
def attention(model: Any, kernel: Attention | None) -> Iterator[None]:
    """Let every softmax attention of a model be computed by this kernel; None: as before."""
    if kernel is None:
        yield
        return
    AttentionInterface.register(NAME, kernel)
    AttentionMaskInterface.register(NAME, eager_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
