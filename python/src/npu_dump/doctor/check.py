"""One check: what was looked at, how it stands, the figures, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

Status = Literal["ok", "warning", "fail", "not-run"]
STATUSES: tuple[str, ...] = get_args(Status)

# What is shown of a text that another program wrote.
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        id: stable name, e.g. ``matmul/float32``.
        status: ``ok``; ``warning``: works, but not as one would expect, or nobody knows; ``fail``; ``not-run``.
        summary: what was found, in one line, with its figures.
        figures: the same as numbers and texts, for programs.
        next: what to do about it, in the imperative; None where there is nothing to do.
    """

    id: str
    status: Status
    summary: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    next: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return asdict(self)


def from_json(value: Any) -> Check | None:
    """Return the check that `Check.as_json` has made an object of, or None where it is none."""
    if not isinstance(value, dict):
        return None
    name, status, summary, figures, step = (value.get(key) for key in ("id", "status", "summary", "figures", "next"))
    if not (isinstance(name, str) and status in STATUSES and isinstance(summary, str)):
        return None
    known = figures if isinstance(figures, dict) else {}
    return Check(name, cast("Status", status), summary, known, step if isinstance(step, str) else None)


def reason(error: BaseException) -> str:
    """Return the kind and the first line of an error, cut to what fits into a report."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    return f"{type(error).__name__}: {shortened(line)}"


def shortened(text: str) -> str:
    """Return a text cut to what fits into a report."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def gib(size: float) -> str:
    """Return bytes in GiB, with one decimal."""
    return f"{size / (1 << 30):.1f} GiB"
