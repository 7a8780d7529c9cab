"""One engine from its start to its end: requests in, outputs out, and errors that say what happened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol

from ..errors import DumpError
from ..models import translated
from ..progress import Progress
from .adapter import REQUEST_KEY, version
from .watch import Watch, shielded_start

# How much of what the engine says is shown.
_LINES, _REASON = 4, 400
# What a generator of torch takes as seeds on every device.
_SEEDS = 2**63


class Sampling(Protocol):
    """How tokens are drawn."""

    @property
    def temperature(self) -> float | None:
        """None: the most likely token."""
        ...

    @property
    def top_p(self) -> float | None:
        """Share of the probability that is drawn from; None: all."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        ...


@dataclass
class Timed:
    """One request as this process saw it; times are seconds of `time.perf_counter`.

    Attributes:
        start: when it was handed to the engine.
        first: when its first new token came back; NaN before.
        last: when its last one did.
        tokens: new tokens until then.
        prefill_s: seconds from its first place in a forward to its first token, by the engine; None: not told.
    """

    start: float
    first: float = math.nan
    last: float = math.nan
    tokens: int = 0
    prefill_s: float | None = None


class Session:
    """An engine inside a ``with`` block.

    Args:
        arguments: of ``vllm.LLM``.
        progress: told that the engine starts.

    Raises:
        DumpError: on entry, where the engine does not start; in the block, where it dies.
    """

    def __init__(self, arguments: Mapping[str, Any], progress: Progress) -> None:
        self._arguments = dict(arguments)
        self._progress = progress
        self._engine: Any = None
        self._timed = 0

    def __enter__(self) -> Session:
        self._progress.note("starting the engine")
        with shielded_start(), _engine_errors("engine-failed", "the engine did not start"):
            self._engine = import_module("vllm").LLM(**self._arguments)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        engine, self._engine = self._engine, None
        core: Any = getattr(getattr(engine, "llm_engine", None), "engine_core", None)
        with suppress(Exception):
            core.shutdown()

    def request(
        self,
        ids: Sequence[int],
        *,
        tokens: int,
        told: dict[str, Any] | None = None,
        prompt_logprobs: int | None = None,
        logprobs: int | None = None,
        sampling: Sampling | None = None,
        number: int = 0,
        to_the_end: bool = False,
    ) -> tuple[dict[str, Any], Any]:
        """Return a request.

        Args:
            ids: of the prompt.
            tokens: most tokens to go on with.
            told: what the worker is told of it.
            prompt_logprobs: most likely tokens whose log-probabilities come back for each token of the prompt, beside
                the token's own.
            logprobs: the same for each new token.
            sampling: None: greedy.
            number: of the sample, each of which has draws of its own, however they are batched.
            to_the_end: go on behind an end token.
        """
        temperature = sampling.temperature if sampling is not None else None
        parameters = import_module("vllm").SamplingParams(
            max_tokens=tokens,
            temperature=temperature or 0.0,
            top_p=(sampling.top_p if sampling is not None and temperature else None) or 1.0,
            seed=(sampling.seed + number) % _SEEDS if sampling is not None and temperature else None,
            prompt_logprobs=prompt_logprobs,
            logprobs=logprobs,
            ignore_eos=to_the_end,
            detokenize=False,
            extra_args=None if told is None else {REQUEST_KEY: told},
        )
        return {"prompt_token_ids": list(ids)}, parameters

    def generate(self, requests: Sequence[tuple[dict[str, Any], Any]]) -> list[Any]:
        """Run requests together and return the output of each."""
        prompts, parameters = zip(*requests, strict=True)
        with _engine_errors("engine-died", "the engine ended while it ran"), Watch():
            # Awake it would begin with the first request, and which others share its batches would be chance.
            self._engine.sleep(level=0)
            self._engine.enqueue(list(prompts), list(parameters), use_tqdm=False)
            self._engine.wake_up(tags=["scheduling"])
            return self._engine.wait_for_completion(use_tqdm=False)

    def timed(self, requests: Sequence[tuple[dict[str, Any], Any]], done: Callable[[], None]) -> list[Timed]:
        """Run requests together, as `generate` does, and return when the tokens of each came back.

        Args:
            requests: from `request`.
            done: called when one has ended.
        """
        with _engine_errors("engine-died", "the engine ended while it ran"), Watch():
            return self._run_timed(self._engine.llm_engine, requests, done)

    def _run_timed(
        self, engine: Any, requests: Sequence[tuple[dict[str, Any], Any]], done: Callable[[], None]
    ) -> list[Timed]:
        # Of each step what is new alone: nothing is put together here while the clock runs.
        new_alone = import_module("vllm.sampling_params").RequestOutputKind.DELTA
        found: dict[str, Timed] = {}
        for prompt, parameters in requests:
            parameters.output_kind = new_alone
            self._timed += 1
            name = f"bench-{self._timed}"
            found[name] = Timed(time.perf_counter())
            engine.add_request(name, prompt, parameters)
        while engine.has_unfinished_requests():
            outputs = engine.step()
            now = time.perf_counter()
            for output in outputs:
                one = found[output.request_id]
                count = len(output.outputs[0].token_ids)
                if count:
                    one.first = now if math.isnan(one.first) else one.first
                    one.last, one.tokens = now, one.tokens + count
                if output.finished:
                    one.prefill_s = _prefill_s(output.metrics)
                    done()
        return list(found.values())

    def call(self, method: str, *arguments: Any) -> list[dict[str, Any]]:
        """Call a method of the extension on every rank.

        Raises:
            DumpError: one of them failed.
        """
        with _engine_errors("engine-died", "the engine ended while it ran"), Watch():
            answers = self._engine.collective_rpc(method, args=arguments)
        for answer in answers:
            if parts := answer.get("error"):
                facts = [(str(label), text) for label, text in parts["facts"]]
                raise DumpError(parts["code"], parts["what"], facts=facts, help=parts["help"])
        return answers

    def store(self, sample: int, stored: tuple[dict[str, str], dict[str, Any]], repetition: int = 0) -> None:
        """Store texts and arrays of a sample, on every rank."""
        self.call("npu_dump_store", sample, *stored, repetition)

    def abort(self) -> None:
        """Leave the dump as it is; an engine that is gone has left it so."""
        with suppress(Exception), Watch():
            self._engine.collective_rpc("npu_dump_abort", timeout=30)


def _prefill_s(statistics: Any) -> float | None:
    """Return how long a request was in forwards before its first token; None where the engine does not tell."""
    begun, first = (getattr(statistics, name, 0.0) for name in ("scheduled_ts", "first_token_ts"))
    return first - begun if begun and first else None


def _engine_errors(code: str, what: str) -> AbstractContextManager[None]:
    """Turn what the engine raises into our error, which has this code and says this."""

    def told(error: Exception) -> DumpError:
        refused = code == "engine-died" and isinstance(error, ValueError)
        # The first line of some only counts what is wrong.
        reason = " ".join(line.strip() for line in str(error).splitlines()[:_LINES] if line.strip())
        return DumpError(
            "request-refused" if refused else code,
            "the engine does not take a prompt" if refused else what,
            facts=[("vllm", version()), (type(error).__name__, reason[:_REASON] or "no reason given")],
            help="what the engine said stands above; VLLM_LOGGING_LEVEL=INFO shows more"
            if code == "engine-failed"
            else "what is complete is in OUT.partial; npu-diff repair makes a dump of it",
        )

    return translated(told)
