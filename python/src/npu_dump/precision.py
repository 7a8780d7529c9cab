"""Keeps a float64 model in float64 where its own code goes down to float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


def float64_throughout(model: nn.Module) -> AbstractContextManager[Any]:
    """Return a context in which a model whose parameters are float64 computes in nothing less.

    Models lift norms, rotary angles and softmax to float32, which is more than 16-bit formats have and less than
    float64 has: the result would have float32's error, and could judge no float32 run. What asks for float32 inside
    the context gets float64. Any other model is left alone.
    """
    parameter = next((value for value in model.parameters() if value.is_floating_point()), None)
    return _Float64() if parameter is not None and parameter.dtype == torch.float64 else nullcontext()


class _Float64(TorchFunctionMode):
    """Turns every mention of float32 in a call into float64."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        return func(*map(_lifted, args), **{name: _lifted(value) for name, value in (kwargs or {}).items()})


def _lifted(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
