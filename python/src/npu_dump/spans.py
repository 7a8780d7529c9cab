"""Time in which at least one of several things was under way."""

from __future__ import annotations

import math
from collections.abc import Iterable


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return how much time at least one of the spans (begin, end) covers; 0 without a span."""
    total, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total
