"""The ways in which one thing can be asked for, best first, and which of them a server knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import DumpError
from .client import RefusedError

T = TypeVar("T")

# Most tokens a position that vLLM gives unless it was started with another limit, and that most others give.
_TOP_K = (20, 5)

# What vLLM adds to the API. Its other defaults come from the model's generation settings: only what the logits say
# shall count, as in `npu-dump run`.
_EXTENDED = {
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
    "repetition_penalty": 1.0,
    "top_k": -1,
    "min_p": 0.0,
}
IGNORING_END = {"ignore_eos": True}
_WITH_USAGE = {"stream_options": {"include_usage": True}}


@dataclass(frozen=True)
class Way:
    """One way to ask.

    Attributes:
        name: for the metadata.
        body: what it adds to the request.
        top_k: how many of the most likely tokens it asks for.
        as_text: whether it sends the prompt as text instead of token ids.
    """

    name: str
    body: dict[str, Any]
    top_k: int = 0
    as_text: bool = False


def scoring_ways(top_k: int | None) -> list[Way]:
    """Return the ways to ask for the log-probabilities of a prompt; ``top_k`` as the user gave it."""
    sizes = _TOP_K if top_k is None else (top_k,)
    ways = [Way("prompt_logprobs", _EXTENDED | {"prompt_logprobs": k, "logprobs": k}, k) for k in sizes]
    ways.append(Way("prompt_logprobs", _EXTENDED | {"prompt_logprobs": 0}))
    ways += [Way("echo", _EXTENDED | {"echo": True, "logprobs": k}, k) for k in sizes]
    ways.append(Way("echo", {"echo": True, "logprobs": 1}))
    return [*ways, *(Way(way.name, way.body, way.top_k, as_text=True) for way in ways)]


def generating_ways(top_k: int | None, *, chat: bool) -> list[Way]:
    """Return the ways to ask for a continuation; ``top_k`` as the user gave it."""
    sizes = _TOP_K if top_k is None else (top_k,)
    extended = _EXTENDED | _WITH_USAGE
    ways = [
        Way("extended", extended | ({"logprobs": True, "top_logprobs": k} if chat else {"logprobs": k}), k)
        for k in sizes
    ]
    ways += [Way("extended", extended), Way("plain", _WITH_USAGE), Way("bare", {})]
    if chat:
        return ways
    return [*ways, *(Way(way.name, way.body, way.top_k, as_text=True) for way in ways)]


def exact_ways(*, chat: bool) -> list[Way]:
    """Return the ways to ask for so many tokens and no fewer; those after the second let the model end by itself."""
    ways = [
        Way("extended", _EXTENDED | _WITH_USAGE | IGNORING_END),
        Way("ignore_eos", _WITH_USAGE | IGNORING_END),
        Way("plain", _WITH_USAGE),
        Way("bare", {}),
    ]
    return ways if chat else [*ways, *(Way(way.name, way.body, as_text=True) for way in ways)]


class Ladder(Generic[T]):
    """Climbs down the ways with the first sample, and keeps to the one that led somewhere.

    Attributes:
        way: the way that was found; None before, and where there is none.
        reason: what the server said of the last way that it refused.
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = tuple(ways)
        self._searched = False
        self.way: Way | None = None
        self.reason: DumpError | None = None

    async def ask(self, ask: Callable[[Way], Awaitable[T | None]]) -> T | None:
        """Ask in the way that was found; None where there is none.

        Args:
            ask: asks in one way, and returns None where the answer lacks what was asked for.

        Raises:
            DumpError: the server fails, or no longer gives what it gave before.
        """
        if not self._searched:
            return await self._search(ask)
        if self.way is None:
            return None
        answer = await ask(self.way)
        if answer is None:
            raise DumpError(
                "server-changed",
                "the server gives for a later prompt less than for the first",
                facts=[("asked by", self.way.name), ("first prompt", "answered"), ("this one", "without it")],
                help="keep one server behind the address, and capture again",
            )
        return answer

    async def _search(self, ask: Callable[[Way], Awaitable[T | None]]) -> T | None:
        for way in self._ways:
            try:
                answer = await ask(way)
            except RefusedError as error:
                self.reason = error
                continue
            if answer is not None:
                self._searched, self.way = True, way
                return answer
        self._searched = True
        return None
