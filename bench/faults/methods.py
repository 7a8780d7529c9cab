"""Everything that says of a case whether something is wrong, and where: npu-diff and the rules of other tools."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .baseline_rules import RULES, Rule
from .modules import in_order
from .records import Record, Verdict


@dataclass(frozen=True)
class Answer:
    """What a method says of a case: whether it alarms or passes, the first module at fault, and further ones."""

    alarm: bool
    passes: bool
    origin: str | None = None
    independent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """A name for the tables, and what it says."""

    name: str
    answer: Callable[[Record], Answer]


def _product(name: str, verdict: Callable[[Record], Verdict]) -> Method:
    def answer(record: Record) -> Answer:
        found = verdict(record)
        return Answer(found.fails, found.passes, found.origin, found.independent)

    return Method(name, answer)


FORCED = _product("npu-diff, forced references", lambda record: record.forced)
PLAIN = _product("npu-diff, plain pair", lambda record: record.plain)


def scores(rule: Rule, record: Record) -> dict[str, float]:
    """A rule's score of every tensor that it says something of, in execution order."""
    found = {name: rule.of(record.baselines[name]) for name in in_order(record.baselines)}
    return {name: score for name, score in found.items() if score is not None}


def baseline(rule: Rule, thresholds: Mapping[str, float] | None = None) -> Method:
    """A rule that alarms where any tensor's score is above the threshold; the origin is the first that does.

    `thresholds` has one for each number format, and any other has the largest; without, all are the rule's own, 1.
    """

    def answer(record: Record) -> Answer:
        threshold = 1.0 if thresholds is None else thresholds.get(record.dtype, max(thresholds.values()))
        alarming = [name for name, score in scores(rule, record).items() if math.isnan(score) or score > threshold]
        return Answer(bool(alarming), not alarming, alarming[0] if alarming else None)

    return Method(rule.name, answer)


def calibrated_thresholds(rule: Rule, benign: Sequence[Record], allowed: float) -> dict[str, float]:
    """By number format the lowest threshold at which no larger share than `allowed` of the benign pairs alarms.

    Raises ValueError without benign pairs.
    """
    by_format: dict[str, list[float]] = {}
    for record in benign:
        by_format.setdefault(record.dtype, []).append(max(scores(rule, record).values(), default=0.0))
    if not by_format:
        raise ValueError("no benign pair to calibrate with")
    return {
        dtype: sorted(worst, reverse=True)[math.floor(allowed * len(worst))] for dtype, worst in by_format.items()
    }


def baselines() -> list[Method]:
    """Every rule as its tool has it."""
    return [baseline(rule) for rule in RULES]


def calibrated_baselines(benign: Sequence[Record], allowed: float) -> list[Method]:
    """Every rule at its best thresholds on `benign`, one for each number format."""
    return [baseline(rule, calibrated_thresholds(rule, benign, allowed)) for rule in RULES]
