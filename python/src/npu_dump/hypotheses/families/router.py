"""A mixture of experts: how many are chosen, with which weights, which is which, one that all tokens share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ...module_tree import first_tensor
from ..change import Absent, Change, Hypothesis, Proposal, attributes, forward_of, single
from ..subject import Subject

_COUNTS = ("top_k", "num_experts_per_tok", "topk")
_SHARED = re.compile(r"^shared_(expert|mlp)s?$")
_ID, _CAUSE = "router", "cause/router"


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about one mixture of experts."""
    if subject.role != "mlp":
        return
    if not subject.has_router:
        yield Absent(_ID, _CAUSE, "it has no router")
        return
    for offset, words in ((1, "next"), (-1, "previous")):
        change = Change(router=lambda logits, offset=offset: logits.roll(offset, dims=-1))
        yield single(f"{_ID}/{words}", _CAUSE, change, f"each token goes to the {words} expert")
    yield single(
        f"{_ID}/reversed", _CAUSE, Change(router=lambda logits: logits.flip(-1)), "experts in the reverse order"
    )
    modules = list(subject.block.modules())
    yield from _count(modules)
    yield from _normalised(modules)
    yield from _scaling(modules)
    yield from _shared(subject.block)


def _count(modules: list[nn.Module]) -> Iterator[Proposal]:
    held = [
        (module, name, int(getattr(module, name)))
        for module in modules
        for name in _COUNTS
        if type(getattr(module, name, None)) is int
    ]
    if not held:
        yield Absent(f"{_ID}/count", _CAUSE, "how many experts it chooses is no setting of its modules")
        return
    chosen = held[0][2]

    def choosing(more: int) -> Change:
        return Change(patch=lambda: attributes(*((module, name, count + more) for module, name, count in held)))

    yield Hypothesis(
        f"{_ID}/count",
        _CAUSE,
        lambda at: choosing(int(at)),
        lambda at: chosen + at,
        lambda at: f"{chosen + at:.0f} experts a token instead of {chosen}",
        (-1.0, 1.0) if chosen > 1 else (1.0,),
    )


def _normalised(modules: list[nn.Module]) -> Iterator[Proposal]:
    held: list[tuple[Any, str, bool]] = [
        (module, "norm_topk_prob", not module.norm_topk_prob)
        for module in modules
        if isinstance(getattr(module, "norm_topk_prob", None), bool)
    ]
    if not held:
        yield Absent(f"{_ID}/normalisation", _CAUSE, "it has no setting for the normalisation of the chosen weights")
        return
    words = "normalised" if held[0][2] else "not normalised"
    change = Change(patch=lambda: attributes(*held))
    yield single(f"{_ID}/normalisation", _CAUSE, change, f"weights of the chosen experts {words}")


def _scaling(modules: list[nn.Module]) -> Iterator[Proposal]:
    held = [
        (module, "routed_scaling_factor", 1.0)
        for module in modules
        if isinstance(getattr(module, "routed_scaling_factor", None), float) and module.routed_scaling_factor != 1
    ]
    if held:
        change = Change(patch=lambda: attributes(*held))
        yield single(f"{_ID}/scaling", _CAUSE, change, "scaling of the chosen weights left out")


def _shared(block: nn.Module) -> Iterator[Proposal]:
    experts = [module for path, module in block.named_modules() if _SHARED.match(path.rpartition(".")[2])]
    if not experts:
        yield Absent(f"{_ID}/shared", _CAUSE, "it has no expert that all tokens share")
        return
    silent = Change(patch=lambda: forward_of(experts[0], _nothing))
    yield single(f"{_ID}/shared", _CAUSE, silent, "the expert that all tokens share left out")


def _nothing(*args: Any, **keywords: Any) -> torch.Tensor:
    given = first_tensor((args, keywords))
    if given is None:
        raise TypeError("an expert is called with a tensor")
    return torch.zeros_like(given)
