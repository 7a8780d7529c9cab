"""One call of scaled dot-product attention with every part of it open to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_NAME = "npu_dump_hypothesis"


@dataclass(frozen=True)
class AttentionCall:
    """What attention is computed from, after the rotary embedding.

    Attributes:
        query: ``[1, Q, T, D]``.
        key: ``[1, K, T, D]``.
        value: ``[1, K, T, D']``.
        bias: added to the scores, ``[1, 1 or Q, T, T]``; -inf where a token does not look.
        scale: of the scores.
        groups: the key head of each query head, ``[Q]``.
        value_groups: the same of values.
        cap: soft cap of the scores, or None.
        sinks: one more score a query head, ``[Q]``, whose weight falls away; or None.
        order: the query head whose answer stands in each place, ``[Q]``.
        kept: factor of the answer in each place, ``[Q]``.
        positions: of the tokens, ``[T]``.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    bias: torch.Tensor
    scale: float
    groups: torch.Tensor
    value_groups: torch.Tensor
    cap: float | None
    sinks: torch.Tensor | None
    order: torch.Tensor
    kept: torch.Tensor
    positions: torch.Tensor

    @property
    def allowed(self) -> torch.Tensor:
        """Which tokens look at which, ``[T, T]``; where heads differ, what any of them sees."""
        return torch.isfinite(self.bias).any(dim=1)[0]

    def answer(self) -> torch.Tensor:
        """Return the answer of every head, ``[1, T, Q, D']``; sums in the precision of the query."""
        scores = self.query @ self.key[:, self.groups].transpose(2, 3) * self.scale
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        scores = scores + self.bias
        if self.sinks is not None:
            sinks = self.sinks.to(scores)[None, :, None, None].expand(*scores.shape[:3], 1)
            scores = torch.cat([scores, sinks], dim=-1)
        # A token that sees nothing gives nothing.
        weights = torch.softmax(scores, dim=-1).nan_to_num(0.0)[..., : self.key.shape[2]]
        answers = (weights @ self.value[:, self.value_groups])[:, self.order]
        return (answers * self.kept[None, :, None, None]).transpose(1, 2)


Rewrite = Callable[[AttentionCall], AttentionCall]


@contextmanager
def rewritten(layer: nn.Module, positions: torch.Tensor, rewrite: Rewrite) -> Iterator[None]:
    """Let the attention of a layer compute what ``rewrite`` makes of each of its calls.

    It takes the place of the kernel behind transformers' attention interface; a layer whose attention does not go
    through that interface goes on as it is.

    Args:
        layer: the decoder layer.
        positions: of the tokens, ``[T]``.
        rewrite: called once a call.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def attend(
        _module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **keywords: Any,
    ) -> tuple[torch.Tensor, None]:
        call = _call(query, key, value, attention_mask, keywords, positions)
        return rewrite(call).answer().contiguous(), None

    interface: Any = ALL_ATTENTION_FUNCTIONS
    with ExitStack() as stack:
        interface[_NAME] = attend
        stack.callback(interface.pop, _NAME, None)
        for config in _configurations(layer):
            stack.callback(setattr, config, "_attn_implementation", config._attn_implementation)
            config._attn_implementation = _NAME
        yield


def _configurations(layer: nn.Module) -> list[Any]:
    found = {
        id(config): config
        for module in layer.modules()
        if hasattr(config := getattr(module, "config", None), "_attn_implementation")
    }
    return list(found.values())


def _call(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    keywords: dict[str, Any],
    positions: torch.Tensor,
) -> AttentionCall:
    heads, tokens, width = query.shape[1:]
    scale = keywords.get("scaling")
    groups = torch.arange(heads, device=query.device) // max(heads // key.shape[1], 1)
    return AttentionCall(
        query=query,
        key=key,
        value=value,
        bias=_bias(mask, tokens, keywords.get("sliding_window"), query),
        scale=width**-0.5 if scale is None else float(scale),
        groups=groups,
        value_groups=groups,
        cap=keywords.get("softcap"),
        sinks=keywords.get("s_aux"),
        order=torch.arange(heads, device=query.device),
        kept=torch.ones(heads, dtype=query.dtype, device=query.device),
        positions=positions,
    )


def _bias(mask: torch.Tensor | None, tokens: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    if mask is None:
        ages = distances(tokens, like.device)
        seen = ages >= 0 if window is None else (ages >= 0) & (ages < window)
        return as_bias(seen, like.dtype)[None, None]
    mask = mask[..., :tokens, :tokens]
    if mask.dtype == torch.bool:
        return as_bias(mask, like.dtype)
    # What is as low as a number can be means: does not look.
    return mask.to(like.dtype).masked_fill(mask <= torch.finfo(mask.dtype).min / 2, -torch.inf)


def as_bias(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 where ``seen``, else -inf."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, -torch.inf)


def distances(tokens: int, device: torch.device) -> torch.Tensor:
    """Return by how many tokens each token ``[T, T]`` lies before the one that looks; negative: after it."""
    places = torch.arange(tokens, device=device)
    return places[:, None] - places[None, :]
