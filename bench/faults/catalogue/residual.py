"""Faults of the residual sum: its factor, what is added, and the precision that the stream is kept in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from .fault import Fault, Kind, Place, named
from .numbers import rms, rounded, work
from .patch import on_call, on_output, replaced
from .structure import every_layer, layers_of


def _on_layer(change: Callable[[torch.Tensor, str], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of the stream after a layer, ``[B, T, H]``."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        layer = layers_of(model)[_index(place)]
        return on_output(layer, lambda x: change(x, severity).to(x.dtype))

    return apply


def _index(place: Place) -> int:
    assert place.layer is not None
    return place.layer


def _with_factor(model: Any, _severity: str) -> list[Place]:
    layers = enumerate(layers_of(model))
    return [Place(i, f"layers.{i}") for i, layer in layers if getattr(layer, "residual_multiplier", 1.0) != 1.0]


def _other_factor(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
    layer = layers_of(model)[_index(place)]
    factor = 1.0 if severity == "missing" else layer.residual_multiplier * float(severity)
    return replaced(layer, "residual_multiplier", factor)


def factor_over_right(fault: Fault, model: Any, place: Place) -> float:
    """Return the factor of a layer's residual sum with a fault over the right one: 1 where the fault leaves it."""
    layers = layers_of(model)
    right = None if place.layer is None else getattr(layers[place.layer], "residual_multiplier", None)
    if place.layer is None or not right:
        return 1.0
    with fault.apply(model, place):
        return layers[place.layer].residual_multiplier / right


def _on_stream(model: Any, place: Place, change: Callable[[Any, Any], torch.Tensor]) -> AbstractContextManager[Any]:
    """Put ``change(after, before)`` of the stream in place of a layer's output."""

    def faulty(args: tuple[Any, ...], kwargs: dict[str, Any], after: Any) -> Any:
        # What the layer was given in the end: a replay may have put it there.
        before = args[0] if args else kwargs["hidden_states"]
        # Some layers give their attention's weights too.
        stream, *others = after if isinstance(after, tuple) else (after,)
        changed = change(stream, before).to(stream.dtype)
        return (changed, *others) if isinstance(after, tuple) else changed

    return on_call(layers_of(model)[_index(place)], faulty)


def _layer_skipped(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return _on_stream(model, place, lambda _after, before: before)


def _stream_missing(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return _on_stream(model, place, lambda after, before: work(after) - work(before))


def _added_twice(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    return _on_stream(model, place, lambda after, before: 2 * work(after) - work(before))


def _offset(x: torch.Tensor, severity: str) -> torch.Tensor:
    return work(x) + float(severity) * rms(x).median()


KINDS = (
    Kind(
        "residual-factor",
        "residual",
        ("missing", "1.02"),
        _with_factor,
        _other_factor,
        named("scale"),
        beside=("mlp",),
    ),
    Kind("layer-skipped", "residual", ("all",), every_layer, _layer_skipped, named("skipped")),
    Kind("stream-missing", "residual", ("all",), every_layer, _stream_missing, named("skipped")),
    Kind("blocks-doubled", "residual", ("2",), every_layer, _added_twice, named("scale")),
    Kind(
        "stream-gain",
        "residual",
        ("1.005", "1.02"),
        every_layer,
        _on_layer(lambda x, s: work(x) * float(s)),
        named("scale"),
    ),
    Kind("stream-offset", "residual", ("0.01",), every_layer, _on_layer(_offset), named("bias")),
    Kind(
        "stream-bits",
        "residual",
        ("7", "6"),
        every_layer,
        _on_layer(lambda x, s: rounded(x, int(s))),
        named("bits", "precision"),
    ),
    Kind(
        "stream-cut-off",
        "residual",
        ("7",),
        every_layer,
        _on_layer(lambda x, s: rounded(x, int(s), truncate=True)),
        named("bits", "precision"),
    ),
)
