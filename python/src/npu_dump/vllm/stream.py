"""The residual stream among what vLLM's modules are handed and return.

A layer is handed ``(hidden, residual)``, whose sum the stream is, and returns such a pair; the norms in front of its
blocks add up and norm in one kernel, which overwrites both. Some layers return a second tensor that is no part of the
stream (Cohere, EXAONE 4). Attention may write into an argument instead of returning anything.
"""

from __future__ import annotations

from typing import Any

import torch

from ..module_tree import first_tensor, with_first_tensor

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
# Where an argument is: its position, or its name.
_Place = int | str


def handed_tensors(args: tuple[Any, ...], kwargs: dict[str, Any], width: int) -> list[torch.Tensor]:
    """Return what a module is handed of the stream: a tensor, or the pair of hidden states and residual, or nothing.

    Args:
        args: of the call.
        kwargs: of the call.
        width: of the residual stream.
    """
    streams = [_at(args, kwargs, place) for place in _streams(args, kwargs, width)]
    return streams[:2] if len(streams) > 1 and streams[0].shape == streams[1].shape else streams[:1]


def returned_tensors(output: Any, kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """Return what a module returns of the stream, as `handed_tensors` does, or has written into its ``output``."""
    hidden = first_tensor(output)
    if hidden is None:
        written = kwargs.get("output")
        return [written] if isinstance(written, torch.Tensor) else []
    residual = _residual(output, hidden)
    return [hidden] if residual is None else [hidden, residual]


def stream_of(tensors: list[torch.Tensor], *, pair: bool) -> torch.Tensor | None:
    """Return the stream, None where there is none.

    Args:
        tensors: what a module is handed or returns of it.
        pair: whether two of them are to be added up.
    """
    if pair and len(tensors) > 1:
        return tensors[0] + tensors[1]
    return tensors[0] if tensors else None


def with_handed_stream(
    args: tuple[Any, ...], kwargs: dict[str, Any], width: int, stream: torch.Tensor, *, pair: bool
) -> Arguments:
    """Return the arguments of a layer with ``stream`` as its stream: ``(0, stream)`` where it is a pair."""
    hidden, *others = _streams(args, kwargs, width)
    if not others or not pair:
        return _put(args, kwargs, hidden, stream)
    args, kwargs = _put(args, kwargs, hidden, torch.zeros_like(stream))
    return _put(args, kwargs, others[0], stream)


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
