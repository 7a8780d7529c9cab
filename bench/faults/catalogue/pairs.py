"""Two independent faults at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .fault import Fault, Place, lot

_APART = 2


@dataclass(frozen=True)
class Pair:
    """Two faults of different kinds, the first in an earlier layer.

    Attributes:
        faults: both, in the order of a forward.
        places: theirs.
    """

    faults: tuple[Fault, Fault]
    places: tuple[Place, Place]

    @contextmanager
    def apply(self, model: Any) -> Iterator[None]:
        """Put both into a model, and take both out."""
        first, second = self.faults
        with first.apply(model, self.places[0]), second.apply(model, self.places[1]):
            yield


def pairs_of(faults: list[Fault], model: Any, seed: int, count: int) -> list[Pair]:
    """Return pairs of faults that fit a model, at least two layers apart, always the same for the same seed.

    Left out are faults of decode steps, those that may show nothing, and values that are not finite, which leave
    nothing to compare behind them.

    Args:
        faults: to choose from.
        model: whose places are looked at; one on ``meta`` will do.
        seed: of the choice.
        count: how many; fewer where the model does not have as many.
    """
    fitting = [
        (fault, place)
        for fault in faults
        if not (fault.decode or fault.silent) and "cause/non-finite" not in fault.causes
        for place in fault.places(model)
        if place.layer is not None
    ]
    by_kind: dict[str, list[tuple[Fault, Place]]] = defaultdict(list)
    for fault, place in fitting:
        by_kind[fault.kind].append((fault, place))
    kinds = sorted(by_kind)
    found: list[Pair] = []
    # By kind first: one that fits many places must not crowd out the others.
    for draw in range(20 * count):
        if len(found) == count or len(kinds) < 2:
            break
        names = sorted(kinds, key=lambda kind: lot(seed, draw, kind))[:2]
        first, second = (by_kind[name][lot(seed, draw, name, "place") % len(by_kind[name])] for name in names)
        if (second[1].layer or 0) - (first[1].layer or 0) >= _APART:
            found.append(Pair((first[0], second[0]), (first[1], second[1])))
    return found
