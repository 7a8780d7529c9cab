"""vLLM's engine under the clock, in this process: batches in, tokens out, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from ..endpoint.questions import Question
from ..progress import Progress
from ..vllm.session import Session
from .engine import Iteration, Resources, Timing

EXTENSION = "npu_dump.bench.worker.BenchExtension"


class Offline:
    """An engine of vLLM inside a ``with`` block.

    Args:
        arguments: of ``vllm.LLM``; `EXTENSION` is added.
        progress: told that the engine starts.

    Raises:
        DumpError: on entry, where it does not start.
    """

    name = "vllm"

    def __init__(self, arguments: Mapping[str, Any], progress: Progress) -> None:
        self._session = Session({**arguments, "worker_extension_cls": EXTENSION}, progress)
        self._graph = not arguments["enforce_eager"]
        self._load_s = 0.0
        self._loaded: list[dict[str, Any]] = []

    def __enter__(self) -> Offline:
        start = time.perf_counter()
        self._session.__enter__()
        self._load_s = time.perf_counter() - start
        try:
            self._loaded = self._session.call("npu_dump_loaded")
        except BaseException as error:
            self._session.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.__exit__(kind, error, trace)

    def describe(self) -> dict[str, Any]:  # noqa: D102 - see BenchEngine
        run = self._loaded[0]["run"]
        run["engine"]["graph"] = self._graph
        return run

    def ask(  # noqa: D102
        self, prompts: Sequence[Question], *, tokens: int, concurrency: int, done: Callable[[], None]
    ) -> Iteration:
        if len(prompts) > concurrency:
            raise AssertionError("whole batches alone are asked for")
        asked = [self._session.request(question.ids or (), tokens=tokens, to_the_end=True) for question in prompts]
        start = time.perf_counter()
        timed = self._session.timed(asked, done)
        seconds = time.perf_counter() - start
        return Iteration(
            tuple(
                Timing(
                    one.start,
                    one.first,
                    one.last,
                    one.last,
                    one.tokens,
                    len(question.ids or ()),
                    one.prefill_s,
                )
                for question, one in zip(prompts, timed, strict=True)
            ),
            seconds,
        )

    def loaded(self) -> Resources:  # noqa: D102
        ranks = [answer["metrics"] for answer in self._loaded]
        metrics = {"load_s": self._load_s} | _joined(
            ranks,
            {
                "weights_bytes": sum,
                "kv_cache_bytes": sum,
                # Every rank holds its share of every token.
                "kv_cache_tokens": min,
                "max_concurrency": min,
                "weights_load_s": max,
            },
        )
        absent = {
            "weights_load_s": "the engine reads these weights by another loader than its default one",
            "weights_bytes": "the engine reads these weights by another loader than its default one",
            "kv_cache_tokens": "the engine's worker does not tell it",
            "kv_cache_bytes": "the engine's worker does not tell it",
            "max_concurrency": "the engine's worker does not tell it",
        }
        return Resources(metrics, {name: why for name, why in absent.items() if name not in metrics})

    def used(self) -> Resources:  # noqa: D102
        answers = self._session.call("npu_dump_used")
        # What one device must have.
        metrics = _joined(
            [answer["metrics"] for answer in answers], {"peak_memory_bytes": max, "peak_reserved_bytes": max}
        )
        return Resources(metrics, answers[0]["absent"])


def _joined(
    ranks: Sequence[Mapping[str, float]], ways: Mapping[str, Callable[[list[float]], float]]
) -> dict[str, float]:
    """Return each metric that all ranks tell, joined in its own way."""
    return {name: way([rank[name] for rank in ranks]) for name, way in ways.items() if all(name in r for r in ranks)}
