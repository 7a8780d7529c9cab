"""Faults of blocks that keep a state instead of keys and values: convolution, decay, skip."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from .fault import Kind, Place
from .patch import reweighted
from .structure import Block, block_at, blocks_where

_CONVOLUTIONS = ("conv1d", "conv")


def _convolution(block: Block) -> Any:
    modules = (getattr(block.module, name, None) for name in _CONVOLUTIONS)
    return next((module for module in modules if isinstance(module, nn.Conv1d)), None)


def _on_taps(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of the convolution's weight, ``[channels, 1, taps]``."""

    def apply(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
        return reweighted(_convolution(block_at(model, place)), "weight", change)

    return apply


def _owner_of_bias(block: Block) -> tuple[Any, str] | None:
    if isinstance(getattr(block.module, "dt_bias", None), nn.Parameter):
        return block.module, "dt_bias"
    linear = getattr(block.module, "dt_proj", None)
    return (linear, "bias") if getattr(linear, "bias", None) is not None else None


def _no_step_bias(model: Any, place: Place, _severity: str) -> AbstractContextManager[Any]:
    found = _owner_of_bias(block_at(model, place))
    assert found is not None
    return reweighted(*found, torch.zeros_like)


def _with(name: str) -> Callable[[Any, str], list[Place]]:
    return blocks_where(lambda block: isinstance(getattr(block.module, name, None), nn.Parameter), "attn")


def _set(name: str, change: Callable[[torch.Tensor, float], torch.Tensor]) -> Callable[..., Any]:
    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        return reweighted(block_at(model, place).module, name, lambda value: change(value, float(severity)))

    return apply


_CONVOLVING = blocks_where(_convolution, "attn")

KINDS = (
    Kind("taps-reversed", "recurrent", ("all",), _CONVOLVING, _on_taps(lambda w: w.flip(-1))),
    Kind("taps-shifted", "recurrent", ("1",), _CONVOLVING, _on_taps(lambda w: w.roll(1, -1))),
    Kind("step-bias-missing", "recurrent", ("all",), blocks_where(_owner_of_bias, "attn"), _no_step_bias),
    # The decay is exp(-exp(A_log) …): an offset of A_log is a factor of the rate.
    Kind("decay-rate", "recurrent", ("0.05", "0.5"), _with("A_log"), _set("A_log", lambda value, by: value + by)),
    Kind("skip-missing", "recurrent", ("0",), _with("D"), _set("D", lambda value, by: value * by)),
)
