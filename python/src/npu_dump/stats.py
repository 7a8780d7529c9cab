"""Statistics of one tensor in host memory, in one cache-sized pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .contract import DType

# Values are added plainly within a row; a block of rows in float64 stays in the second-level cache.
_ROW = 1024
_BLOCK = 64 * _ROW
# Squares that vanish are smaller than the smallest normal number: too small to matter beside a mean square of this.
_SMALLEST = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Moments:
    """What the statistics of a tensor are made of.

    Attributes:
        count: the number of finite values.
        low: the smallest of them; Inf where there is none.
        high: the largest; -Inf where there is none.
        total: their sum, each times ``scale``.
        squares: the sum of their squares, each value times ``scale``.
        scale: a power of two.
        nan: the number of NaN.
        posinf: the number of Inf.
        neginf: the number of -Inf.
    """

    count: int
    low: float
    high: float
    total: float
    squares: float
    scale: float = 1.0
    nan: int = 0
    posinf: int = 0
    neginf: int = 0

    def statistics(self) -> dict[str, Any]:
        """Return ``min max mean rms``, each None where no value is finite, and ``nan posinf neginf``."""
        found: dict[str, Any] = dict.fromkeys(("min", "max", "mean", "rms"))
        if self.count:
            mean, rms = self.total / self.count, math.sqrt(self.squares / self.count)
            found = {"min": self.low, "max": self.high, "mean": mean / self.scale, "rms": rms / self.scale}
        return found | {"nan": self.nan, "posinf": self.posinf, "neginf": self.neginf}


def tensor_stats(data: np.ndarray, dtype: DType) -> dict[str, Any]:
    """Return ``min max mean rms`` over the finite values and the numbers of ``nan posinf neginf``.

    Extremes and numbers are exact. Every element is converted exactly to float64 (64-bit integers are rounded) and
    added in float64, plainly over rows of 1024: the mean is within 1.2e-13 of the mean magnitude, rms within 1.2e-13
    of itself. Where squares of F64 values would overflow or vanish, they are scaled by a power of two. Without any
    finite value the first four are None.

    Args:
        data: the tensor's bytes, one-dimensional uint8.
        dtype: what the bytes are.
    """
    values = data.view(f"u{dtype.itemsize}") if dtype.numpy is None else data.view(dtype.numpy)
    found = _moments(values, dtype, 1.0)
    if dtype.name == "F64" and found.count and not found.count * _SMALLEST <= found.squares < math.inf:
        exponent = math.frexp(max(-found.low, found.high))[1]
        # Powers beyond 1000 leave float64 themselves; what is left of the magnitude does no harm.
        found = _moments(values, dtype, 2.0 ** min(max(-exponent, -1000), 1000))
    return found.statistics()


def _moments(values: np.ndarray, dtype: DType, scale: float) -> Moments:
    lows, highs, totals, squares = [math.inf], [-math.inf], [0.0], [0.0]
    nan = posinf = neginf = 0
    buffer = np.empty(min(_BLOCK, -(-values.size // _ROW) * _ROW))
    for start in range(0, values.size, _BLOCK):
        part = values[start : start + _BLOCK]
        wide = buffer[: part.size]
        _widen(part, dtype, wide)
        low, high = _extremes(part, dtype)
        if not (math.isfinite(low) and math.isfinite(high)):
            nan += int(np.isnan(wide).sum())
            posinf += int(np.isposinf(wide).sum())
            neginf += int(np.isneginf(wide).sum())
            finite = np.isfinite(wide)
            low, high = wide.min(initial=math.inf, where=finite), wide.max(initial=-math.inf, where=finite)
            wide[~finite] = 0.0
        lows.append(float(low))
        highs.append(float(high))
        # The rest of the last row is zero, which adds nothing.
        buffer[part.size :] = 0.0
        if scale != 1.0:
            wide *= scale
        rows = buffer[: -(-part.size // _ROW) * _ROW].reshape(-1, _ROW)
        totals.append(float(np.einsum("ij->i", rows).sum()))
        with np.errstate(over="ignore"):  # F64 alone can; the caller sees it
            # As many products of a row and a column: BLAS multiplies them one after the other, on this thread.
            squares.append(float(np.matmul(rows[:, None, :], rows[:, :, None]).sum()))
    return Moments(
        count=values.size - nan - posinf - neginf,
        low=min(lows),
        high=max(highs),
        total=math.fsum(totals),
        squares=math.fsum(squares),
        scale=scale,
        nan=nan,
        posinf=posinf,
        neginf=neginf,
    )


def _extremes(part: np.ndarray, dtype: DType) -> tuple[float, float]:
    """Return minimum and maximum; one of them is not finite where any value is not.

    The codes of floating-point numbers are ordered by magnitude within each sign, infinity and then NaN last. So
    the largest of a sign is its largest code; as signed integers, codes with the sign bit come before the others, as
    unsigned ones after them. Integers are compared many times faster than 16-bit floats.
    """
    if not dtype.floating:
        return part.min(), part.max()
    unsigned, signed = part.view(f"u{dtype.itemsize}"), part.view(f"i{dtype.itemsize}")
    low, high = unsigned.max(), signed.max()
    if high < 0:  # negative numbers alone: the maximum is the smallest in magnitude
        high = signed.min()
    if low.view(signed.dtype) >= 0:  # positive numbers alone
        low = unsigned.min()
    pair = np.empty(2)
    _widen(np.array([low, high.view(unsigned.dtype)]).view(part.dtype), dtype, pair)
    return pair[0], pair[1]


def _widen(part: np.ndarray, dtype: DType, out: np.ndarray) -> None:
    """Convert to float64."""
    if dtype.name == "BF16":
        # bfloat16 is the upper half of float32.
        np.copyto(out, np.left_shift(part, 16, dtype=np.uint32).view(np.float32))
    elif dtype.name in _F8:
        np.take(_F8[dtype.name], part, out=out)
    else:
        np.copyto(out, part)


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
