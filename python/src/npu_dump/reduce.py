"""Logits reduced to what most figures of quality need."""

from __future__ import annotations

import torch

from .device_stats import wide_dtype


def reduced_logits(
    logits: torch.Tensor, input_ids: torch.Tensor, before: torch.Tensor | None, k: int
) -> dict[str, torch.Tensor]:
    """Return ``lse [T]``, ``topk_ids [T, k]``, ``topk_logprobs [T, k]`` and ``token_logprob [T]`` of one sample.

    Computed in float64 where the device has it, else in float32; natural logarithms. Of equal logits the lower token
    id comes first. A row with a NaN or with +Inf gives no finite number.

    Args:
        logits: ``[T, V]``, row t for the token after ``input_ids[t]``.
        input_ids: ``[T]``.
        before: ``[V]``, the logits that predict ``input_ids[0]``; None where there are none, which gives NaN there.
        k: how many of the most likely tokens; all where V is smaller.
    """
    wide = wide_dtype(logits.device)
    lse = torch.cat([torch.logsumexp(rows.to(wide), -1) for rows in logits.split(_rows_at_once(logits))])
    ids = _top_ids(logits, min(k, logits.shape[-1]))
    best = logits.gather(-1, ids).to(wide) - lse[:, None]
    predicted = torch.full((len(input_ids),), torch.nan, dtype=wide, device=logits.device)
    targets = input_ids.to(logits.device)
    if len(input_ids) > 1:
        predicted[1:] = logits[:-1].gather(-1, targets[1:, None])[:, 0].to(wide) - lse[:-1]
    if before is not None and len(input_ids):
        row = before.to(wide)
        predicted[0] = row[targets[0]] - torch.logsumexp(row, -1)
    return {
        "lse": lse.to("cpu", torch.float64),
        "topk_ids": ids.to("cpu", torch.int32),
        "topk_logprobs": best.to("cpu", torch.float32),
        "token_logprob": predicted.to("cpu", torch.float64),
    }


def _rows_at_once(logits: torch.Tensor) -> int:
    """Return as many rows as a wider copy may hold: 8 MiB of float64."""
    return max(1, (1 << 20) // logits.shape[-1])


def _top_ids(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Return ``[T, k]`` ids of the largest logits, equal ones by ascending id.

    ``torch.topk`` leaves the order of equal values open, and 16-bit logits tie often. Where the k-th value ties with
    ones left out, the lowest ids that have it take the places of those found; a sort by id and then a stable one by
    value order the rest.
    """
    values, ids = torch.topk(logits, k)
    if k < logits.shape[-1]:
        size, last = _rows_at_once(logits), values[:, -1:]
        below = torch.cat(
            [(rows < edge).sum(-1) for rows, edge in zip(logits.split(size), last.split(size), strict=True)]
        )
        for row in (below < logits.shape[-1] - k).nonzero().flatten().tolist():
            places = (values[row] == last[row]).nonzero().flatten()
            ids[row, places] = (logits[row] == last[row]).nonzero().flatten()[: len(places)]
    ids = torch.sort(ids, dim=-1).values
    order = torch.sort(logits.gather(-1, ids), dim=-1, descending=True, stable=True).indices
    return ids.gather(-1, order)
