"""How much of a module's error a hypothesis explains: correlation, slope, and what a correct engine would show.

Source: matched filter with row weights; the study's section on probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

# The least share of the error that may count as excess over the floor's.
_LEAST_EXCESS = 0.05


@dataclass(frozen=True)
class Match:
    """How one change of the answer fits the error, by one weighting of the rows.

    Attributes:
        weighting: index of the weighting.
        rho: correlation of error and change, -1 to 1; 0 where either is zero.
        beta: how many times the change is in the error, by least squares.
        rest: energy of the error without the change itself, as a share of the error's; not negative.
    """

    weighting: int
    rho: float
    beta: float
    rest: float


class Error:
    """The error of a module's answers, row by row.

    Rows are weighted by 1/|r|, once with rows of large error held down to the median (a few bad tokens do not hide
    what all others show), once without (what is wrong in a few tokens is not held down). Rows whose reference is
    zero, and rows with a non-finite element, do not count. Sums are float64.

    Args:
        given: the answers x, ``[N, W]``.
        expected: the reference r, ``[N, W]``.
    """

    def __init__(self, given: torch.Tensor, expected: torch.Tensor) -> None:
        error = given - expected
        power = _dots(expected, expected)
        energy = _dots(error, error)
        self.rows = torch.isfinite(energy) & torch.isfinite(power) & (power > 0)
        self._error = error[self.rows]
        energy, power = energy[self.rows], power[self.rows]
        self.relative = (energy / power).sqrt()
        self.median = float(self.relative.median()) if len(power) else 0.0
        held = torch.ones_like(power)
        if self.median:
            held = (self.median / self.relative).clamp(max=1.0)
        self._energy = energy
        self._weights = (held**2 / power, 1.0 / power)
        #: mean energy a row, one a weighting
        self.levels = tuple(float((weight * energy).mean()) if len(power) else 0.0 for weight in self._weights)

    def match(self, change: torch.Tensor) -> tuple[Match, ...] | None:
        """Return how a change of the answer, ``[N, W]``, fits, one a weighting; None where it is not finite."""
        change = change[self.rows]
        across, along = _dots(self._error, change), _dots(change, change)
        if not bool(torch.isfinite(along).all()):
            return None
        return tuple(self._match(number, across, along) for number in range(len(self._weights)))

    def _match(self, number: int, across: torch.Tensor, along: torch.Tensor) -> Match:
        weight = self._weights[number]
        energy, shared, power = (float((weight * dots).sum()) for dots in (self._energy, across, along))
        if not energy or not power:
            return Match(number, 0.0, 0.0, 1.0)
        rho = shared / (energy * power) ** 0.5
        rest = max((energy - 2 * shared + power) / energy, 0.0)
        return Match(number, rho, shared / power, rest)


def excess(error: Error, floors: Sequence[Error], weighting: int) -> float:
    """Return the share of the error's energy that is above the floors', 0.05 to 1; 1 without a floor."""
    level = error.levels[weighting]
    noise = max((floor.levels[weighting] for floor in floors), default=0.0)
    return max(1 - noise / level, _LEAST_EXCESS) if level else _LEAST_EXCESS


def above_floor(rho: float, floor_rho: float, error: Error, floors: Sequence[Error], weighting: int) -> float:
    """Return the correlation less what the floor's own error brings to it.

    The floor's projection on the change is subtracted in the units of this error: beside a large error it is little.
    """
    level = error.levels[weighting]
    noise = max((floor.levels[weighting] for floor in floors), default=0.0)
    return abs(rho) - floor_rho * min(noise / level, 1.0) ** 0.5 if level else 0.0


def rest_of_floor(rest: float, error: Error, floors: Sequence[Error], weighting: int) -> float | None:
    """Return what a hypothesis leaves of the error, a share, as a multiple of the floor's size; None without one."""
    noise = max((floor.levels[weighting] for floor in floors), default=0.0)
    return (error.levels[weighting] * rest / noise) ** 0.5 if noise else None


def _dots(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the product of each row of x with that of y, float64."""
    return (x * y).sum(dim=-1, dtype=torch.float64)
