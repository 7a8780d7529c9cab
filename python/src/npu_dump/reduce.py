"""Logits reduced to what most figures of quality need."""

from __future__ import annotations

import torch

from .device_stats import wide_dtype

# Logits that are looked at together: 8 MiB in float64, of which a few copies are needed.
_BLOCK = 1 << 20


def reduced_logits(
    logits: torch.Tensor, input_ids: torch.Tensor, before: torch.Tensor | None, k: int
) -> dict[str, torch.Tensor]:
    """Return ``lse [T]``, ``topk_ids [T, k]``, ``topk_logprobs [T, k]`` and ``token_logprob [T]`` of one sample.

    Computed in float64 where the device has it, else in float32; natural logarithms. Of equal logits the lower token
    id comes first. A row with a NaN or with +Inf gives no finite number. Device memory is some 32 MiB, whatever T is.

    Args:
        logits: ``[T, V]``, row t for the token after ``input_ids[t]``.
        input_ids: ``[T]``.
        before: ``[V]``, the logits that predict ``input_ids[0]``; None where there are none, which gives NaN there.
        k: how many of the most likely tokens; all where V is smaller.
    """
    following = input_ids.to(logits.device).roll(-1)
    rows_at_once = max(1, _BLOCK // logits.shape[-1])
    blocks = zip(logits.split(rows_at_once), following.split(rows_at_once), strict=True)
    parts = [_reduced(rows, tokens, min(k, logits.shape[-1])) for rows, tokens in blocks]
    lse, ids, best, next_token = (torch.cat(column) for column in zip(*parts, strict=True))
    # What the last row says of the first token, around the corner, means nothing.
    token_logprob = next_token.roll(1)
    token_logprob[:1] = torch.nan
    if before is not None:
        token_logprob[:1] = _reduced(before[None], input_ids[:1].to(logits.device), 1)[3]
    return {
        "lse": lse.to("cpu", torch.float64),
        "topk_ids": ids.to("cpu", torch.int32),
        "topk_logprobs": best.to("cpu", torch.float32),
        "token_logprob": token_logprob.to("cpu", torch.float64),
    }


def top_logprobs(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the ids ``[T, k]`` (I32) and log-probabilities ``[T, k]`` (F32) of the most likely tokens, on the host.

    As in `reduced_logits`: natural logarithms, of equal logits the lower id first, all tokens where V is below k.

    Args:
        logits: ``[T, V]``.
        k: how many.
    """
    wide = wide_dtype(logits.device)
    ids = _top_ids(logits, min(k, logits.shape[-1]))
    best = logits.gather(-1, ids).to(wide) - torch.logsumexp(logits.to(wide), -1)[:, None]
    return ids.to("cpu", torch.int32), best.to("cpu", torch.float32)


def _reduced(rows: torch.Tensor, following: torch.Tensor, k: int) -> tuple[torch.Tensor, ...]:
    """Return log-sum-exp, the k best ids and their log-probabilities, and that of the token that follows each row."""
    wide = wide_dtype(rows.device)
    lse = torch.logsumexp(rows.to(wide), -1)
    ids = _top_ids(rows, k)
    best = rows.gather(-1, ids).to(wide) - lse[:, None]
    return lse, ids, best, rows.gather(-1, following[:, None])[:, 0].to(wide) - lse


def _top_ids(rows: torch.Tensor, k: int) -> torch.Tensor:
    """Return ``[T, k]`` ids of the largest logits, equal ones by ascending id.

    ``torch.topk`` leaves the order of equal values open, and 16-bit logits tie often. Where the k-th value ties with
    ones left out, the lowest ids that have it take the places of those found; a sort by id and then a stable one by
    value order the rest.
    """
    values, ids = torch.topk(rows, k)
    if k < rows.shape[-1]:
        last = values[:, -1:]
        below = (rows < last).sum(-1)
        for row in (below < rows.shape[-1] - k).nonzero().flatten().tolist():
            places = (values[row] == last[row]).nonzero().flatten()
            ids[row, places] = (rows[row] == last[row]).nonzero().flatten()[: len(places)]
    ids = torch.sort(ids, dim=-1).values
    order = torch.sort(rows.gather(-1, ids), dim=-1, descending=True, stable=True).indices
    return ids.gather(-1, order)
