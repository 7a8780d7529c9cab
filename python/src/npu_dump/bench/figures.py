"""From times to figures: one value a request or an iteration, and throughputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..spans import covered
from .engine import Iteration, Timing

Metrics = dict[str, np.ndarray]

# Metrics of the whole run, which no point has for itself.
RUN_WIDE = (
    *("load_s", "weights_load_s", "weights_bytes", "kv_cache_tokens", "kv_cache_bytes", "max_concurrency"),
    *("peak_memory_bytes", "peak_reserved_bytes"),
)
UNCOUNTED = "nobody told how many tokens each request made"


def metrics_of(iterations: Sequence[Iteration]) -> tuple[Metrics, dict[str, str]]:
    """Return the metrics of one point by name without prefix, all float64, and why others are absent.

    ========================== ==== ====================================================================
    ``ttft_ms``                [n]  from asking to the first new token; NaN where none came
    ``tpot_ms``                [n]  mean time of the tokens after the first; NaN where there is one alone
    ``e2e_ms``                 [n]  from asking to the end
    ``prefill_ms``             [n]  the pass over the prompt alone
    ``input_tokens``           [n]  of the prompt
    ``output_tokens``          [n]  what was made; NaN where nobody counted
    ``iteration_s``            [k]  wall time
    ``output_tokens_per_s``    []   over the time in which a request was under way
    ``total_tokens_per_s``     []   the same, prompts counted
    ``requests_per_s``         []   the same, requests
    ========================== ==== ====================================================================
    """
    timings = [timing for iteration in iterations for timing in iteration.timings]
    busy = covered((timing.start, timing.end) for timing in timings)
    outputs = _values(timing.output_tokens for timing in timings)
    found: Metrics = {
        "ttft_ms": _values(1e3 * (timing.first - timing.start) for timing in timings),
        "tpot_ms": _values(map(_tpot_ms, timings)),
        "e2e_ms": _values(1e3 * (timing.end - timing.start) for timing in timings),
        "output_tokens": outputs,
        "iteration_s": _values(iteration.seconds for iteration in iterations),
        "requests_per_s": np.array(len(timings) / busy),
    }
    absent: dict[str, str] = {}
    if all(timing.prefill_s is not None for timing in timings):
        found["prefill_ms"] = _values(1e3 * (timing.prefill_s or 0.0) for timing in timings)
    else:
        absent["prefill_ms"] = "it cannot be told from the time to the first token"
    inputs = _values(timing.input_tokens for timing in timings)
    if not np.isnan(inputs).any():
        found["input_tokens"] = inputs
    else:
        absent["input_tokens"] = "nobody told how many tokens each prompt has"
    if np.isnan(outputs).any():
        return found, absent | dict.fromkeys(("output_tokens_per_s", "total_tokens_per_s"), UNCOUNTED)
    found["output_tokens_per_s"] = np.array(outputs.sum() / busy)
    if "input_tokens" in found:
        found["total_tokens_per_s"] = np.array((inputs.sum() + outputs.sum()) / busy)
    else:
        absent["total_tokens_per_s"] = absent["input_tokens"]
    return found, absent


def summary_of(metrics: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return each metric as JSON: a number, or mean, min and max over its finite values; None where it has none."""
    found: dict[str, Any] = {}
    for name, values in metrics.items():
        if values.ndim == 0:
            found[name] = float(values)
            continue
        finite = values[np.isfinite(values)]
        found[name] = (
            {"mean": float(finite.mean()), "min": float(finite.min()), "max": float(finite.max())}
            if finite.size
            else None
        )
    return found


def _tpot_ms(timing: Timing) -> float:
    tokens = timing.output_tokens or 0
    return 1e3 * (timing.last - timing.first) / (tokens - 1) if tokens > 1 else math.nan


def _values(values: Any) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype="<f8")
