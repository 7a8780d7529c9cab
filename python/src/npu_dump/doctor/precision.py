"""How many bits a product of matrices really has, and what theory says that it has.

The inputs are standard normal, rounded to the format; the reference is the float64 product of the very same inputs.
A product whose every element is rounded once, to p significant bits, is wrong by ``C · 2^-p`` of its norm, so

    effective bits = log2(C / (‖y - x‖ / ‖x‖))

is p: 8 for bfloat16, 11 for float16, where sums are kept in float32. C is the relative root mean square of rounding
errors of normal values whose standard deviation is a power of two, so K is a power of four. Sums kept in the format
itself lose more: partial sums grow as a random walk, whose K roundings come to √(K/2) of one
(N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2; the model of independent
roundings is that of section 2.8). Rounding both operands to p bits instead costs √2 of one rounding, half a bit:
10.5 bits for TF32, 11.5 for HF32, 7.5 for bfloat16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

# Rows, columns and K. A power of four, see above; large enough for the kernels that models use.
SIZE = 256

# Bits of the significand, the implied one included.
SIGNIFICAND = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}

# What float32 may be reduced to on its way into a product, by the bits of its mantissa.
REDUCED = {
    # CANN's documentation of allow_hf32: the range of float32, 11 bits of mantissa.
    "HF32": 11,
    # NVIDIA's A100 whitepaper: 8 bits of exponent, 10 of mantissa.
    "TF32": 10,
    "bfloat16": 7,
}

# A kernel sums in blocks, which loses less than the bound, or rounds a little more than once; a bit for both.
_SLACK = 1.0
# 65,536 roundings of one size scatter by far less; a second rounding of a share of the elements costs this much.
_ROUNDED_ONCE = 0.5


def _rounding_rms() -> float:
    """C: √(Σ_e 4^e · P(2^e ≤ |x| < 2^(e+1)) / 3) for standard normal x; an error is uniform in half a unit."""
    share = (
        4.0**e * (math.erf(2.0 ** (e + 1) / math.sqrt(2)) - math.erf(2.0**e / math.sqrt(2))) for e in range(-60, 6)
    )
    return math.sqrt(sum(share) / 3)


ROUNDING_RMS = _rounding_rms()


@dataclass(frozen=True)
class Expected:
    """What theory says of the effective bits of a product.

    Attributes:
        once: fewest bits where every element is rounded once, sums being kept in more.
        summed: fewest bits where the sums are kept in the format itself.
    """

    once: float
    summed: float


def expected(dtype: str) -> Expected:
    """Return the effective bits of a product of `SIZE` in a format."""
    bits = SIGNIFICAND[dtype]
    return Expected(bits - _ROUNDED_ONCE, bits - 0.5 * math.log2(SIZE / 2) - _SLACK)


def effective_bits(error: float) -> float:
    """Return the effective bits of a product by the norm of its error over that of the product; inf for none."""
    return math.inf if error == 0 else math.log2(ROUNDING_RMS / error)


def relative_error(product: torch.Tensor, reference: torch.Tensor) -> float:
    """Return ``‖product - reference‖ / ‖reference‖`` in float64; NaN where the product is not finite."""
    difference = product.double() - reference
    return float(difference.norm() / reference.norm())


def outliers(product: torch.Tensor, reference: torch.Tensor, magnitude: torch.Tensor, dtype: str) -> int:
    """Return how many elements lie beyond what any order of summation can do, sums being kept in the coarser format.

    The bound is Higham's, for each element: ``K·u / (1 - K·u) · (|A||B|)`` for the sums, and one rounding.

    Args:
        product: what the device gave.
        reference: the float64 product.
        magnitude: ``|A||B|``.
        dtype: the format; sums are taken to be kept in float32, or in float64 for float64.
    """
    u = 2.0 ** -SIGNIFICAND["float64" if dtype == "float64" else "float32"]
    # The float64 reference of a float64 product has the same error once more.
    summed = (2 if dtype == "float64" else 1) * SIZE * u / (1 - SIZE * u)
    # Below its normal numbers float16 errs by half its smallest subnormal, however small the value.
    least = 2.0**-25 if dtype == "float16" else 0.0
    bound = summed * magnitude + 2.0 ** -SIGNIFICAND[dtype] * reference.abs() * (1 + summed) + least
    return int(((product.double() - reference).abs() > bound).sum())


def rounded(values: torch.Tensor, mantissa: int, *, truncate: bool) -> torch.Tensor:
    """Return float32 values with only so many bits of mantissa, rounded to nearest even or towards zero."""
    drop = 23 - mantissa
    bits = values.contiguous().view(torch.int32)
    if not truncate:
        bits = bits + ((bits >> drop) & 1) + (1 << (drop - 1)) - 1
    return (bits & ~((1 << drop) - 1)).view(torch.float32)


def reduction(product: torch.Tensor, a: torch.Tensor, b: torch.Tensor, error: float) -> str | None:
    """Return the format that float32 operands were rounded to, where that explains the error; None: it does not.

    It explains it where the product of the rounded operands lies eight times closer than that of the operands.
    """
    for name, mantissa in REDUCED.items():
        for truncate in (False, True):
            parts = [rounded(side, mantissa, truncate=truncate).double() for side in (a, b)]
            if relative_error(product, parts[0] @ parts[1]) < error / 8:
                return name
    return None


def exact_error(product: torch.Tensor, a: torch.Tensor, b: torch.Tensor, rows: int = 16) -> float:
    """Return the relative error of a corner of a float64 product, against whole numbers that are summed exactly.

    Args:
        product: ``a @ b``.
        a: float64 with absolute values below 2^10.
        b: likewise.
        rows: rows and columns of the corner.
    """

    def whole(values: torch.Tensor) -> list[list[int]]:
        # The smallest float64 that randn gives is far above 2^-200.
        return [[int(math.ldexp(value, 250)) for value in row] for row in values.tolist()]

    left, right = whole(a[:rows]), whole(b[:, :rows].T)
    errors = norm = 0
    for i, row in enumerate(left):
        for j, column in enumerate(right):
            exact = sum(x * y for x, y in zip(row, column, strict=True))
            errors += (int(math.ldexp(float(product[i, j]), 500)) - exact) ** 2
            norm += exact**2
    # Of whole numbers too large for float64 the ratio is still one.
    return math.sqrt(errors / norm)
