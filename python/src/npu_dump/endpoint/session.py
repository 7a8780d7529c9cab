"""Asks a server about one sample: for its token ids, the log-probabilities of the prompt, and a continuation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..errors import DumpError
from ..limits import MIB
from .answers import MalformedError, Scored, by_echo, by_prompt_logprobs, token_ids
from .client import Client, RefusedError
from .continuation import Continuation
from .questions import Question
from .ways import Ladder, Way, exact_ways, generating_ways, scoring_ways

T = TypeVar("T")

# Bytes of JSON that one token may take, and each of those that are likely in its place: ten times what vLLM writes.
_BYTES_PER_TOKEN = 1024
_MOST_BYTES = 256 * MIB


@dataclass(frozen=True)
class Plan:
    """What is asked about each sample.

    Attributes:
        model: its name on the server.
        generate: most tokens of a continuation; 0: none.
        top_k: how many of the most likely tokens; None: as many as the server gives, without insisting.
        temperature: None for greedy decoding.
        top_p: None for all tokens.
        seed: for sampling.
        api: ``auto``, ``completions`` or ``chat``: where continuations are asked for.
        exact: continuations of just ``generate`` tokens, whatever the model says, and nothing beside them.
    """

    model: str
    generate: int = 0
    top_k: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int = 0
    api: str = "auto"
    exact: bool = False


@dataclass(frozen=True)
class Answer:
    """What is known of a sample in the end; None is what nobody told.

    Attributes:
        ids: token ids of the prompt.
        text: its text.
        scored: log-probabilities of the prompt.
        continuation: what was generated.
    """

    ids: tuple[int, ...] | None
    text: str | None
    scored: Scored | None
    continuation: Continuation | None


class Session:
    """One server, and in which ways it can be asked; the first sample, asked alone, finds that out."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self._client = client
        self.plan = plan
        # None: not known yet.
        self._tokenizes: bool | None = None
        self._detokenizes = True
        self.scoring: Ladder[Scored] = Ladder(scoring_ways(plan.top_k))
        self.completing: Ladder[Continuation] = Ladder(_generating_ways(plan, chat=False))
        self.chatting: Ladder[Continuation] = Ladder(_generating_ways(plan, chat=True))

    async def answer(self, question: Question) -> Answer:
        """Ask all about one sample; the continuation first, so that its times are those of a prompt not seen before.

        Raises:
            DumpError: the server fails, or cannot continue a prompt although it was asked to.
        """
        told = await self.again(question)
        scored = await self.scoring.ask(lambda way: self._score(way, question, told.ids))
        ids = told.ids if scored is None else scored.ids
        text = question.text
        if text is None and ids is not None and not question.fixed:
            text = await self.detokenize(ids)
        return Answer(ids, text, scored, told.continuation)

    async def again(self, question: Question) -> Answer:
        """Ask how one sample goes on, and for nothing else; its ids as far as they are told by that.

        Raises:
            DumpError: as `answer`.
        """
        ids, chats = await self._prepared(question)
        if not self.plan.generate:
            return Answer(ids, None, None, None)
        found = await self._continue(question, ids, chats=chats)
        ids = found.prompt(ids) if not chats else found.prompt_ids or _counted(ids, found)
        return Answer(ids, None, None, found)

    async def prepared(self, question: Question) -> Question:
        """Return a question with its token ids, as far as anybody tells them: all is asked but its answer."""
        ids, _ = await self._prepared(question)
        return replace(question, ids=ids)

    async def continued(self, question: Question) -> Continuation:
        """Ask for the continuation of a prepared question alone.

        Raises:
            DumpError: the server fails, or cannot continue a prompt.
        """
        return await self._continue(question, question.ids, chats=self._chats(question))

    def _chats(self, question: Question) -> bool:
        return bool(question.messages) and self.plan.api != "completions"

    async def _prepared(self, question: Question) -> tuple[tuple[int, ...] | None, bool]:
        """Return the token ids of a question, None where nobody tells them, and whether it is asked as a chat."""
        ids, chats = question.ids, self._chats(question)
        if ids is None or (question.messages and not chats):
            told = await self.tokenize(question.text, question.messages)
            ids = ids if told is None else told
        if question.messages and not chats and ids is None:
            raise _lacks(
                "the server cannot complete messages, nor tell their tokens",
                [("/tokenize", "not there"), ("--tokenizer", "not given")],
                "give --tokenizer DIR, or --api chat",
            )
        return ids, chats

    async def tokenize(self, text: str | None, messages: tuple[dict[str, str], ...] = ()) -> tuple[int, ...] | None:
        """Return token ids by the server's tokenizer; None where it has no such service.

        Raises:
            RefusedError: it has, but not for this prompt.
        """
        if self._tokenizes is False:
            return None
        prompt = {"messages": list(messages)} if messages else {"prompt": text}
        url = f"{self._client.address.root}/tokenize"
        most = _most_tokens(text, messages)
        try:
            answer = await self._client.post(url, {"model": self.plan.model, **prompt}, limit=_limit_of_ids(most))
        except RefusedError:
            if self._tokenizes:
                raise
            self._tokenizes = False
            return None
        ids = self._read(url, lambda: token_ids(answer.get("tokens"), "tokens", most=most))
        # No tokens at all are those of a service that expects the text under another name.
        self._tokenizes = bool(ids)
        return ids or None

    async def detokenize(self, ids: tuple[int, ...]) -> str | None:
        """Return the text of token ids; None where the server has no such service."""
        if not self._detokenizes:
            return None
        url = f"{self._client.address.root}/detokenize"
        try:
            answer = await self._client.post(
                url, {"model": self.plan.model, "tokens": list(ids)}, limit=_limit(len(ids), 0)
            )
        except RefusedError:
            self._detokenizes = False
            return None
        text = answer.get("prompt")
        return text if isinstance(text, str) else None

    async def _continue(self, question: Question, ids: tuple[int, ...] | None, *, chats: bool) -> Continuation:
        ladder = self.chatting if chats else self.completing
        found = await ladder.ask(lambda way: self._stream(way, question, ids, chats=chats))
        if found is None:
            raise ladder.reason or _lacks(
                "the server does not continue prompts",
                [("asked for", f"--generate {self.plan.generate}"), ("given", "nothing")],
                "leave --generate out, or try another --api",
            )
        return found

    async def _stream(
        self, way: Way, question: Question, ids: tuple[int, ...] | None, *, chats: bool
    ) -> Continuation | None:
        plan = self.plan
        prompt = {"messages": list(question.messages)} if chats else _prompt(way, question, ids)
        if prompt is None:
            return None
        sampling = {"temperature": 0.0} if plan.temperature is None else _sampling(plan)
        body = {"model": plan.model, **prompt, "max_tokens": plan.generate, "stream": True, **sampling, **way.body}
        url = f"{self._client.address.api}/{'chat/completions' if chats else 'completions'}"
        # A template of the server's own may be longer than the one that gave us ids.
        most = _most_tokens(question.text, question.messages, None if chats else ids)
        reader = _Reader(self._client, url)

        def start() -> _Reader:
            reader.continuation = Continuation(
                chat=chats, most=plan.generate, most_prompt=most, top=way.top_k, sent=time.perf_counter()
            )
            return reader

        await self._client.stream(url, body, start, limit=_limit(most + plan.generate, way.top_k))
        continuation = reader.continuation
        # What is told twice must be told alike before anything of it is stored.
        self._read(url, continuation.ids)
        if not chats:
            self._read(url, lambda: continuation.prompt(ids))
        return continuation

    async def _score(self, way: Way, question: Question, ids: tuple[int, ...] | None) -> Scored | None:
        prompt = _prompt(way, question, ids)
        if prompt is None:
            return None
        url = f"{self._client.address.api}/completions"
        most = _most_tokens(question.text, question.messages, ids)
        body = {"model": self.plan.model, **prompt, "max_tokens": 1, "temperature": 0.0, **way.body}
        answer = await self._client.post(url, body, limit=_limit(most, way.top_k))
        read = by_echo if way.name == "echo" else by_prompt_logprobs
        scored = self._read(url, lambda: read(answer, ids, way.top_k, most))
        insisted = self.plan.top_k is not None and way.top_k
        return None if scored is None or (insisted and scored.top is None) else scored

    def _read(self, url: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except MalformedError as error:
            raise self._client.invalid(url, str(error)) from error


class _Reader:
    """A continuation that a client can fill, its complaints in our words."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url
        self.continuation: Continuation

    def take(self, event: dict[str, Any], at: float) -> None:
        try:
            self.continuation.take(event, at)
        except MalformedError as error:
            raise self._client.invalid(self._url, str(error)) from error

    @property
    def finished(self) -> bool:
        return self.continuation.finished


def _generating_ways(plan: Plan, *, chat: bool) -> list[Way]:
    return exact_ways(chat=chat) if plan.exact else generating_ways(plan.top_k, chat=chat)


def _prompt(way: Way, question: Question, ids: tuple[int, ...] | None) -> dict[str, Any] | None:
    """Return the prompt as a way sends it; None where it cannot."""
    if not way.as_text:
        return None if ids is None else {"prompt": list(ids)}
    # Ids of another dump are fed as they are or not at all.
    return None if question.fixed or question.text is None else {"prompt": question.text}


def _counted(ids: tuple[int, ...] | None, continuation: Continuation) -> tuple[int, ...] | None:
    """Return ids that the server has not confirmed; None where it has counted another number of them."""
    return ids if ids is not None and continuation.prompt_tokens in (None, len(ids)) else None


def _sampling(plan: Plan) -> dict[str, Any]:
    return {"temperature": plan.temperature, "top_p": plan.top_p or 1.0, "seed": plan.seed}


def _most_tokens(text: str | None, messages: tuple[dict[str, str], ...], ids: tuple[int, ...] | None = None) -> int:
    """Return how many tokens a prompt can have: one a byte, and what templates and tokenizers put around it."""
    if ids is not None:
        return len(ids)
    turns = [turn for message in messages for turn in message.values()]
    return sum(len(part.encode("utf-8", "replace")) for part in [text or "", *turns]) + 4096


def _limit(tokens: int, top_k: int) -> int:
    return min(_MOST_BYTES, MIB + tokens * (top_k + 2) * _BYTES_PER_TOKEN)


def _limit_of_ids(tokens: int) -> int:
    # An id has at most ten digits; some servers write the token beside it.
    return min(_MOST_BYTES, MIB + tokens * 64)


def _lacks(what: str, facts: list[tuple[str, object]], way_out: str) -> DumpError:
    return DumpError("server-lacks", what, facts=facts, help=way_out)
