"""What is measured: the main point and the points of the sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Point:
    """One setting whose speed is measured.

    Attributes:
        batch: requests that are under way together.
        output_tokens: new tokens that each request asks for.
        iterations: how often `asked` requests are asked together.
        asked: requests an iteration.
        kind: the table that it belongs to; None: the main point.
    """

    batch: int
    output_tokens: int
    iterations: int
    asked: int
    kind: Literal["batch", "output"] | None = None

    @property
    def requests(self) -> int:
        """Requests in all."""
        return self.iterations * self.asked

    def as_json(self, input_tokens: float) -> dict[str, Any]:
        """Return the object that ``run.performance`` holds of it.

        Args:
            input_tokens: tokens a prompt, the mean of those given.
        """
        return {
            **({} if self.kind is None else {"kind": self.kind}),
            "batch": self.batch,
            "input_tokens": int(input_tokens) if float(input_tokens).is_integer() else input_tokens,
            "output_tokens": self.output_tokens,
            "requests": self.requests,
            "concurrency": self.batch,
        }


def points_of(
    main: Point, *, sweep_batch: Sequence[int], sweep_output: Sequence[int], iterations: int
) -> Iterator[Point]:
    """Yield the main point, then those of each sweep, which leave the rest of it as it is."""
    yield main
    for batch in sweep_batch:
        yield replace(main, batch=batch, asked=batch, iterations=iterations, kind="batch")
    for tokens in sweep_output:
        yield replace(main, output_tokens=tokens, asked=main.batch, iterations=iterations, kind="output")


def prefix_of(number: int) -> str:
    """Return how the names of a point's metrics begin; 0 is the main point."""
    return "perf." if number == 0 else f"perf.sweep.{number - 1}."
