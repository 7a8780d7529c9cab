"""Statistics of one tensor, in one cache-sized pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .contract import DType

# 32 Ki float64 values are 256 KiB: a block and its conversion stay in the second-level cache.
_BLOCK = 32 * 1024


def tensor_stats(data: np.ndarray, dtype: DType) -> dict[str, Any]:
    """Return ``min max mean rms`` over the finite values and the numbers of ``nan posinf neginf``.

    Every element is converted exactly to float64 and accumulated in float64, pairwise within a block. Where squares
    of F64 values would overflow or vanish, they are scaled by a power of two. Without any finite value the first
    four are None.

    Args:
        data: the tensor's bytes, one-dimensional uint8.
        dtype: what the bytes are.
    """
    low, high, scale = np.inf, -np.inf, 1.0
    total = squares = 0.0
    count = nan = posinf = neginf = 0
    if dtype.name == "F64":
        scale = _scale(data.view(np.float64))
    for values in _blocks(data, dtype):
        if scale != 1.0:
            values *= scale
        with np.errstate(invalid="ignore"):  # Inf - Inf is NaN, which is what we look for
            subtotal = float(values.sum())
        if dtype.floating and not math.isfinite(subtotal):
            nan += int(np.isnan(values).sum())
            posinf += int(np.isposinf(values).sum())
            neginf += int(np.isneginf(values).sum())
            values = values[np.isfinite(values)]
            subtotal = float(values.sum())
        if values.size:
            low = min(low, float(values.min()))
            high = max(high, float(values.max()))
            total += subtotal
            squares += float(np.einsum("i,i->", values, values))
            count += values.size
    counts = {"nan": nan, "posinf": posinf, "neginf": neginf}
    if not count:
        return {"min": None, "max": None, "mean": None, "rms": None, **counts}
    summary = {"min": low, "max": high, "mean": total / count, "rms": math.sqrt(squares / count)}
    return {name: value / scale for name, value in summary.items()} | counts


def device_stats(tensor: Any) -> dict[str, Any]:
    """Return `tensor_stats` of a torch tensor."""
    from .tensor import host_tensor

    host = host_tensor(tensor)
    return tensor_stats(host.data, host.dtype)


def _scale(values: np.ndarray) -> float:
    """Return the power of two that brings the largest finite magnitude near 1 where its square is out of range."""
    largest = max((float(np.abs(part[np.isfinite(part)]).max(initial=0.0)) for part in _split(values)), default=0.0)
    if not largest or 1e-140 < largest < 1e140:
        return 1.0
    # Powers beyond 1000 leave float64 themselves; what is left of the magnitude does no harm.
    return 2.0 ** min(max(-math.frexp(largest)[1], -1000), 1000)


def _split(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, values.size, _BLOCK):
        yield values[start : start + _BLOCK]


def _blocks(data: np.ndarray, dtype: DType) -> Iterator[np.ndarray]:
    """Yield the values as writable float64 blocks, which the next step overwrites."""
    buffer = np.empty(_BLOCK)
    for part in _split(data.view(f"u{dtype.itemsize}") if dtype.numpy is None else data.view(dtype.numpy)):
        values = buffer[: part.size]
        if dtype.name == "BF16":
            # bfloat16 is the upper half of float32.
            values[:] = np.left_shift(part, 16, dtype=np.uint32).view(np.float32)
        elif dtype.name in _F8:
            np.take(_F8[dtype.name], part, out=values)
        else:
            values[:] = part
        yield values


def _float8(exponent_bits: int, *, ieee: bool) -> np.ndarray:
    """Return the value of each of the 256 codes of an 8-bit float.

    E5M2 follows IEEE 754; E4M3 ("fn") has no infinity and a single NaN pattern, which buys one more binade.
    """
    mantissa_bits = 7 - exponent_bits
    codes = np.arange(256)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    bias = (1 << (exponent_bits - 1)) - 1
    values = np.where(exponent == 0, np.ldexp(mantissa, 1 - bias), np.ldexp(1 + mantissa, exponent - bias))
    if ieee:
        top = exponent == (1 << exponent_bits) - 1
        values[top] = np.where(mantissa[top] == 0, np.inf, np.nan)
    else:
        values[(codes & 0x7F) == 0x7F] = np.nan
    return np.where(codes & 0x80, -values, values)


_F8 = {"F8_E4M3": _float8(4, ieee=False), "F8_E5M2": _float8(5, ieee=True)}
