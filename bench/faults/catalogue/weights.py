"""Faults of loaded weights: another layer's, swapped, transposed, of wrong sign or gain, dead or moved channels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from .fault import Kind, Place, named
from .numbers import chosen, draw
from .patch import replaced, reweighted
from .structure import Block, block_at, blocks_of, blocks_where, projection_of


def on_projection(change: Callable[[torch.Tensor, Place, str], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of the weight that makes a block's output.

    Args:
        change: called with the weight as ``[…, out, in]``, the place and the severity.
    """

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        projection = projection_of(block_at(model, place))
        assert projection is not None

        def changed(weight: torch.Tensor) -> torch.Tensor:
            if projection.transposed:
                return change(weight.mT, place, severity).mT
            return change(weight, place, severity)

        return reweighted(projection.owner, projection.name, changed)

    return apply


PROJECTED = blocks_where(lambda block: projection_of(block) is not None)


def _shapes(module: Any) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.named_parameters()}


def _like_next(model: Any, _severity: str) -> list[Place]:
    places = []
    for role in ("attn", "mlp"):
        blocks = list(blocks_of(model, role))
        for block, after in pairwise(blocks):
            if _shapes(block.module) == _shapes(after.module) and projection_of(block) is not None:
                places.append(block.place)
    return places


@contextmanager
def _next_layer(model: Any, place: Place, severity: str) -> Any:
    block = block_at(model, place)
    blocks = list(blocks_of(model, block.role))
    after = blocks[[b.place for b in blocks].index(place) + 1]
    pairs = list(_weights(block.module, after.module))
    if severity == "output":
        mine, other = projection_of(block), projection_of(after)
        assert mine is not None
        assert other is not None
        pairs = [(mine.owner, mine.name, other.weight)]
    with ExitStack() as stack:
        for owner, name, weight in pairs:
            stack.enter_context(replaced(owner, name, weight))
        yield


def _weights(mine: Any, other: Any) -> Any:
    for path, module in mine.named_modules():
        twin = other.get_submodule(path)
        for name, _ in module.named_parameters(recurse=False):
            yield module, name, getattr(twin, name)


def _square_query(block: Block) -> bool:
    linear = getattr(block.module, "q_proj", None)
    return isinstance(linear, nn.Linear) and linear.in_features == linear.out_features


def _transposed(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return reweighted(block_at(model, place).module.q_proj, "weight", lambda weight: weight.T)


def _like_keys_values(block: Block) -> bool:
    key, value = (getattr(block.module, name, None) for name in ("k_proj", "v_proj"))
    return isinstance(key, nn.Linear) and isinstance(value, nn.Linear) and key.weight.shape == value.weight.shape


@contextmanager
def _keys_values(model: Any, place: Place, _severity: str) -> Any:
    module = block_at(model, place).module
    with ExitStack() as stack:
        key, value = module.k_proj.weight, module.v_proj.weight
        stack.enter_context(replaced(module.k_proj, "weight", value))
        stack.enter_context(replaced(module.v_proj, "weight", key))
        yield


def _channels(weight: torch.Tensor, place: Place, severity: str) -> torch.Tensor:
    """Return the chosen output channels: ``severity`` of them."""
    return chosen(f"channels {place.module}", int(severity), weight.shape[-2])


def _zeroed(weight: torch.Tensor, place: Place, severity: str) -> torch.Tensor:
    return weight.index_fill(-2, _channels(weight, place, severity), 0)


def _negated(weight: torch.Tensor, place: Place, severity: str) -> torch.Tensor:
    signs = torch.ones(weight.shape[-2], dtype=weight.dtype)
    signs[_channels(weight, place, severity)] = -1
    return weight * signs[:, None]


def _rolled(weight: torch.Tensor, _place: Place, severity: str) -> torch.Tensor:
    return weight.roll(int(severity), dims=-2)


def _halves_exchanged(weight: torch.Tensor, _place: Place, _severity: str) -> torch.Tensor:
    return weight.roll(weight.shape[-2] // 2, dims=-2)


def _gains(weight: torch.Tensor, place: Place, severity: str) -> torch.Tensor:
    noise = torch.randn(weight.shape[-2], generator=draw(f"gains {place.module}"), dtype=torch.float64)
    return weight * torch.exp(float(severity) * noise).to(weight.dtype)[:, None]


def _dead_inputs(weight: torch.Tensor, place: Place, severity: str) -> torch.Tensor:
    return weight.index_fill(-1, chosen(f"inputs {place.module}", int(severity), weight.shape[-1]), 0)


def _scaled_inputs(weight: torch.Tensor, place: Place, severity: str) -> torch.Tensor:
    """The scales that smooth activations were put into the weight, and not taken out of the activations."""
    factors = torch.ones(weight.shape[-1], dtype=weight.dtype)
    factors[chosen(f"inputs {place.module}", max(1, weight.shape[-1] // 16), weight.shape[-1])] = float(severity)
    return weight * factors


def _rank_one(weight: torch.Tensor, place: Place, severity: str) -> torch.Tensor:
    """An adapter of rank one that was left in."""
    generator = draw(f"adapter {place.module}")
    left, right = (torch.randn(weight.shape[axis], generator=generator, dtype=torch.float64) for axis in (-2, -1))
    update = left[:, None] * right / (left.norm() * right.norm())
    size = weight.double().norm(dim=(-2, -1), keepdim=True)
    return (weight.double() + float(severity) * size * update).to(weight.dtype)


def _stale_rows(weight: torch.Tensor, _place: Place, severity: str) -> torch.Tensor:
    """The last rows of the weight never arrived: they hold those before them."""
    rows = weight.shape[-2] // int(severity)
    weight = weight.clone()
    weight[..., -rows:, :] = weight[..., -2 * rows : -rows, :].clone()
    return weight


KINDS = (
    Kind("next-layer", "weights", ("all", "output"), _like_next, _next_layer, named("layer-weights")),
    Kind("query-transposed", "weights", ("all",), blocks_where(_square_query, "attn"), _transposed),
    Kind("keys-values-swapped", "weights", ("all",), blocks_where(_like_keys_values, "attn"), _keys_values),
    Kind("weight-negated", "weights", ("all",), PROJECTED, on_projection(lambda w, _p, _s: -w), named("sign")),
    Kind("channel-zero", "weights", ("1", "8"), PROJECTED, on_projection(_zeroed), named("channel")),
    Kind("channel-negated", "weights", ("1", "4"), PROJECTED, on_projection(_negated), named("channel")),
    Kind("channels-rolled", "weights", ("1", "16"), PROJECTED, on_projection(_rolled), named("permutation")),
    Kind("halves-exchanged", "weights", ("all",), PROJECTED, on_projection(_halves_exchanged), named("permutation")),
    Kind("channel-gains", "weights", ("0.01", "0.1"), PROJECTED, on_projection(_gains), named("channel-gain")),
    Kind("input-dead", "weights", ("1", "4"), PROJECTED, on_projection(_dead_inputs), named("low-rank"), silent=True),
    Kind("input-scales", "weights", ("1.1", "2"), PROJECTED, on_projection(_scaled_inputs)),
    Kind("adapter", "weights", ("0.01", "0.1"), PROJECTED, on_projection(_rank_one), named("low-rank")),
    Kind("rows-stale", "weights", ("16", "4"), PROJECTED, on_projection(_stale_rows), named("channel")),
)
