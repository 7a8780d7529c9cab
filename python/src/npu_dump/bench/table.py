"""The figures as text: aligned columns of ASCII, for a terminal of any width from 80."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import printable
from .points import prefix_of

_PER_REQUEST = {
    "ttft_ms": "time to first token (ms)",
    "tpot_ms": "time per output token (ms)",
    "e2e_ms": "end-to-end latency (ms)",
    "prefill_ms": "prefill (ms)",
    "iteration_s": "iteration (s)",
}
_RUN = {
    "output_tokens_per_s": "output throughput (tok/s)",
    "total_tokens_per_s": "total throughput (tok/s)",
    "requests_per_s": "request throughput (req/s)",
    "load_s": "load (s)",
    "weights_load_s": "weights load (s)",
    "weights_bytes": "weights",
    "kv_cache_tokens": "KV cache (tokens)",
    "kv_cache_bytes": "KV cache",
    "max_concurrency": "max concurrency (requests)",
    "peak_memory_bytes": "peak memory, allocated",
    "peak_reserved_bytes": "peak memory, reserved",
}
_SWEEPS = {"batch": "batch", "output": "output tokens"}


def table_of(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """Return the main point and the sweeps of a measurement.

    Args:
        run: metadata of the dump.
        summary: of `figures.summary_of`, by the names of the dump.
    """
    performance = run["performance"]
    point = performance["point"]
    engine = " ".join(str(run["engine"][name]) for name in ("name", "version") if name in run["engine"])
    device = f" on {run['device'].get('name') or run['device']['type']}" if "device" in run else ""
    head = [
        f"{run['model'].get('id', 'model')}, {run['dtype']}, {engine}{device}",
        f"batch {point['batch']}, {point['input_tokens']} tokens in, {point['output_tokens']} out, "
        f"{point['requests']} requests after {performance['warmup']} warm-up batches",
    ]
    parts = ["\n".join(head), _aligned(_requests(summary)), _aligned(_whole_run(summary))]
    parts += [_aligned(rows) for kind in _SWEEPS if len(rows := list(_sweep(kind, performance, summary))) > 1]
    text = "\n\n".join(part for part in parts if part)
    return "\n".join(printable(line).encode("ascii", "backslashreplace").decode() for line in text.split("\n"))


def _requests(summary: Mapping[str, Any]) -> Iterator[list[str]]:
    yield ["", "mean", "min", "max"]
    for name, title in _PER_REQUEST.items():
        value = summary.get(f"perf.{name}")
        if value is not None:
            yield [title, *(_number(value[key]) for key in ("mean", "min", "max"))]


def _whole_run(summary: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, title in _RUN.items():
        value = summary.get(f"perf.{name}")
        if value is not None:
            yield [title, _size(value) if name.endswith("_bytes") else _number(value)]


def _sweep(kind: str, performance: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of a sweep; speed-up is that of the output throughput over the smallest batch's."""
    points = [(number, point) for number, point in enumerate(performance["sweep"], start=1) if point["kind"] == kind]
    rates = {number: summary.get(f"{prefix_of(number)}output_tokens_per_s") for number, _ in points}
    smallest = min(points, key=lambda entry: entry[1]["batch"], default=(0, {}))[0]
    titles = [_SWEEPS[kind], "TTFT ms", "TPOT ms", "iteration s", "output tok/s", "total tok/s"]
    yield [*titles, "speed-up"] if kind == "batch" else titles
    for number, point in points:
        means = [_mean(summary.get(f"{prefix_of(number)}{name}")) for name in ("ttft_ms", "tpot_ms", "iteration_s")]
        total = summary.get(f"{prefix_of(number)}total_tokens_per_s")
        row = [str(point["batch"] if kind == "batch" else point["output_tokens"]), *means]
        row += [_number(rates[number]), _number(total)]
        base, rate = rates[smallest], rates[number]
        yield [*row, f"{rate / base:.2f}" if base and rate else "-"] if kind == "batch" else row


def _aligned(rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    """Return rows with the first column on the left and the others on the right."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    )


def _mean(value: Mapping[str, float] | None) -> str:
    return _number(None if value is None else value["mean"])


def _number(value: float | None) -> str:
    """Return a number with some four digits; what is not known is a dash."""
    if value is None:
        return "-"
    if float(value).is_integer() and abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def _size(value: float) -> str:
    return f"{value / (1 << 30):,.2f} GiB" if value >= 1 << 30 else f"{value / (1 << 20):,.1f} MiB"
