"""The catalogue of porting faults. `FAULTS` is all of them, `pairs` two at a time."""

from __future__ import annotations

from . import (
    attention,
    cache,
    experts,
    head,
    memory,
    mlp,
    norm,
    precision,
    quantised,
    recurrent,
    residual,
    rotary,
    weights,
)
from .fault import Fault, Half, Kind, Place, faults_of
from .pairs import Pair, pairs_of

__all__ = ["FAULTS", "KINDS", "Fault", "Half", "Kind", "Pair", "Place", "pairs"]

_FAMILIES = (
    attention,
    rotary,
    norm,
    mlp,
    experts,
    weights,
    quantised,
    memory,
    cache,
    head,
    residual,
    precision,
    recurrent,
)
KINDS: list[Kind] = [kind for family in _FAMILIES for kind in family.KINDS]
FAULTS: list[Fault] = faults_of(KINDS)


def pairs(model: object, half: Half, seed: int, count: int) -> list[Pair]:
    """Return ``count`` pairs of faults of a model that are independent of each other; see `pairs_of`."""
    return pairs_of([fault for fault in FAULTS if fault.half == half], model, seed, count)
