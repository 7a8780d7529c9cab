"""The tables of a run, from its record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.faults.grid import Grid

COLUMNS = ("tool", "seconds", "min - max", "GB/s", "MB", "MB, tree", "times", "min - max")
# A tree that holds no more than this over its largest process has one process worth telling.
_ALONE = 1.05


def report(record: Mapping[str, Any], *, markdown: bool = False) -> str:
    """The tables as text."""
    grids = [*map(_case, record["cases"]), *map(_growth, record["growth"])]
    tables = [grid.markdown() if markdown else grid.text() for grid in grids]
    return "\n\n".join(["\n".join(_head(record)), *tables]) + "\n"


def _head(record: Mapping[str, Any]) -> Iterator[str]:
    machine = record["machine"]
    memory = f"{machine['memoryBytes'] / 1e9:.0f} GB"
    yield f"{machine['processor']}, {machine['cores']} cores, {memory}; {machine['system']}"
    yield ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    yield f"{record['rounds']} rounds. Seconds: median of whole processes, files in memory. GB/s: both dumps' bytes."
    yield "MB: most resident, of the largest process; of all together, where there are more. times: over the first"
    least = f"{record['leastPeakBytes'] / 1e6:.0f} MB"
    yield f"tool's time in the same round, median. Memory of {least} and less cannot be told."


def _case(case: Mapping[str, Any]) -> Grid:
    rows = [_row(tool, case["bytes"]) for tool in case["tools"]]
    notes = [f"left out: {name}: {why}" for name, why in case["leftOut"].items()]
    notes += [
        f"FAILED: {name}: {'; '.join(map(str.strip, why.splitlines()))}" for name, why in case["failed"].items()
    ]
    same = case["sameBytes"]
    if same is not None:
        word = "the same" if same["same"] else "NOT THE SAME"
        notes.append(f"npu-diff's JSON: {word} {same['bytes']} bytes in {len(same['runs'])} runs ({_variants(same)})")
    title = case["id"] + (f", {case['bytes'] / 1e9:.3f} GB" if case["bytes"] else "")
    return Grid(title, COLUMNS, rows, notes)


def _row(tool: Mapping[str, Any], size: int) -> list[str]:
    seconds, times = tool["seconds"], tool["times"]
    tree = tool["treeBytes"]
    return [
        tool["name"],
        f"{tool['medianSeconds']:.3f}",
        f"{min(seconds):.3f} - {max(seconds):.3f}",
        f"{size / tool['medianSeconds'] / 1e9:.2f}" if size else "-",
        f"{tool['peakBytes'] / 1e6:.0f}",
        f"{tree / 1e6:.0f}" if tree is not None and tree > _ALONE * tool["peakBytes"] else "-",
        f"{times['median']:.2f}",
        f"{times['least']:.2f} - {times['most']:.2f}",
    ]


def _variants(same: Mapping[str, Any]) -> str:
    return ", ".join(dict.fromkeys(same["runs"]))


def _growth(series: Mapping[str, Any]) -> Grid:
    grows = any(tool["spread"] is None for tool in series["tools"])
    columns = ["seconds, MB", *map(_amount, series["amounts"]), "slopes" if grows else "spread"]
    rows = [
        [
            tool["name"],
            *(f"{s:.3f}, {p / 1e6:.0f}" for s, p in zip(tool["seconds"], tool["peakBytes"], strict=True)),
            _ratio(tool["slopes"] if grows else tool["spread"]),
        ]
        for tool in series["tools"]
    ]
    slopes = "slopes: seconds for one more on the last stretch, over those on the stretch before."
    spread = "spread: the most seconds over the least; the bytes stay the same."
    return Grid(f"Growth: {series['name']}", columns, rows, [slopes if grows else spread])


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _amount(amount: int) -> str:
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if amount >= size and amount % size == 0:
            return f"{amount // size} {unit}"
    return f"{amount:,}"
