"""What a probe found, as a table for people."""

from __future__ import annotations

from ..errors import printable
from .result import Finding, ProbeResult

_SHOWN = 6
_HEAD = ("", "EXPLAINS", "CORRELATION", "FLOOR", "IF")


def as_text(found: ProbeResult) -> str:
    """Return the best hypotheses as a table, and what follows from them."""
    floor = "no floor given" if found.floor_error is None else f"floor {found.floor_error:.2e}"
    lines = [
        f"{printable(found.module)}: {found.rows} tokens of {found.samples} samples",
        f"error of its own {found.error:.2e} of the answer in the median token, {floor}",
        "",
    ]
    if not found.hypotheses:
        return "\n".join([*lines, _conclusion(found)])
    shown = found.hypotheses[:_SHOWN]
    rows = [_HEAD, *(_row(finding, ">" if finding is found.best else "") for finding in shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    for marker, *figures, words in rows:
        cells = (f"{figure:>{width}}" for figure, width in zip(figures, widths[1:], strict=True))
        lines.append(f"{marker:<{widths[0]}}  {'  '.join(cells)}  {words}".rstrip())
    hidden = len(found.hypotheses) - len(shown)
    lines.append(f"   and {hidden} more; {len(found.not_applicable)} do not apply to this module")
    lines += ["", _conclusion(found)]
    return "\n".join(lines)


def _row(finding: Finding, marker: str) -> tuple[str, ...]:
    floor = "-" if finding.floor_rho is None else f"{finding.floor_rho:.2f}"
    return (
        marker,
        f"{100 * finding.explains:.1f} %",
        f"{finding.rho:+.3f}",
        floor,
        printable(finding.words),
    )


def _conclusion(found: ProbeResult) -> str:
    best = found.best
    if best is None:
        if not found.rows:
            return "none fits: no token could be compared"
        if not found.error and not found.hypotheses:
            return "nothing to explain: dump and reference agree to the last bit"
        return "none fits: the error is no change that is known here"
    other = found.runner_up
    against = f"; next is {printable(other.words)}, {100 * other.explains:.1f} %" if other else ""
    return f"{best.cause}: {printable(best.words)} explains {100 * best.explains:.1f} % of the error{against}"
