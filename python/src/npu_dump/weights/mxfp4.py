"""MXFP4 as the OCP Microscaling Formats specification, version 1.0, defines it."""

from __future__ import annotations

import torch

BLOCK = 32
# Blocks that are decoded at once: 64 MiB of indices.
_AT_ONCE = 1 << 18


def decode(blocks: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the values of MXFP4 numbers.

    An element is E2M1: a sign bit, two exponent bits with bias 1, a mantissa bit; no NaN, no infinity. A scale is
    E8M0: 2**(s - 127), and s = 255 is NaN, which makes its whole block NaN. A block has 32 elements; a byte holds two
    of them, the first in its low four bits. Products are made in float32, where they are exact from 2**-149 up to its
    largest number, and then cast; bfloat16 holds them all from 2**-133.

    Args:
        blocks: uint8 ``[…, G, 16]``.
        scales: uint8 ``[…, G]``.
        dtype: floating point, of the result.

    Returns:
        ``[…, G * 32]``.

    Raises:
        ValueError: dtypes or shapes do not belong together.
    """
    if blocks.dtype != torch.uint8 or scales.dtype != torch.uint8:
        raise ValueError("MXFP4 blocks and scales are bytes")
    if blocks.shape[-1:] != (BLOCK // 2,) or blocks.shape[:-1] != scales.shape:
        raise ValueError(f"MXFP4 blocks {list(blocks.shape)} do not belong to scales {list(scales.shape)}")
    values = torch.tensor([_element(code) for code in range(16)])
    factors = torch.tensor([2.0 ** (code - 127) for code in range(255)] + [float("nan")])
    bytes_, codes = blocks.reshape(-1, BLOCK // 2), scales.reshape(-1)
    result = torch.empty(len(codes), BLOCK, dtype=dtype)
    for start in range(0, len(codes), _AT_ONCE):
        part = bytes_[start : start + _AT_ONCE].to(torch.int32)
        elements = values[torch.stack((part & 0xF, part >> 4), dim=-1).flatten(-2)]
        result[start : start + _AT_ONCE] = elements * factors[codes[start : start + _AT_ONCE].to(torch.int32), None]
    return result.reshape(*scales.shape[:-1], -1)


def _element(code: int) -> float:
    """Return the value of an E2M1 code."""
    sign, exponent, mantissa = code >> 3, (code >> 1) & 3, code & 1
    magnitude = mantissa / 2 if exponent == 0 else (1 + mantissa / 2) * 2.0 ** (exponent - 1)
    return -magnitude if sign else magnitude
