"""How the comparison of a checkpoint with a model is shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..errors import printable
from .check import Report
from .findings import LEVELS, WeightFinding

_FINDINGS = 40
_NAMES = 4


def as_json(report: Report, model: str) -> dict[str, Any]:
    """Return the object that ``--json`` prints."""
    return {
        "model": {"id": model, "architecture": report.architecture},
        "checkpoint": {"files": report.files, "tensors": report.tensors},
        "compared": {"count": report.compared, "bytes": report.bytes, "constants": report.constants},
        "ok": report.ok,
        "findings": [finding.as_json() for finding in report.findings],
    }


def as_text(report: Report, model: str) -> str:
    """Return the report as a human reads it, hostile characters escaped."""
    architecture = f" ({report.architecture})" if report.architecture else ", not loaded"
    lines = [
        f"model       {printable(model)}{printable(architecture)}",
        f"checkpoint  {_count(report.tensors, 'tensor')} in {_count(report.files, 'file')}",
        f"compared    {_count(report.compared, 'tensor')}, {report.bytes / (1 << 20):.1f} MiB; "
        f"{report.constants} buffers and constants",
        "",
    ]
    for finding in report.findings[:_FINDINGS]:
        lines += [*_finding(finding), ""]
    if len(report.findings) > _FINDINGS:
        lines += [f"and {len(report.findings) - _FINDINGS} more findings; --json lists all", ""]
    return "\n".join([*lines, _summary(report)])


def _finding(finding: WeightFinding) -> list[str]:
    names = ", ".join(finding.names[:_NAMES])
    more = f" and {len(finding.names) - _NAMES} more" if len(finding.names) > _NAMES else ""
    width = max(len(label) for label, _ in finding.facts)
    return [
        f"{finding.level}[{finding.rule}]: {printable(names)}{more}",
        f"  {printable(finding.what)}",
        *(f"  {printable(label):<{width}}  {printable(text)}" for label, text in finding.facts),
    ]


def _summary(report: Report) -> str:
    counts = Counter(finding.level for finding in report.findings)
    found = ", ".join(_count(counts[level], level) for level in LEVELS if counts[level])
    if report.ok:
        return f"the model holds what the checkpoint says{f'; {found}' if found else ''}"
    return f"the model does not hold what the checkpoint says: {found}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 or noun == "info" else f"{number} {noun}s"
