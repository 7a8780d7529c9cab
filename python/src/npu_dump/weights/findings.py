"""What is wrong between a checkpoint and the model that was loaded from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..contract import BY_TORCH

Level = Literal["error", "warning", "info"]
Fact = tuple[str, str]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class WeightFinding:
    """One difference between a checkpoint and a loaded model, of one tensor or of several in the same way.

    Attributes:
        rule: stable identifier, e.g. ``weights/transposed``.
        level: ``error``: the model does not hold what the checkpoint says, or that could not be found out;
            ``warning``: values lost digits or are unused; ``info``: worth knowing, nothing is lost.
        names: tensors or modules of the model; where the model has none, tensors or files of the checkpoint.
        what: one sentence without a full stop, the names its subject.
        facts: the two ``(label, text)`` pairs that disagree.
    """

    rule: str
    level: Level
    names: tuple[str, ...]
    what: str
    facts: tuple[Fact, Fact]

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "rule": self.rule,
            "level": self.level,
            "names": list(self.names),
            "what": self.what,
            "facts": [{"label": label, "text": text} for label, text in self.facts],
        }


class Findings:
    """Collects findings; those that say the same of several names become one."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, Level, str, tuple[Fact, Fact]], list[str]] = {}

    def add(self, rule: str, level: Level, names: Iterable[str], what: str, first: Fact, second: Fact) -> None:
        """Add one finding about ``names``."""
        self._names.setdefault((rule, level, what, (first, second)), []).extend(names)

    def not_compared(self, names: Iterable[str], reason: str, first: Fact, second: Fact) -> None:
        """Add what could not be compared, which is an error: it is not known to be right."""
        self.add("weights/not-compared", "error", names, reason, first, second)

    def extend(self, findings: Iterable[WeightFinding]) -> None:
        """Add findings that others made."""
        for finding in findings:
            self.add(finding.rule, finding.level, finding.names, finding.what, *finding.facts)

    def sorted(self) -> list[WeightFinding]:
        """Return the findings, errors first, else as they came."""
        found = [
            WeightFinding(rule, level, tuple(dict.fromkeys(names)), what, facts)
            for (rule, level, what, facts), names in self._names.items()
        ]
        return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def form(dtype: torch.dtype, shape: Sequence[int]) -> str:
    """Return dtype and shape as they are shown, e.g. ``BF16 [32, 48]``."""
    return f"{dtype_name(dtype)} {list(shape)}"


def dtype_name(dtype: torch.dtype) -> str:
    """Return safetensors' name of a dtype, or torch's where safetensors has none."""
    name = str(dtype).removeprefix("torch.")
    return BY_TORCH[name].name if name in BY_TORCH else name
