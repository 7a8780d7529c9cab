"""How time and memory grow along a series of cases that differ in one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = ("npu-diff", "npu-diff --jobs 2", "cmp", "cat", "NumPy, in blocks")


def growth(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The series that two cases or more belong to.

    Args:
        cases: their records.

    Returns:
        Of each series its name, the amounts, ascending, and of each tool that is in all its cases the median seconds
        and the peak bytes there. Where the bytes grow with the amount, `slopes`: seconds for one more of it on the
        last stretch, over those on the stretch before (1: the time grows in proportion); where the bytes stay the
        same, `spread`: the most seconds over the least. The other one is None.
    """
    series: dict[str, list[Mapping[str, Any]]] = {}
    for case in cases:
        if case["growth"] is not None:
            series.setdefault(case["growth"][0], []).append(case)
    found: list[dict[str, Any]] = []
    for name, members in series.items():
        members.sort(key=lambda case: case["growth"][1])
        amounts = [case["growth"][1] for case in members]
        if len(amounts) < 2:
            continue
        # The headers alone make some difference.
        grows = members[-1]["bytes"] > 1.25 * members[0]["bytes"]
        by_tool = [{tool["name"]: tool for tool in case["tools"]} for case in members]
        tools: list[dict[str, Any]] = []
        for tool in SHOWN:
            if not all(tool in case for case in by_tool):
                continue
            seconds = [case[tool]["medianSeconds"] for case in by_tool]
            peaks = [case[tool]["peakBytes"] for case in by_tool]
            tools.append(
                {
                    "name": tool,
                    "seconds": seconds,
                    "peakBytes": peaks,
                    "slopes": slopes(amounts, seconds) if grows else None,
                    "spread": None if grows else max(seconds) / min(seconds),
                }
            )
        found.append({"name": name, "amounts": amounts, "tools": tools})
    return found


def slopes(amounts: Sequence[float], seconds: Sequence[float]) -> float | None:
    """The last slope over the one before it; None of fewer than three points, or where the first is not positive."""
    if len(amounts) < 3:
        return None
    steps = [
        (seconds[i + 1] - seconds[i]) / (amounts[i + 1] - amounts[i]) for i in (len(amounts) - 3, len(amounts) - 2)
    ]
    return steps[1] / steps[0] if steps[0] > 0 else None
