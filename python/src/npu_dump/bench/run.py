"""`npu-dump bench`: warm up, measure every point, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..progress import Progress
from ..target import check_target
from ..writer import DumpWriter
from .dump import metadata_of, store
from .engine import BenchEngine, Iteration
from .figures import metrics_of, summary_of
from .points import Point, prefix_of
from .prompts import Prompts
from .ready import Ready, ready
from .request import BenchRequest
from .table import table_of


@dataclass(frozen=True)
class Measured:
    """What a measurement has made.

    Attributes:
        path: of the dump.
        run: its metadata.
        summary: of each metric by its name in the dump: a number, or mean, min and max.
        bytes: of the file.
    """

    path: Path
    run: Mapping[str, Any]
    summary: Mapping[str, Any]
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {
            "path": str(self.path),
            "id": self.run["id"],
            "bytes": self.bytes,
            "performance": self.run["performance"],
            "metrics": dict(self.summary),
        }

    def table(self) -> str:
        """Return the figures as text, in ASCII."""
        return table_of(self.run, self.summary)


def run(request: BenchRequest, progress: Progress) -> Measured:
    """Load a model or find a server, measure, and return what was made.

    Points are stored as they are measured: when a later one fails, those before it are in the ``.partial``.

    Raises:
        DumpError: anything that the caller can act on.
    """
    check_target(request.output, overwrite=request.force)
    with ready(request, progress) as it:
        return _measure(request, it, progress)


def _measure(request: BenchRequest, it: Ready, progress: Progress) -> Measured:
    points = request.points()
    bar = _Bar(progress, sum(point.requests for point in points))
    engine, prompts = it.engine, it.prompts
    loaded = engine.loaded()
    # Before the file is begun: what it will lack stands in its metadata.
    metrics, absent = metrics_of(_iterations(engine, prompts, points[0], request.warmup, bar))
    metadata = metadata_of(
        engine.describe(),
        request,
        points,
        prompts,
        engine=engine.name,
        ignores_end=it.ignores_end,
        absent=loaded.absent | absent | engine.used().absent,
    )
    summary: dict[str, Any] = {}
    with DumpWriter(request.output, run=metadata, overwrite=request.force) as writer:

        def keep(number: int, found: Mapping[str, Any]) -> None:
            values = {name: np.asarray(value, dtype="<f8") for name, value in found.items()}
            store(writer, number, values)
            summary.update(summary_of({prefix_of(number) + name: value for name, value in values.items()}))

        keep(0, metrics | loaded.metrics)
        for number, point in enumerate(points[1:], start=1):
            keep(number, metrics_of(_iterations(engine, prompts, point, request.warmup, bar))[0])
        keep(0, engine.used().metrics)
    _tell_short(summary, points, progress)
    return Measured(request.output, writer.run, summary, request.output.stat().st_size)


def _iterations(engine: BenchEngine, prompts: Prompts, point: Point, warmup: int, bar: _Bar) -> list[Iteration]:
    """Measure one point: first so many batches that nobody counts, then its iterations."""
    asked = {"tokens": point.output_tokens, "concurrency": point.batch}
    for _ in range(warmup):
        engine.ask(prompts.take(point.batch), **asked, done=lambda: None)
    return [engine.ask(prompts.take(point.asked), **asked, done=bar.step) for _ in range(point.iterations)]


class _Bar:
    """Counts the measured requests of all points."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def step(self) -> None:
        self._done += 1
        self._progress.step("measuring", self._done, self._total, "requests")


def _tell_short(summary: Mapping[str, Any], points: list[Point], progress: Progress) -> None:
    """Say where requests made fewer tokens than they were asked for."""
    for number, point in enumerate(points):
        tokens = summary[f"{prefix_of(number)}output_tokens"]
        if tokens is not None and tokens["min"] < point.output_tokens:
            progress.note(
                f"a request made {tokens['min']:.0f} tokens instead of {point.output_tokens}: its figures are not "
                "to be held against those of others"
            )
            return
