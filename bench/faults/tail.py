"""How large a statistic of correct engines gets more seldom than was seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import linregress, norm

# The share of values that makes the tail, and the fewest that do.
TAIL = 0.1
LEAST = 10


def pareto_quantile(values: Sequence[float], rate: float) -> float:
    """The value that a share `rate` of comparisons exceeds, by a Pareto tail through the largest tenth.

    Hill's estimator: the mean logarithm of the excess over the tail's threshold is the tail's index, which is a
    generalised Pareto distribution of shape 0 in the logarithm. At least `LEAST` values make the tail; with fewer,
    values that are not positive, or any infinite one, the largest value is returned.
    """
    known = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    count = max(LEAST, math.floor(TAIL * known.size))
    if known.size <= count or not math.isfinite(known[0]) or known[count] <= 0:
        return float(known[0])
    index = float(np.mean(np.log(known[:count] / known[count])))
    return float(known[count] * (count / known.size / rate) ** index)


def lognormal_quantile(values: Sequence[float], rate: float) -> float:
    """The same by a log-normal distribution of all positive finite values; NaN with fewer than two."""
    logs = np.log([value for value in values if 0 < value < math.inf])
    return float(np.exp(logs.mean() + logs.std(ddof=1) * norm.isf(rate))) if logs.size > 1 else math.nan


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
