"""Counts out of a number of trials, and what they say of the share behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import binomtest


@dataclass(frozen=True)
class Count:
    """`hits` of `trials`."""

    hits: int
    trials: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> Count:
        """Count the outcomes that are true."""
        every = list(outcomes)
        return cls(sum(every), len(every))

    def __str__(self) -> str:
        return f"{self.hits}/{self.trials}"

    @property
    def share(self) -> float | None:
        """hits / trials; None without trials."""
        return self.hits / self.trials if self.trials else None

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Exact interval of the share (Clopper and Pearson 1934); 0 to 1 without trials."""
        if not self.trials:
            return 0.0, 1.0
        found = binomtest(self.hits, self.trials).proportion_ci(confidence, method="exact")
        return float(found.low), float(found.high)

    @property
    def percent(self) -> str:
        """The share in percent, `-` without trials."""
        return "-" if self.share is None else f"{100 * self.share:.1f}"

    @property
    def bounds(self) -> str:
        """The 95 % interval in percent."""
        low, high = self.interval()
        return f"{100 * low:.1f}-{100 * high:.1f}" if self.trials else "-"
