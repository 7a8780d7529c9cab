"""Exponentials as vector units compute them: a cubic in float32, good to 1.1e-4, a 20th of bf16's rounding.

The coefficients are the least-maximum fit of 2^x on [0, 1) by a cubic that is exact at both ends; activations follow
from it: sigmoid(x) = 1 / (1 + exp(-x)), tanh(x) = 2 sigmoid(2x) - 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everyone calls it

from .attention import Attention

# 2^x on [0, 1) = 1 + x (a + x (b + c x)).
_CUBIC = (0.695424, 0.226308, 0.078268)


def exponential(x: torch.Tensor) -> torch.Tensor:
    """Return exp(x) of float32, within 1.1e-4 of it; 0 below -87."""
    scaled = (x.clamp(-87.0, 88.0) * math.log2(math.e)).double()
    whole = scaled.floor()
    part = (scaled - whole).float()
    a, b, c = _CUBIC
    return torch.ldexp(1 + part * (a + part * (b + c * part)), whole.int()) * (x >= -87.0)


def sigmoid(x: torch.Tensor) -> torch.Tensor:
    """Return sigmoid(x) with that exponential, computed in float32 and rounded once."""
    return (1 / (1 + exponential(-x.float()))).to(x.dtype)


def silu(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Return x sigmoid(x), rounded once."""
    wide = x.float()
    return (wide * sigmoid(wide)).to(x.dtype)


def gelu_tanh(x: torch.Tensor, *_: Any, approximate: str = "none", **__: Any) -> torch.Tensor:
    """Return gelu(x), of its approximation by tanh, rounded once; the exact one as torch computes it."""
    wide = x.float()
    if approximate != "tanh":
        return F.gelu(wide).to(x.dtype)
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
    return (wide * sigmoid(2 * inner)).to(x.dtype)


FLASH = Attention(exponential=exponential)
FUNCTIONS = (
    (F.silu, silu),
    (F.gelu, gelu_tanh),
    (torch.sigmoid, sigmoid),
    (torch.Tensor.sigmoid, sigmoid),
)
