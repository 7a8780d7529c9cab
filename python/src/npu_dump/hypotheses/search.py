"""Finds where one hypothesis fits best: its starts, what they point at, then a search between the best two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .change import Hypothesis
from .correlation import Match

_GOLDEN = 0.618033988749895
_STEPS = 14
# A bracket this narrow, as a share of the coordinate, is an answer.
_NARROW = 0.005

Try = Callable[[float], "tuple[Match, ...] | None"]


@dataclass(frozen=True)
class Found:
    """A coordinate, and how well the change there fits."""

    at: float
    match: Match


def scan(hypothesis: Hypothesis, attempt: Try) -> Found | None:
    """Return the best of the starts, by the correlation; None where none changes anything.

    Args:
        hypothesis: what is tried.
        attempt: how the change at a coordinate fits; None where the model gives nothing finite there.
    """
    found: Found | None = None
    for start in hypothesis.starts:
        for match in attempt(start) or ():
            here = Found(start, match)
            if match.rho and (found is None or strength(hypothesis, here) > strength(hypothesis, found)):
                found = here
    return found


def strength(hypothesis: Hypothesis, found: Found) -> float:
    """Return the correlation as far as it speaks for the hypothesis: of a size, either direction does."""
    return abs(found.match.rho) if hypothesis.kind == "size" else found.match.rho


def refine(hypothesis: Hypothesis, found: Found, attempt: Try) -> Found:
    """Return the coordinate that leaves least of the error, near what was found and where it points to."""
    if hypothesis.kind == "choice":
        return found
    tried: dict[float, Match] = {}

    def rest(at: float) -> float:
        at = float(round(at)) if hypothesis.kind == "whole" else at
        if at not in tried:
            matches = attempt(at)
            if matches is None:
                return float("inf")
            tried[at] = matches[found.match.weighting]
        return tried[at].rest

    low, high = _bracket(hypothesis, found, rest)
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    for _ in range(_STEPS):
        if high - low <= _narrow(hypothesis, low, high):
            break
        if rest(inner) <= rest(outer):
            high, outer = outer, inner
            inner = high - _GOLDEN * (high - low)
        else:
            low, inner = inner, outer
            outer = low + _GOLDEN * (high - low)
    if not tried:
        return found
    best = min(tried, key=lambda at: tried[at].rest)
    return Found(best, tried[best])


def _narrow(hypothesis: Hypothesis, low: float, high: float) -> float:
    return 1.0 if hypothesis.kind == "whole" else _NARROW * max(abs(low), abs(high))


def _bracket(hypothesis: Hypothesis, found: Found, rest: Callable[[float], float]) -> tuple[float, float]:
    """Return two coordinates about the best one that is known."""
    least, most = hypothesis.bounds

    def inside(at: float) -> float:
        return min(max(at, least), most)

    known = {inside(start) for start in hypothesis.starts}
    if hypothesis.kind == "size":
        known |= {0.0, inside(found.match.beta * found.at)}
    best = min(known, key=lambda at: 1.0 if at == 0 else rest(at))
    lower = max((at for at in known if at < best), default=inside(best - abs(best)))
    upper = min((at for at in known if at > best), default=inside(best + abs(best)))
    return lower, upper
