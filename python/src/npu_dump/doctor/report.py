"""How the checks are shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .._version import __version__
from ..errors import printable
from .check import STATUSES, Check

_WORDS = {"ok": "ok", "warning": "warning", "fail": "FAIL", "not-run": "not run"}


def passed(checks: list[Check]) -> bool:
    """Return whether no check has failed."""
    return all(check.status != "fail" for check in checks)


def as_json(checks: list[Check]) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    counts = Counter(check.status for check in checks)
    return {
        "npu_dump": __version__,
        "ok": passed(checks),
        "counts": {status: counts[status] for status in STATUSES},
        "checks": [check.as_json() for check in checks],
    }


def as_text(checks: list[Check]) -> str:
    """Return the report as a human reads it: a line a check, the next step below; hostile characters escaped."""
    width = max(len(check.id) for check in checks)
    lines: list[str] = []
    for check in checks:
        lines.append(f"{_WORDS[check.status]:<7}  {check.id:<{width}}  {printable(check.summary)}")
        if check.next is not None:
            lines.append(f"{'':<{width + 9}}  next: {printable(check.next)}")
    counts = Counter(check.status for check in checks)
    told = ", ".join(f"{counts[status]} {_WORDS[status]}" for status in STATUSES if counts[status])
    return "\n".join([*lines, "", told])
