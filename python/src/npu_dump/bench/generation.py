"""A model of transformers under the clock: its own ``generate``, which stops to tell the time at every token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from .. import devices, models, provenance
from ..cache import needs_hybrid_cache
from ..endpoint.questions import Question
from ..generate import run_generate
from ..run import forward_failed
from .engine import Iteration, Resources, Timing
from .memory import peaks, weights_bytes


class _Clock(StoppingCriteria):
    """Notes when the new tokens of a step are on the host, and ends nothing.

    Asked once a step on every version, where a streamer may be told one step late.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:  # noqa: ARG002
        input_ids[:, -1].tolist()
        devices.synchronize(self._device)
        self.times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class Generation:
    """A loaded model of transformers; batches are padded on the left and run to their end.

    Args:
        source: where the model is.
        device: where it goes.
        dtype: None: the checkpoint's.
        attention: None: transformers' choice.
        note: called with what is worth knowing.

    Raises:
        DumpError: it cannot be loaded.
    """

    name = "transformers"

    def __init__(
        self,
        source: models.ModelSource,
        *,
        device: torch.device,
        dtype: torch.dtype | None,
        attention: str | None,
        note: Callable[[str], None],
    ) -> None:
        devices.synchronize(device)
        start = time.perf_counter()
        self.model = models.load_model(source, device=device, dtype=dtype, attention=attention, note=note)
        devices.synchronize(device)
        self._load_s = time.perf_counter() - start
        self._source = source
        self._device = device

    def __enter__(self) -> Generation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def describe(self) -> dict[str, Any]:  # noqa: D102 - see BenchEngine
        run = provenance.describe(self.model)
        run["model"]["id"] = provenance.model_id(self._source.given)
        return run

    def ask(  # noqa: D102
        self, prompts: Sequence[Question], *, tokens: int, concurrency: int, done: Callable[[], None]
    ) -> Iteration:
        if len(prompts) > concurrency:
            raise AssertionError("whole batches alone are asked for")
        with models.translated(forward_failed):
            iteration = self._generate([question.ids or () for question in prompts], tokens)
        for _ in prompts:
            done()
        return iteration

    def _generate(self, prompts: Sequence[Sequence[int]], tokens: int) -> Iteration:
        config = GenerationConfig(
            max_new_tokens=tokens,
            do_sample=False,
            num_beams=1,
            # No end token: every row goes on to the last.
            eos_token_id=None,
            pad_token_id=0,
            cache_implementation="hybrid" if needs_hybrid_cache(self.model) else None,
        )
        clock = _Clock(self._device)
        devices.synchronize(self._device)
        with _first_forward(self.model, self._device) as prefill:
            start = time.perf_counter()
            run_generate(self.model, prompts, config, stopping_criteria=StoppingCriteriaList([clock]))
        devices.synchronize(self._device)
        seconds = time.perf_counter() - start
        first, last = clock.times[0], clock.times[-1]
        return Iteration(
            tuple(
                Timing(start, first, last, last, len(clock.times), len(prompt), prefill[1] - prefill[0])
                for prompt in prompts
            ),
            seconds,
        )

    def loaded(self) -> Resources:  # noqa: D102
        return Resources(
            {"load_s": self._load_s, "weights_bytes": float(weights_bytes(self.model))},
            {
                "weights_load_s": "transformers loads nothing else: see load_s",
                "kv_cache_tokens": "transformers sets no memory aside for keys and values",
                "kv_cache_bytes": "transformers sets no memory aside for keys and values",
                "max_concurrency": "transformers schedules no requests",
            },
        )

    def used(self) -> Resources:  # noqa: D102
        return peaks(self._device)


@contextmanager
def _first_forward(model: torch.nn.Module, device: torch.device) -> Iterator[list[float]]:
    """Yield a list that gets the times at which the first forward of the block begins and ends."""
    times: list[float] = []

    def note(*_: Any) -> None:
        devices.synchronize(device)
        times.append(time.perf_counter())
        handles[len(times) - 1].remove()

    handles = [model.register_forward_pre_hook(note), model.register_forward_hook(note)]
    try:
        yield times
    finally:
        for handle in handles:
            handle.remove()
