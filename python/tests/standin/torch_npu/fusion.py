"""The fused attention that transformers calls for ``flash_attention_2``, on PyTorch's own attention."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention


def npu_fusion_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    head_num: int,
    input_layout: str,
    *,
    scale: float,
    keep_prob: float = 1.0,
    atten_mask: torch.Tensor | None = None,
    sparse_mode: int = 0,
    actual_seq_qlen: tuple[int, ...] = (),
    actual_seq_kvlen: tuple[int, ...] = (),
    **_unused: Any,
) -> tuple[torch.Tensor]:
    """Return a tuple whose first item is the attention's output, in the layout of ``query``.

    Args:
        query: ``[B, S, N, D]``, or ``[T, N, D]`` with the sequences one after another.
        key: likewise, with as many or fewer heads.
        value: likewise.
        head_num: N of ``query``.
        input_layout: ``BSND`` or ``TND``.
        scale: factor of the scores.
        keep_prob: only 1 is known here.
        atten_mask: True where a key is hidden; with ``sparse_mode`` 2 and 3 the triangle that stands for them.
        sparse_mode: 0 takes the mask as it is; 2 and 3 hide what is right of the diagonal that begins at the upper
            left, or ends at the lower right.
        actual_seq_qlen: where each sequence ends, for ``TND``.
        actual_seq_kvlen: likewise for the keys.
    """
    if keep_prob != 1 or query.shape[-2] != head_num or sparse_mode not in (0, 2, 3):
        raise NotImplementedError("the stand-in attends without dropout, and knows the sparse modes 0, 2 and 3")

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attend with ``[B, S, N, D]``."""
        rows, columns = query.shape[1], key.shape[1]
        hidden = atten_mask
        if sparse_mode:
            diagonal = 1 + (columns - rows if sparse_mode == 3 else 0)
            hidden = torch.ones(rows, columns, dtype=torch.bool, device=query.device).triu(diagonal)
        seen = None if hidden is None else hidden.logical_not()
        parts = (part.transpose(1, 2) for part in (query, key, value))
        return scaled_dot_product_attention(*parts, seen, scale=scale, enable_gqa=True).transpose(1, 2)

    if input_layout == "BSND":
        return (attend(query, key, value),)
    assert input_layout == "TND"
    queries, keys = (
        [end - start for start, end in zip((0, *ends[:-1]), ends, strict=True)]
        for ends in (actual_seq_qlen, actual_seq_kvlen)
    )
    parts = zip(query.split(queries), key.split(keys), value.split(keys), strict=True)
    return (torch.cat([attend(*(part[None] for part in each))[0] for each in parts]),)
