"""What a fault is: a mistake of a port that can be put into a model at one place, and taken out again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

Half = Literal["calibrate", "report"]
SEED = 20261
ALL = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Place:
    """Where a fault is put.

    Attributes:
        layer: decoder layer; None outside the layers, and for a fault of the whole model.
        module: canonical name of the tensor whose own error must show it; of a fault of the whole model the first.
    """

    layer: int | None
    module: str

    @property
    def systematic(self) -> bool:
        """Whether the fault is in every layer that it fits."""
        return self.layer is None and self.module.startswith("layers.")


@dataclass(frozen=True)
class Kind:
    """A sort of fault with its severities.

    Attributes:
        name: of the kind; the severity is told apart from it.
        group: family.
        severities: at least one; what each means is the kind's own affair.
        places: places of a model for one severity; empty where the kind does not fit.
        apply: makes the context manager in which a model has the fault.
        causes: ids of the causes that name it rightly; empty where no rule and no probe can.
        silent: may leave every number as it was, on some weights or inputs.
        decode: shows at decode steps alone.
        beside: roles whose own error may show it too, in the same layer.
        dtypes: precisions of the candidate that can have it.
        besides: further causes that name one severity rightly, by severity.
    """

    name: str
    group: str
    severities: tuple[str, ...]
    places: Callable[[Any, str], list[Place]]
    apply: Callable[[Any, Place, str], AbstractContextManager[Any]]
    causes: frozenset[str] = frozenset()
    silent: bool = False
    decode: bool = False
    beside: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ALL
    besides: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """One severity of a kind; its attributes are the kind's.

    ``places(model)`` lists where it applies, and reads no weights: a model on ``meta`` will do.
    ``apply(model, place)`` returns a context manager: inside it the model computes with the fault, in any floating
    dtype; after it the model is what it was, bit for bit. Enter it after any engine: it wraps the kernels it finds.
    """

    kind: str
    severity: str
    group: str
    causes: frozenset[str]
    half: Half
    places: Callable[[Any], list[Place]]
    apply: Callable[[Any, Place], AbstractContextManager[Any]]
    silent: bool = False
    decode: bool = False
    beside: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ALL


def named(*causes: str) -> frozenset[str]:
    """Return the ids of causes by their last parts."""
    return frozenset(f"cause/{cause}" for cause in causes)


def faults_of(kinds: Iterable[Kind]) -> list[Fault]:
    """Return every severity of every kind, the kinds split into halves by `SEED`, each family into both."""
    kinds = list(kinds)
    halves = _halves(kinds)
    return [
        Fault(
            kind=kind.name,
            severity=severity,
            group=kind.group,
            causes=kind.causes | kind.besides.get(severity, frozenset()),
            half=halves[kind.name],
            places=partial(_places, kind, severity),
            apply=partial(_apply, kind, severity),
            silent=kind.silent,
            decode=kind.decode,
            beside=kind.beside,
            dtypes=kind.dtypes,
        )
        for kind in kinds
        for severity in kind.severities
    ]


def _places(kind: Kind, severity: str, model: Any) -> list[Place]:
    return kind.places(model, severity)


def _apply(kind: Kind, severity: str, model: Any, place: Place) -> AbstractContextManager[Any]:
    return kind.apply(model, place, severity)


def lot(*of: object) -> int:
    """Return a number drawn for a text: always the same, on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, of)).encode()).digest()[:8], "big")


def _halves(kinds: list[Kind]) -> dict[str, Half]:
    families: dict[str, list[str]] = defaultdict(list)
    for kind in kinds:
        families[kind.group].append(kind.name)
    halves: dict[str, Half] = {}
    for names in families.values():
        # Which half gets the odd one out changes from family to family: else one half would be larger in the end.
        shuffled = sorted(names, key=lambda name: lot(SEED, name))
        order: list[Half] = ["calibrate", "report"] if len(halves) % 2 else ["report", "calibrate"]
        halves |= {name: order[index % 2] for index, name in enumerate(shuffled)}
    return halves
