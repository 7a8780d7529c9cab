"""A measurement as a dump: every metric a tensor of the whole run, and what was measured in its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..writer import DumpWriter
from .points import Point, prefix_of
from .prompts import Prompts
from .request import BenchRequest


def metadata_of(
    found: Mapping[str, Any],
    request: BenchRequest,
    points: Sequence[Point],
    prompts: Prompts,
    *,
    engine: str,
    ignores_end: bool,
    absent: Mapping[str, str],
) -> dict[str, Any]:
    """Return the metadata of the dump.

    Args:
        found: what the engine says of itself.
        request: what was asked for.
        points: what is measured, the main point first.
        prompts: what was fed.
        engine: its name.
        ignores_end: whether it goes on behind an end token.
        absent: why a metric is not there.
    """
    main, *sweep = points
    tokens = prompts.mean_tokens
    return {
        **found,
        "seed": request.seed,
        "capture": {"select": ["perf.*"]},
        "performance": {
            "engine": engine,
            "point": main.as_json(tokens),
            "warmup": request.warmup,
            "ignore_eos": ignores_end,
            "tokens": prompts.kind,
            "sweep": [point.as_json(tokens) for point in sweep],
            "absent": dict(absent),
        },
    }


def store(writer: DumpWriter, number: int, metrics: Mapping[str, np.ndarray]) -> None:
    """Write the metrics of a point and put them on their way to the disk.

    Args:
        writer: of the dump.
        number: of the point; 0 is the main one.
        metrics: by name without prefix.
    """
    for name, values in metrics.items():
        writer.write(prefix_of(number) + name, np.asarray(values, dtype="<f8"), sample=-1)
    writer.flush()
