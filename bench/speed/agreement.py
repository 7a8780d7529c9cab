"""Whether another tool computed what npu-diff computed, within what its precision allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .failure import Failure

Figures = Mapping[str, float]


class Tolerance(NamedTuple):
    """Values agree where they are no further apart than `absolute`, or than this share of npu-diff's."""

    absolute: float
    relative: float


@dataclass(frozen=True)
class Answer:
    """What a tool found.

    Attributes:
        tensors: figures of each tensor by its name: those that it gives of `cosine`, `tokenCosine` (mean over rows),
            `mse`, `maxAbs` and `relL2`.
        logits: `kl`, `agreement` (share of rows whose largest logit has one place on both sides),
            `perplexityReference` and `perplexityCandidate`; empty where it looks at no predictions.
    """

    tensors: Mapping[str, Figures] = field(default_factory=dict)
    logits: Figures = field(default_factory=dict)


@dataclass(frozen=True)
class Promise:
    """The figures that a tool gives, and how far each may be from npu-diff's."""

    tensors: Mapping[str, Tolerance] = field(default_factory=dict)
    logits: Mapping[str, Tolerance] = field(default_factory=dict)


def check(found: Answer, ours: Answer, promise: Promise) -> None:
    """Hold a tool to its promise.

    Args:
        found: by the tool.
        ours: npu-diff's answer on the same dumps.
        promise: of the tool. Of logits it holds only where there are some.

    Raises:
        Failure: a tensor or a figure is missing, or is another one.
    """
    if promise.tensors:
        if found.tensors.keys() != ours.tensors.keys():
            raise Failure(
                "it did not compare the same tensors",
                facts=[
                    ("npu-diff's alone", _some(ours.tensors.keys() - found.tensors.keys())),
                    ("its alone", _some(found.tensors.keys() - ours.tensors.keys())),
                ],
                help="see what it printed",
            )
        if not ours.tensors:
            raise Failure(
                "there was nothing to compare",
                facts=[("tensors", 0), ("expected", "at least one")],
                help="see what npu-diff printed",
            )
        for name, figures in found.tensors.items():
            _check(name, figures, ours.tensors[name], promise.tensors)
    if promise.logits and ours.logits:
        _check("logits", found.logits, ours.logits, promise.logits)


def _check(name: str, found: Figures, ours: Figures, promise: Mapping[str, Tolerance]) -> None:
    for figure, (absolute, relative) in promise.items():
        value, expected = found.get(figure), ours[figure]
        # Written so that NaN agrees with nothing.
        if value is None or not abs(value - expected) <= max(absolute, relative * abs(expected)):
            raise Failure(
                f"it has another {figure} of {name} than npu-diff",
                facts=[("its", value), ("npu-diff's", expected), ("tolerance", f"{absolute}, or {relative} of it")],
                help="one of them is wrong: compute it by hand",
            )


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (" …" if len(names) > 5 else "") or "none"
