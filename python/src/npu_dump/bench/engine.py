"""What a measurement asks of an engine, and what it is told of each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..endpoint.questions import Question


@dataclass(frozen=True)
class Timing:
    """One request as the clock saw it; times are seconds of `time.perf_counter`.

    Attributes:
        start: when it was asked.
        first: when its first new token was known; NaN where none came.
        last: when its last new token was known.
        end: when it was over.
        output_tokens: new tokens; None where nobody counted them.
        input_tokens: tokens of the prompt; None where nobody counted them.
        prefill_s: seconds of the pass over the prompt alone; None where it cannot be told from the rest.
    """

    start: float
    first: float
    last: float
    end: float
    output_tokens: int | None
    input_tokens: int | None
    prefill_s: float | None = None


@dataclass(frozen=True)
class Iteration:
    """Requests that were asked together.

    Attributes:
        timings: of each, in their order.
        seconds: from before the first was asked until all were over.
    """

    timings: tuple[Timing, ...]
    seconds: float


@dataclass(frozen=True)
class Resources:
    """What an engine tells of itself beside times.

    Attributes:
        metrics: by name without prefix, in seconds, bytes, tokens or requests.
        absent: why a metric is not there.
    """

    metrics: dict[str, float]
    absent: dict[str, str]


class BenchEngine(Protocol):
    """A model that answers, inside a ``with`` block."""

    name: str

    def describe(self) -> dict[str, Any]:
        """Return the metadata of a run: model, device, engine, dtype, versions."""
        ...

    def ask(
        self, prompts: Sequence[Question], *, tokens: int, concurrency: int, done: Callable[[], None]
    ) -> Iteration:
        """Ask for ``tokens`` new tokens after each prompt, ``concurrency`` at a time, and return when all are over.

        Args:
            prompts: at least one.
            tokens: new tokens of each, whatever the model says.
            concurrency: an engine that takes whole batches is given no more prompts than that.
            done: called after each request.

        Raises:
            DumpError: the engine fails.
        """
        ...

    def loaded(self) -> Resources:
        """Return what is known once the model is loaded."""
        ...

    def used(self) -> Resources:
        """Return what is known once all has run: the peak of memory."""
        ...
