"""Attention scores and heads: scale, soft cap, sinks, which key head a query head reads, heads without an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from ..attention import AttentionCall
from ..change import Absent, Change, Hypothesis, Proposal, factor, single
from ..subject import Subject

NO_CALL = "its attention does not go through transformers' attention interface"


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about one attention module."""
    if subject.role != "attn":
        return
    call = subject.attention
    if call is None:
        for identity in ("attention-scale", "kv-heads", "head", "sink", "soft-cap"):
            yield Absent(identity, f"cause/{identity}", NO_CALL)
        return
    yield _scale(call)
    yield from _key_heads(call)
    yield _head(call)
    yield _exchanged(call)
    if call.sinks is None:
        yield Absent("sink", "cause/sink", "the attention has no sinks")
    else:
        change = Change(attention=lambda call: replace(call, sinks=None))
        yield single("sink", "cause/sink", change, "attention sinks left out")
    if call.cap is None:
        yield Absent("soft-cap", "cause/soft-cap", "the attention has no soft cap")
    else:
        change = Change(attention=lambda call: replace(call, cap=None))
        yield single("soft-cap", "cause/soft-cap", change, "soft cap of the scores left out")


def _scale(call: AttentionCall) -> Hypothesis:
    width = call.query.shape[-1]
    # Slightly off; left out; applied twice; of half and of twice the width.
    starts = {math.log(1.02), -math.log(call.scale), math.log(call.scale), math.log(2) / 2, -math.log(2) / 2}
    starts |= {-math.log(width * call.scale)}
    return Hypothesis(
        "attention-scale",
        "cause/attention-scale",
        lambda at: Change(attention=lambda call: replace(call, scale=call.scale * math.exp(at))),
        math.exp,
        lambda at: factor("attention scale", math.exp(at)),
        tuple(sorted(start for start in starts if abs(start) > 1e-6)),
        "size",
        (-math.log(1e4), math.log(1e4)),
    )


def _key_heads(call: AttentionCall) -> Iterator[Proposal]:
    queries, keys = call.query.shape[1], call.key.shape[1]
    own = call.groups
    heads = torch.arange(queries, device=own.device)
    maps = (
        ("tiled", heads % keys, "of K, query head h reads the (h mod K)-th"),
        ("next", (own + 1) % keys, "each query head reads the next"),
        ("previous", (own - 1) % keys, "each query head reads the previous"),
    )
    if keys == 1:
        yield Absent("kv-heads", "cause/kv-heads", "there is one key head")
    for name, groups, words in maps:
        # With as many key heads as query heads the tiled order is the right one; of two, next and previous are one.
        if not torch.equal(groups, own) and not (name == "previous" and keys == 2):
            for part, only in (("", "key"), ("/values", "value")):
                change = _mapped(groups, values_only=bool(part))
                yield single(f"kv-heads/{name}{part}", "cause/kv-heads", change, f"{words} {only} head")


def _mapped(groups: torch.Tensor, *, values_only: bool) -> Change:
    def read(call: AttentionCall) -> AttentionCall:
        return replace(call, groups=call.groups if values_only else groups, value_groups=groups)

    return Change(attention=read)


def _exchanged(call: AttentionCall) -> Hypothesis:
    def swap(at: float) -> Change:
        def exchange(call: AttentionCall) -> AttentionCall:
            order, first = call.order.clone(), int(at)
            order[first], order[first + 1] = call.order[first + 1], call.order[first]
            return replace(call, order=order)

        return Change(attention=exchange)

    heads = tuple(float(head) for head in range(call.query.shape[1] - 1))
    words = "answers of heads {0:.0f} and {1:.0f} exchanged"
    return Hypothesis("head/exchanged", "cause/head", swap, lambda at: at, lambda at: words.format(at, at + 1), heads)


def _head(call: AttentionCall) -> Hypothesis:
    def off(at: float) -> Change:
        def silence(call: AttentionCall) -> AttentionCall:
            kept = call.kept.clone()
            kept[int(at)] = 0
            return replace(call, kept=kept)

        return Change(attention=silence)

    heads = tuple(float(head) for head in range(call.query.shape[1]))
    return Hypothesis("head", "cause/head", off, lambda at: at, lambda at: f"head {at:.0f} gives nothing", heads)
