"""Everything that says of a case whether something is wrong, and where: npu-diff and the rules of other tools."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


def baseline(rule: Rule, threshold: float = 1.0, label: str = "") -> Method:
    """A rule that alarms where any tensor's score is above the threshold; the origin is the first that does."""

    def answer(record: Record) -> Answer:
        alarming = [name for name, score in scores(rule, record).items() if math.isnan(score) or score > threshold]
        return Answer(bool(alarming), not alarming, alarming[0] if alarming else None)

    return Method(f"{rule.name}{label}", answer)


def calibrated_threshold(rule: Rule, benign: Sequence[Record], allowed: float) -> float:
    """The lowest threshold at which no larger share than `allowed` of the benign pairs alarms.

    Raises ValueError without benign pairs.
    """
    worst = sorted((max(scores(rule, record).values(), default=0.0) for record in benign), reverse=True)
    if not worst:
        raise ValueError("no benign pair to calibrate with")
    return worst[math.floor(allowed * len(worst))]


def baselines() -> list[Method]:
    """Every rule as its tool has it."""
    return [baseline(rule) for rule in RULES]


def calibrated_baselines(benign: Sequence[Record], allowed: float) -> list[Method]:
    """Every rule at its best threshold on `benign`."""
    return [baseline(rule, calibrated_threshold(rule, benign, allowed)) for rule in RULES]
