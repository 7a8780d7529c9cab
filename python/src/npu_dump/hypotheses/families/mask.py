"""Which tokens attention sees: one more, one fewer, those to come, a window of another width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from ..attention import AttentionCall, as_bias, distances
from ..change import Absent, Change, Hypothesis, Proposal, single
from ..subject import Subject
from .scores import NO_CALL


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about the mask of one attention module."""
    if subject.role != "attn":
        return
    call = subject.attention
    if call is None:
        yield Absent("mask", "cause/mask", NO_CALL)
        yield Absent("window", "cause/window", NO_CALL)
        return
    yield Hypothesis(
        "mask",
        "cause/mask",
        lambda at: Change(attention=lambda call: _moved(call, int(at))),
        lambda at: at,
        lambda at: f"mask moved by {at:+.0f}: tokens see {'some to come' if at > 0 else 'not even themselves'}",
        tuple(float(step) for step in (-1, 1, 4, 16) if step < call.query.shape[2]),
        "whole",
        (-2.0, float(call.query.shape[2])),
    )
    everything = Change(attention=lambda call: _seeing(call, torch.ones_like(call.allowed)))
    yield single("mask/none", "cause/mask", everything, "no mask: every token sees those to come")
    tokens = call.query.shape[2]
    window = int(call.allowed.sum(dim=-1).max())
    starts = {1 << power for power in range(tokens.bit_length()) if 1 << power < tokens}
    if window < tokens:
        dropped = Change(attention=lambda call: _seeing(call, distances_of(call) >= 0))
        yield single("window/none", "cause/window", dropped, "no window: every token sees all before it")
        starts |= {window - 1, window + 1}
    starts = {start for start in starts | {tokens - 1} if 0 < start < tokens} - {window}
    if not starts:
        yield Absent("window", "cause/window", "the samples are too short for a window to show")
        return
    yield Hypothesis(
        "window",
        "cause/window",
        lambda at: Change(attention=lambda call: _seeing(call, _window(call, int(at)))),
        lambda at: at,
        lambda at: f"window of {at:.0f} tokens",
        tuple(float(start) for start in sorted(starts)),
        "whole",
        (1.0, float(tokens)),
    )


def distances_of(call: AttentionCall) -> torch.Tensor:
    """Return by how many tokens each token lies before the one that looks, ``[T, T]``."""
    return distances(call.query.shape[2], call.query.device)


def _window(call: AttentionCall, width: int) -> torch.Tensor:
    ages = distances_of(call)
    return (ages >= 0) & (ages < width)


def _moved(call: AttentionCall, by: int) -> AttentionCall:
    """Let the newest token that is seen be one later or earlier; the first token goes on seeing itself."""
    ages = distances_of(call)
    newest = ages >= -by
    newest[0, 0] = True
    # What a window hides stays hidden: what is seen too early is only the next token.
    return _seeing(call, (call.allowed & newest) | (newest & (ages < 0)))


def _seeing(call: AttentionCall, seen: torch.Tensor) -> AttentionCall:
    """Let tokens see others; a finite bias of what they saw before stays."""
    kept = call.bias.masked_fill(~torch.isfinite(call.bias), 0.0)
    return replace(call, bias=kept + as_bias(seen, kept.dtype))
