"""Faults of mixtures of experts: the router's weights and choice, the order of experts, shared ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from .fault import Kind, Place, named
from .numbers import chosen, work
from .patch import on_call, on_output, replaced
from .structure import Block, block_at, blocks_where, experts_of, router_of

_SHARED = ("shared_experts", "shared_expert", "shared_mlp")
_ROUTED = blocks_where(router_of, "mlp")


def _scores(router: Any, logits: torch.Tensor) -> torch.Tensor:
    """Return the score of every expert, as the router makes it: each by itself, or all together 1."""
    return work(logits).sigmoid() if _is_sigmoid(router) else work(logits).softmax(dim=-1)


def _is_sigmoid(router: Any) -> bool:
    return hasattr(router, "e_score_correction_bias")


def _routing(change: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """Return the ``apply`` of a router's fault: ``change(router, logits, weights, indices, severity)``."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        router = router_of(block_at(model, place))

        def changed(_args: Any, _kwargs: Any, output: Any) -> Any:
            logits, weights, indices = output
            now, which = change(router, logits, weights, indices, severity)
            return logits, now.to(weights.dtype), which

        return on_call(router, changed)

    return apply


def _other_normalisation(router: Any, logits: Any, weights: Any, indices: Any, _severity: str) -> Any:
    """Raw scores where the router makes them add up to one; weights that add up to one where it does not."""
    factor = getattr(router, "routed_scaling_factor", 1.0)
    total = weights.sum(dim=-1, keepdim=True)
    if bool(((total / factor - 1).abs() < 1e-2).all()):
        return _scores(router, logits).gather(1, indices) * factor, indices
    return weights / total * factor, indices


def _other_scores(router: Any, logits: Any, weights: Any, indices: Any, _severity: str) -> Any:
    scores = work(logits).softmax(dim=-1) if _is_sigmoid(router) else work(logits).sigmoid()
    picked = scores.gather(1, indices)
    return picked / picked.sum(dim=-1, keepdim=True) * work(weights).sum(dim=-1, keepdim=True), indices


def _moved_experts(router: Any, _logits: Any, weights: Any, indices: Any, severity: str) -> Any:
    experts = router.num_experts
    order = torch.arange(experts)
    order = order.roll(1) if severity == "rolled" else torch.cat([order[:2].flip(0), order[2:]])
    return weights, order[indices]


def _same_weights(_router: Any, _logits: Any, weights: Any, indices: Any, _severity: str) -> Any:
    return weights.mean(dim=-1, keepdim=True).expand_as(weights), indices


def _weights_of_others(_router: Any, _logits: Any, weights: Any, indices: Any, _severity: str) -> Any:
    return weights.flip(-1), indices


def _top_k(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    router = router_of(block_at(model, place))
    return replaced(router, "top_k", router.top_k + int(severity))


def _choice_possible(block: Block) -> bool:
    router = router_of(block)
    return router is not None and 1 < router.top_k < router.num_experts


def _several_chosen(block: Block) -> bool:
    router = router_of(block)
    return router is not None and router.top_k > 1


def _factor(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    return replaced(router_of(block_at(model, place)), "routed_scaling_factor", float(severity))


def _has_factor(block: Block) -> bool:
    router = router_of(block)
    return getattr(router, "routed_scaling_factor", 1.0) != 1.0


def _no_groups(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    router = router_of(block_at(model, place))
    name = next(name for name in ("num_group", "n_group") if hasattr(router, name))
    return replaced(router, "topk_group", getattr(router, name))


def _has_groups(block: Block) -> bool:
    router = router_of(block)
    groups = getattr(router, "num_group", None) or getattr(router, "n_group", None) or 1
    return groups > getattr(router, "topk_group", groups)


def _shared(block: Block) -> Any:
    return next((getattr(block.module, name) for name in _SHARED if hasattr(block.module, name)), None)


def _no_shared(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return on_output(_shared(block_at(model, place)), torch.zeros_like)


def _shared_ungated(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    # The sigmoid of a large number is one.
    return on_output(block_at(model, place).module.shared_expert_gate, lambda gate: torch.full_like(gate, 1e4))


def _over_capacity(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    """Drop what the routed experts give to a few tokens, as a buffer of fixed length does."""

    def dropped(x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[-2]
        if rows < 8:
            return x
        lost = chosen(f"capacity {place.module}", max(1, int(rows * float(severity))), rows)
        return x.index_fill(-2, lost, 0)

    return on_output(experts_of(block_at(model, place)), dropped)


KINDS = (
    Kind(
        "router-normalisation",
        "experts",
        ("other",),
        _ROUTED,
        _routing(_other_normalisation),
        named("router"),
        # Two experts that share nearly all of the score add up to one anyway.
        silent=True,
    ),
    Kind(
        "router-scores",
        "experts",
        ("other",),
        blocks_where(_several_chosen),
        _routing(_other_scores),
        named("router"),
    ),
    Kind("router-order", "experts", ("swapped", "rolled"), _ROUTED, _routing(_moved_experts), named("router")),
    Kind(
        "router-uniform", "experts", ("all",), blocks_where(_several_chosen), _routing(_same_weights), named("router")
    ),
    Kind(
        "router-weights-flipped",
        "experts",
        ("all",),
        blocks_where(_several_chosen),
        _routing(_weights_of_others),
        named("router"),
    ),
    Kind("router-top-k", "experts", ("-1", "+1"), blocks_where(_choice_possible), _top_k, named("router")),
    Kind("routed-factor", "experts", ("1.0",), blocks_where(_has_factor), _factor, named("router", "scale")),
    Kind("router-groups", "experts", ("all",), blocks_where(_has_groups), _no_groups, named("router"), silent=True),
    Kind("expert-capacity", "experts", ("0.02", "0.1"), blocks_where(experts_of), _over_capacity, named("token")),
    Kind("shared-expert-missing", "experts", ("all",), blocks_where(_shared), _no_shared, named("router")),
    Kind(
        "shared-gate-missing",
        "experts",
        ("all",),
        blocks_where(lambda block: hasattr(block.module, "shared_expert_gate")),
        _shared_ungated,
    ),
)
