"""How large a statistic of correct engines gets more seldom than was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import linregress

# The share of values that makes the tail, and the fewest that do.
TAIL = 0.1
LEAST = 10
# Tails no lighter than exponential, and none without a finite variance.
SHAPES = (0.0, 0.5)


def tail_quantile(values: Sequence[float], rate: float) -> float:
    """The value that a share `rate` of comparisons exceeds, by a generalised Pareto tail through the largest tenth.

    Peaks over a threshold, by probability-weighted moments (Hosking and Wallis 1987), the shape kept in 0 ... 0.5. At
    least `LEAST` values make the tail. Never below the largest value, which is all that is known of fewer values,
    with an infinite one, or at a rate above the tail's share.
    """
    known = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    count = max(LEAST, math.floor(TAIL * known.size))
    if known.size <= count or not math.isfinite(known[0]) or rate >= count / known.size:
        return float(known[0])
    excess = known[:count] - known[count]
    mean = float(excess.mean())
    if mean == 0:
        return float(known[0])
    # Descending: the i-th largest has a share (i + 0.35) / n above it, i from 0.
    weighted = float(np.mean(excess * (np.arange(count) + 0.35) / count))
    shape = min(max(2 - mean / (mean - 2 * weighted), SHAPES[0]), SHAPES[1]) if mean > 2 * weighted else SHAPES[1]
    # The mean of the distribution is kept whatever the shape.
    scale = mean * (1 - shape)
    times = math.log(count / known.size / rate)
    beyond = scale * (times if shape == 0 else math.expm1(shape * times) / shape)
    return max(float(known[0]), float(known[count]) + beyond)


@dataclass(frozen=True)
class Growth:
    """A power law: the factor of a value when the size grows tenfold, known to a factor of `error` either way."""

    factor: float
    error: float

    def __str__(self) -> str:
        return f"{self.factor:.2f}" if math.isnan(self.error) else f"{self.factor:.2f} */ {self.error:.2f}"


def growth(sizes: Sequence[float], values: Sequence[float]) -> Growth | None:
    """Growth of `values` with `sizes` by least squares of the logarithms; None where sizes are all alike."""
    pairs = [(math.log10(s), math.log10(v)) for s, v in zip(sizes, values, strict=True) if 0 < v < math.inf]
    if len({size for size, _ in pairs}) < 2 or len(pairs) < 3:
        return None
    slope, _, _, _, error = linregress([size for size, _ in pairs], [value for _, value in pairs])
    return Growth(10**slope, 10**error)
