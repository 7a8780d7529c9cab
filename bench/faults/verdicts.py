"""Verdicts from the stored statistics, so that other limits need no other run.

Every statistic that npu-diff holds to a limit is put in units of it, as its *strain*: 1 is the limit that the product
has, whatever it depends on (the floor's own value, the number of rows, the role). Multiplying a constant of the
product by k makes an alarm of every strain above k. What no such constant decides (a missing tensor, a NaN, the
quality figures) stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .modules import is_module, module_of
from .records import DECODE, Record, Verdict, number

Mode = Literal["forced", "plain"]
Factors = Mapping[str, float]

# Statistics of own errors; those whose limit is the floor's value and something more.
OWN = ("energy", "sample", "token", "element", "slope", "channel", "offset", "gain")
EXCESSES = ("slope", "offset")

# Limits of the plain pair (src/judge/limits.ts), and which of them rise for few rows.
PLAIN = {
    "floor-ratio": ("floorRatio", 2.0, True),
    "floor-ratio-p99": ("floorRatioP99", 3.5, True),
    "floor-token": ("floorTokenRatio", 25.0, False),
    "floor-sample": ("worstSampleFloorRatio", 2.0, False),
}
RULES = frozenset([*(f"own/{name}" for name in OWN), *(f"layer/{name}" for name in PLAIN)])

# Rules that few tokens can break; where a router chooses experts, a plain pair leaves them open (see routing.ts).
FEW_TOKENS = frozenset(["layer/floor-ratio-p99", "layer/floor-token", "layer/floor-sample"])


@dataclass(frozen=True)
class Strain:
    """A statistic of one tensor over its limit.

    Attributes:
        rule: the rule that it may break.
        tensor: name of the tensor, with the prefix of a decode.
        constant: the constant that sets the limit.
        value: what it is over what it may be; infinite where it is a NaN.
    """

    rule: str
    tensor: str
    constant: str
    value: float


def strains(record: Record, mode: Mode) -> Iterator[Strain]:
    """Everything in a case that was held to a limit, as if nothing else were wrong.

    Where every own error of a step is known, what the plain pair shows is propagation, and held to nothing.
    """
    first = _first_router(record)
    settled = _settled(record) if mode == "forced" else frozenset()
    for name, figures in record.tensors.items():
        plain = name.removeprefix(DECODE)
        role = module_of(plain).role if is_module(plain) else "other"
        own = figures.get("own") or {}
        for statistic, found in ((own.get("statistics") or {}).items()) if mode == "forced" else ():
            if found is None or found["limit"] is None:
                continue
            rule = f"own/{statistic}"
            value = _own(statistic, number(found["value"]), number(found["floor"]), float(found["limit"]))
            yield Strain(rule, name, f"{rule} {role}" if statistic == "energy" else rule, value)
        for statistic, (field, limit, for_few) in PLAIN.items():
            open_ = f"layer/{statistic}" in FEW_TOKENS and _routed(plain, first)
            if open_ or _step_of(name) in settled:
                continue
            value = number(figures.get(field))
            if value is None:
                continue
            allowed = limit * (max(1.0, 4 / math.sqrt(figures["rows"])) if for_few else 1.0)
            yield Strain(f"layer/{statistic}", name, f"layer/{statistic}", _over(value, allowed))


def _first_router(record: Record) -> int | None:
    layers = [module_of(name).layer for name in record.modules]
    routers = [layer for layer, name in zip(layers, record.modules, strict=True) if name.endswith(".router")]
    return min((layer for layer in routers if layer is not None), default=None)


def _routed(name: str, first: int | None) -> bool:
    """Whether a tensor is computed from what experts answered."""
    if first is None or not is_module(name):
        return False
    layer, role = module_of(name)
    if layer is None:
        return role != "embed"
    return layer > first or (layer == first and role in ("mlp", "layer"))


def _settled(record: Record) -> frozenset[str]:
    """Steps in which every tensor's own error is held to the floors' own."""
    known = {
        name: (figures.get("own") or {}).get("statistics") is not None for name, figures in record.tensors.items()
    }
    open_ = {_step_of(name) for name, of in known.items() if not of}
    return frozenset({_step_of(name) for name in known} - open_)


def _step_of(name: str) -> str:
    return "decode" if name.startswith(DECODE) else "prefill"


def _own(statistic: str, value: float | None, floor: float | None, limit: float) -> float:
    if value is None:
        return math.inf
    if statistic not in EXCESSES or floor is None:
        return _over(value, limit)
    if math.isinf(limit):
        return _over(value, limit)
    return math.inf if math.isnan(value) else (value - floor) / (limit - floor)


def _over(value: float, limit: float) -> float:
    if math.isnan(value):
        return math.inf
    return value / limit if math.isfinite(limit) else 0.0


@cache
def worst_strains(record: Record, mode: Mode) -> Mapping[str, float]:
    """The largest strain of each constant: one is enough for an alarm."""
    found: dict[str, float] = {}
    for strain in strains(record, mode):
        found[strain.constant] = max(found.get(strain.constant, 0.0), strain.value)
    return found


def stored(record: Record, mode: Mode) -> Verdict:
    """The verdict as the product gave it."""
    return record.forced if mode == "forced" else record.plain


def fails(record: Record, mode: Mode, factors: Factors) -> bool:
    """Whether a case alarms where constants are multiplied by `factors` (1 where none is given)."""
    if any(f["level"] == "error" and f["rule"] not in RULES for f in stored(record, mode).findings):
        return True
    return any(value > factors.get(constant, 1.0) for constant, value in worst_strains(record, mode).items())


def differences(record: Record, mode: Mode) -> list[str]:
    """How the verdict recomputed under the product's limits differs from the stored one; nothing if all is well."""
    settled = _settled(record) if mode == "forced" else frozenset()
    told = {
        (f["rule"], f"{DECODE if f['step'] == 'decode' else ''}{f['tensor']}")
        for f in stored(record, mode).findings
        # What a module that is at fault does to others is told, and decides nothing.
        if f["level"] == "error"
        and f["rule"] in RULES
        and not (f["rule"].startswith("layer/") and f["step"] in settled)
    }
    found = {(strain.rule, strain.tensor) for strain in strains(record, mode) if strain.value > 1}
    differing = [
        *(f"{mode}: {tensor} breaks {rule} in the record alone" for rule, tensor in sorted(told - found)),
        *(f"{mode}: {tensor} breaks {rule} here alone" for rule, tensor in sorted(found - told)),
    ]
    if fails(record, mode, {}) != stored(record, mode).fails:
        differing.append(f"{mode}: the record says {stored(record, mode).verdict}")
    return differing
