"""The residual stream among what vLLM's modules are handed and return.

A layer is handed ``(hidden, residual)``, whose sum the stream is, and returns such a pair; the norms in front of its
blocks add up and norm in one kernel, which overwrites both. Attention may write into an argument instead of
returning anything.
"""

from __future__ import annotations

from typing import Any

import torch

from ..module_tree import first_tensor, with_first_tensor

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
# Where an argument is: its position, or its name.
_Place = int | str


def handed_stream(args: tuple[Any, ...], kwargs: dict[str, Any], width: int, *, pair: bool) -> torch.Tensor | None:
    """Return the stream that a module is handed, None where there is none.

    Args:
        args: of the call.
        kwargs: of the call.
        width: of the residual stream.
        pair: whether a second tensor of the same shape is the residual, as with layers and norms.
    """
    places = _streams(args, kwargs, width)
    if not places:
        return None
    hidden, *others = (_at(args, kwargs, place) for place in places)
    return hidden + others[0] if pair and others and others[0].shape == hidden.shape else hidden


def with_handed_stream(args: tuple[Any, ...], kwargs: dict[str, Any], width: int, stream: torch.Tensor) -> Arguments:
    """Return the arguments of a layer with ``stream`` as its stream: ``(0, stream)`` where it is a pair."""
    hidden, *others = _streams(args, kwargs, width)
    if not others:
        return _put(args, kwargs, hidden, stream)
    args, kwargs = _put(args, kwargs, hidden, torch.zeros_like(stream))
    return _put(args, kwargs, others[0], stream)


def returned_stream(output: Any, kwargs: dict[str, Any], *, pair: bool) -> torch.Tensor | None:
    """Return the stream that a module returns, or has written into its argument ``output``.

    Args:
        output: what it returned.
        kwargs: of the call.
        pair: whether a second tensor of the same shape is the residual, as with layers.
    """
    hidden = first_tensor(output)
    if hidden is None:
        written = kwargs.get("output")
        return written if isinstance(written, torch.Tensor) else None
    residual = _residual(output, hidden) if pair else None
    return hidden if residual is None else hidden + residual


def with_returned_stream(output: Any, kwargs: dict[str, Any], stream: torch.Tensor, *, pair: bool) -> Any:
    """Return a module's output with ``stream`` in the place of its stream: ``(0, stream)`` where it is a pair."""
    hidden = first_tensor(output)
    if hidden is None:
        kwargs["output"].copy_(stream)
        return None
    if pair and _residual(output, hidden) is not None:
        return (torch.zeros_like(stream), stream, *output[2:])
    return with_first_tensor(output, stream)


def _residual(output: Any, hidden: torch.Tensor) -> torch.Tensor | None:
    """Return the second tensor of a layer's output, where it is as large as the first."""
    second = output[1] if isinstance(output, tuple) and len(output) > 1 else None
    return second if isinstance(second, torch.Tensor) and second.shape == hidden.shape else None


def _streams(args: tuple[Any, ...], kwargs: dict[str, Any], width: int) -> list[_Place]:
    """Return the places of the tensors that are as wide as the stream; positions and the like are passed over."""
    return [
        place
        for place, value in [*enumerate(args), *kwargs.items()]
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim and value.shape[-1] == width
    ]


def _at(args: tuple[Any, ...], kwargs: dict[str, Any], place: _Place) -> torch.Tensor:
    return args[place] if isinstance(place, int) else kwargs[place]


def _put(args: tuple[Any, ...], kwargs: dict[str, Any], place: _Place, value: torch.Tensor) -> Arguments:
    if isinstance(place, int):
        return (*args[:place], value, *args[place + 1 :]), kwargs
    return args, kwargs | {place: value}
