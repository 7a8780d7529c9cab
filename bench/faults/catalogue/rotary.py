"""Faults of rotary positions: base, scaling, position, layout, direction, and tables of low precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch

from .fault import Kind, Place, named
from .numbers import rounded
from .patch import Turning, frequency_names, on_rotary, replaced
from .structure import block_at, blocks_of, blocks_where, decoder_of, has_rotary

_COMMON_BASE = 10000.0
_BF16_BITS = 8
_ROTARY = blocks_where(has_rotary)


def _parameters(model: Any) -> list[dict[str, Any]]:
    """Return the rotary parameters of the configuration: one set, or one for each type of layers."""
    config = decoder_of(model).config
    given = getattr(config, "rope_parameters", None) or {}
    sets = [given] if "rope_theta" in given else [value for value in given.values() if isinstance(value, dict)]
    return [value for value in sets if "rope_theta" in value]


def other_base(buffer: torch.Tensor, ratio: float) -> torch.Tensor:
    """Return inverse frequencies, ``[D/2]``, of a base that is ``ratio`` times theirs."""
    steps = torch.arange(buffer.numel(), dtype=torch.float64) / buffer.numel()
    return (buffer.double() * ratio**-steps).to(buffer.dtype)


def rotary(change: Callable[..., Any]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of one attention's rotary: see `patch.on_rotary`; the severity comes last."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        def changed(*args: Any) -> Any:
            return change(*args, severity)

        return on_rotary(model, block_at(model, place).module, changed)

    return apply


def _base(turning: Turning, query: Any, key: Any, _cos: Any, _sin: Any, severity: str) -> Any:
    return turning(query, key, *turning.tables(lambda buffer: other_base(buffer, float(severity))))


def _position(turning: Turning, query: Any, key: Any, cos: Any, sin: Any, severity: str) -> Any:
    moved = turning.tables(positions=lambda positions: positions + int(severity))
    return turning(query, key, *moved)[0], turning(query, key, cos, sin)[1]


def _layout(turning: Turning, query: Any, key: Any, cos: Any, sin: Any, _severity: str) -> Any:
    pairs = turning.pairs(cos)
    order = torch.arange(2 * pairs).reshape(pairs, 2).T.reshape(-1)
    if turning.interleaved:
        order = order.argsort()

    def moved(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[..., : 2 * pairs][..., by], x[..., 2 * pairs :]], dim=-1)

    query, key = turning(moved(query, order), moved(key, order), cos, sin)
    return moved(query, order.argsort()), moved(key, order.argsort())


def _partial(turning: Turning, query: Any, key: Any, whole: Any, _sin: Any, _severity: str) -> Any:
    """Turn the first half of the channels alone, by the frequencies of that width: every second one."""
    cos, sin = turning.tables(lambda buffer: buffer[::2])
    width = turning.pairs(whole)
    turned = turning(query[..., :width], key[..., :width], cos, sin)
    return tuple(torch.cat([new, x[..., width:]], dim=-1) for new, x in zip(turned, (query, key), strict=True))


def _still(_turning: Turning, query: Any, key: Any, _cos: Any, _sin: Any, _severity: str) -> Any:
    return query, key


def _backwards(turning: Turning, query: Any, key: Any, cos: Any, sin: Any, _severity: str) -> Any:
    return turning(query, key, cos, -sin)


def _low_precision(turning: Turning, query: Any, key: Any, cos: Any, sin: Any, severity: str) -> Any:
    if severity == "frequencies":
        cos, sin = turning.tables(lambda buffer: rounded(buffer, _BF16_BITS))
    elif severity == "positions":
        # bf16 holds every whole number up to 256 only.
        cos, sin = turning.tables(positions=lambda positions: rounded(positions.float(), _BF16_BITS))
    else:
        cos, sin = rounded(cos, int(severity)), rounded(sin, int(severity))
    return turning(query, key, cos, sin)


def _first(model: Any) -> list[Place]:
    first = next((block for block in blocks_of(model, "attn") if has_rotary(block)), None)
    return [] if first is None else [Place(None, first.place.module)]


def _off_common_base(model: Any, _severity: str) -> list[Place]:
    sets = _parameters(model) if _first(model) else []
    # With several bases, those that are not the common one may not be in the first layer.
    return _first(model) if len(sets) == 1 and sets[0]["rope_theta"] != _COMMON_BASE else []


def _drop_base(model: Any, _place: Place, _severity: str) -> AbstractContextManager[Any]:
    ratio = _COMMON_BASE / _parameters(model)[0]["rope_theta"]
    return _tables(model, lambda buffer: other_base(buffer, ratio), {})


def _scaled(model: Any, _severity: str) -> list[Place]:
    sets = _parameters(model) if _first(model) else []
    return _first(model) if len(sets) == 1 and sets[0].get("rope_type", "default") != "default" else []


def _drop_scaling(model: Any, _place: Place, _severity: str) -> AbstractContextManager[Any]:
    theta = float(_parameters(model)[0]["rope_theta"])

    def plain(buffer: torch.Tensor) -> torch.Tensor:
        return torch.exp(-math.log(theta) * torch.arange(buffer.numel()) / buffer.numel()).to(buffer.dtype)

    return _tables(model, plain, {"attention_scaling": 1.0})


@contextmanager
def _tables(model: Any, frequencies: Callable[[torch.Tensor], torch.Tensor], attributes: dict[str, Any]) -> Any:
    embedding = decoder_of(model).rotary_emb
    with ExitStack() as stack:
        for name in frequency_names(embedding):
            stack.enter_context(replaced(embedding, name, frequencies(getattr(embedding, name))))
        for name, value in attributes.items():
            stack.enter_context(replaced(embedding, name, value))
        yield


KINDS = (
    Kind("rotary-base", "rotary", ("0.99", "0.9", "0.5", "10"), _ROTARY, rotary(_base), named("rotary-base")),
    Kind(
        "rotary-base-dropped",
        "rotary",
        ("10000",),
        _off_common_base,
        _drop_base,
        named("rotary-base", "configuration"),
    ),
    Kind(
        "rotary-scaling-dropped",
        "rotary",
        ("all",),
        _scaled,
        _drop_scaling,
        named("rotary-base", "configuration"),
        silent=True,
    ),
    Kind("rotary-position", "rotary", ("+1", "-1"), _ROTARY, rotary(_position), named("position")),
    Kind("rotary-layout", "rotary", ("other",), _ROTARY, rotary(_layout), named("rotary-layout")),
    Kind("rotary-partial", "rotary", ("half",), _ROTARY, rotary(_partial), named("rotary-layout")),
    Kind("rotary-missing", "rotary", ("all",), _ROTARY, rotary(_still), named("rotary-layout")),
    # The pairs taken the other way round turn the other way: a matter of layout, too.
    Kind("rotary-backwards", "rotary", ("all",), _ROTARY, rotary(_backwards), named("rotary-layout")),
    Kind(
        "rotary-tables",
        "rotary",
        ("frequencies", "positions", "6"),
        _ROTARY,
        rotary(_low_precision),
        named("precision", "rotary-base", "position"),
        silent=True,
    ),
)
