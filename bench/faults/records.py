"""What the benchmark has written: one case a line of records.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .modules import in_order, is_module

DECODE = "decode:"


# Bands of effect with their lower edges, in units of the floor's own error.
BANDS = {"< 1": 0.0, "1-2": 1.0, "2-5": 2.0, ">= 5": 5.0}


@dataclass(frozen=True)
class Injected:
    """A fault of a case, where it was put and what it does there.

    Attributes:
        kind: what is done wrong.
        severity: how much of it.
        module: canonical name of the tensor whose own error must show.
        causes: names that are right; none where no rule or probe knows the kind.
        effect: size at its module over the floor's own error; infinite where it is no finite number, None where it is
            not known.
        order: of the module in execution order.
    """

    kind: str
    severity: str
    module: str
    causes: frozenset[str]
    effect: float | None
    order: int

    @property
    def band(self) -> str | None:
        """The name of the band of its effect; None where that is not known."""
        effect = self.effect
        return None if effect is None else [name for name, least in BANDS.items() if effect >= least][-1]

    def reaches(self, least: float) -> bool:
        """Whether its effect is known to be at least so large."""
        return self.effect is not None and self.effect >= least


@dataclass(frozen=True)
class Verdict:
    """What npu-diff said of a case: by forced references, or of the plain pair."""

    verdict: str
    origin: str | None
    independent: tuple[str, ...]
    causes: tuple[str, ...]
    findings: tuple[dict[str, Any], ...]

    @property
    def fails(self) -> bool:
        """Whether it alarms."""
        return self.verdict == "fail"

    @property
    def passes(self) -> bool:
        """Whether it is content; what is undecided is neither."""
        return self.verdict == "pass"


@dataclass(frozen=True, eq=False)
class Record:
    """A case that ran; equal to itself alone, so that what is worked out of it can be kept."""

    raw: dict[str, Any]

    @property
    def id(self) -> str:
        """Its name."""
        return self.raw["id"]

    @property
    def half(self) -> str:
        """`calibrate` or `report`."""
        return self.raw["half"]

    @property
    def dtype(self) -> str:
        """Number format of the candidate."""
        return self.raw["dtype"]

    @property
    def engine_kind(self) -> str:
        """Family of the kernels that the candidate ran with."""
        return self.raw["engine_kind"]

    @property
    def tensors(self) -> dict[str, dict[str, Any]]:
        """Figures by name; those of decode steps have a prefix."""
        return self.raw["tensors"]

    @cached_property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """What the rules of other tools need, by name of the tensor."""
        return {
            name: {figure: float(value) if isinstance(value, str) else value for figure, value in figures.items()}
            for name, figures in self.raw["baselines"].items()
        }

    @cached_property
    def faults(self) -> tuple[Injected, ...]:
        """What is wrong, in execution order; nothing in a benign pair."""
        found = [
            Injected(
                fault["kind"],
                str(fault["severity"]),
                fault["module"],
                frozenset(fault["causes"]),
                _effect(fault["effect"]),
                fault["order"],
            )
            for fault in self.raw["faults"]
        ]
        return tuple(sorted(found, key=lambda fault: fault.order))

    @cached_property
    def modules(self) -> list[str]:
        """Every module that was compared, in execution order."""
        return in_order(filter(is_module, (name.removeprefix(DECODE) for name in self.tensors)))

    @cached_property
    def forced(self) -> Verdict:
        """The verdict with forced references."""
        return _verdict(self.raw["forced"])

    @cached_property
    def plain(self) -> Verdict:
        """The verdict without."""
        return _verdict(self.raw["plain"])

    @property
    def probe(self) -> str | None:
        """The cause that a probe of the origin named; None where it named none, or did not run."""
        found = self.raw.get("probe")
        return None if found is None else found["id"]


@dataclass(frozen=True)
class Records:
    """All cases of a run."""

    cases: tuple[Record, ...]
    errors: tuple[dict[str, Any], ...]

    def of(self, half: str) -> Records:
        """Those of one half, or all where `half` is `both`; what failed to run tells its half by its name."""
        if half == "both":
            return self
        return Records(
            tuple(case for case in self.cases if case.half == half),
            tuple(error for error in self.errors if error["id"].split("/")[0] == half),
        )

    @property
    def benign(self) -> list[Record]:
        """Pairs in which nothing is wrong."""
        return [case for case in self.cases if not case.faults]

    @property
    def single(self) -> list[Record]:
        """Pairs with one fault."""
        return [case for case in self.cases if len(case.faults) == 1]

    @property
    def double(self) -> list[Record]:
        """Pairs with two faults at a time."""
        return [case for case in self.cases if len(case.faults) == 2]


def load(folder: Path) -> Records:
    """Read records.jsonl; the last record of an id counts, a line that was cut off at the end does not.

    Raises ValueError for any other line that is no record.
    """
    lines = (folder / "records.jsonl").read_bytes().split(b"\n")
    found: dict[str, dict[str, Any]] = {}
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            # What was run again goes to the end.
            found.pop(record["id"], None)
            found[record["id"]] = record
        except (ValueError, KeyError, TypeError) as error:
            if index == len(lines) - 1:
                continue
            raise ValueError(f"line {index + 1} of records.jsonl is no record: {error}") from error
    return of_raw(found.values())


def of_raw(records: Iterable[dict[str, Any]]) -> Records:
    """Part what ran from what did not."""
    every = list(records)
    return Records(
        tuple(Record(record) for record in every if "error" not in record),
        tuple(record for record in every if "error" in record),
    )


def number(value: float | str | None) -> float | None:
    """A number of a record: NaN and infinities are strings there."""
    return None if value is None else float(value)


def _effect(value: float | str | None) -> float | None:
    effect = number(value)
    return effect if effect is None or math.isfinite(effect) else math.inf


def _verdict(raw: dict[str, Any]) -> Verdict:
    return Verdict(
        raw["verdict"],
        raw["origin"],
        tuple(raw["independent"]),
        tuple(cause["id"] for cause in raw["causes"]),
        tuple(raw["findings"]),
    )
