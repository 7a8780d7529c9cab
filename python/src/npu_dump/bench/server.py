"""An OpenAI-compatible server under the clock: streamed continuations, a closed loop of so many at a time."""

from __future__ import annotations

import asyncio
import platform
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from types import TracebackType
from typing import Any, TypeVar

from .. import contract
from ..endpoint.address import is_exposed, parse_address
from ..endpoint.client import Client
from ..endpoint.continuation import Continuation
from ..endpoint.metadata import Server, identify, shown_name
from ..endpoint.questions import Question, Source, questions_of
from ..endpoint.session import Plan, Session
from ..endpoint.ways import IGNORING_END
from .engine import Iteration, Resources, Timing
from .figures import RUN_WIDE

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """How a server is reached.

    Attributes:
        url: of its API.
        model: its name there; None: the only one.
        key: API key, or None.
        timeout: seconds that a request may take.
        connections: most at a time.
    """

    url: str
    model: str | None
    key: str | None
    timeout: float
    connections: int


class ServedModel:
    """A model behind a server, inside a ``with`` block.

    Args:
        connection: to the server.
        dtype: the precision that it runs in; None: not known.
        note: called with what is worth knowing.

    Raises:
        DumpError: on entry, where there is no such server or model.
    """

    name = "endpoint"

    def __init__(self, connection: Connection, *, dtype: str | None, note: Callable[[str], None]) -> None:
        self._connection = connection
        self._dtype = dtype
        self._note = note
        self._address = parse_address(connection.url)
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> ServedModel:
        try:
            self._await(self._open())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # Where interrupts are raised, they leave what was under way.
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._await(_settled(tasks))
            self._await(self._client.__aexit__(None, None, None))
        finally:
            self._loop.close()

    async def _open(self) -> None:
        if self._connection.key is not None and is_exposed(self._address):
            self._note("the API key is sent without encryption: --url is no https address")
        self._client = Client(
            self._address,
            key=self._connection.key,
            timeout=self._connection.timeout,
            # The time of a request that was made twice is that of no request.
            retries=0,
            connections=self._connection.connections,
            note=self._note,
        )
        try:
            self._server: Server = await identify(self._client, self._connection.model)
        except BaseException:
            await self._client.__aexit__(None, None, None)
            raise
        self._session = Session(self._client, Plan(self._server.model, top_k=0, exact=True))

    def tokenize(self, text: str) -> tuple[int, ...] | None:
        """Return a text's token ids by the server's tokenizer; None where it has no such service."""
        return self._await(self._session.tokenize(text))

    def questions(self, source: Source) -> list[Question]:
        """Return prompts that were given, with their token ids as far as the server tells them.

        Raises:
            DumpError: they cannot be read, or the server cannot be asked about them.
        """

        async def prepared() -> list[Question]:
            questions = await questions_of(source, self._session.tokenize)
            return [await self._session.prepared(question) for question in questions]

        return self._await(prepared())

    def probe(self, prompt: Question, tokens: int) -> None:
        """Find out in which way the server can be asked: alone, and before anything is measured.

        Raises:
            DumpError: in none.
        """
        self._session.plan = replace(self._session.plan, generate=tokens)
        found = self._await(self._session.continued(prompt))
        if not self.ignores_end:
            self._note("the server knows no ignore_eos: continuations end where the model ends them")
        if found.tokens is None:
            self._note("the server does not count the tokens that it makes: no throughput, no time per token")

    @property
    def ignores_end(self) -> bool:
        """Whether the server was asked to go on behind an end token."""
        return self._way is not None and IGNORING_END.items() <= self._way.body.items()

    @property
    def _way(self) -> Any:
        return self._session.completing.way or self._session.chatting.way

    def describe(self) -> dict[str, Any]:  # noqa: D102 - see BenchEngine
        versions = {name: metadata.version(name) for name in ("numpy", "pyarrow", "httpx2")}
        version = {} if self._server.version is None else {"version": self._server.version}
        asked = {"by": self._way.name, "prompt": "text" if self._way.as_text else "ids"}
        if self._session.completing.way is None:
            asked["prompt"] = "messages"
        stated = {} if self._dtype is not None else {"dtype": "assumed"}
        return {
            "model": {"id": shown_name(self._server.model)},
            "engine": {"name": self._server.engine} | version,
            "dtype": contract.BY_TORCH[self._dtype or "bfloat16"].name,
            "versions": {"python": platform.python_version()} | versions,
            "endpoint": {"generate": asked} | stated,
        }

    def ask(  # noqa: D102
        self, prompts: Sequence[Question], *, tokens: int, concurrency: int, done: Callable[[], None]
    ) -> Iteration:
        self._session.plan = replace(self._session.plan, generate=tokens)
        start = time.perf_counter()
        continuations = self._await(self._closed_loop(prompts, concurrency, done))
        seconds = time.perf_counter() - start
        return Iteration(
            tuple(_timing(prompt, continuation) for prompt, continuation in zip(prompts, continuations, strict=True)),
            seconds,
        )

    async def _closed_loop(
        self, prompts: Sequence[Question], concurrency: int, done: Callable[[], None]
    ) -> list[Continuation]:
        """Ask for each prompt as soon as one of so many askers is free."""
        found: dict[int, Continuation] = {}
        waiting = iter(enumerate(prompts))

        async def asker() -> None:
            for number, prompt in waiting:
                found[number] = await self._session.continued(prompt)
                done()

        askers = [asyncio.ensure_future(asker()) for _ in range(min(concurrency, len(prompts)))]
        try:
            await asyncio.gather(*askers)
        finally:
            for task in askers:
                task.cancel()
            await _settled(askers)
        return [found[number] for number in range(len(prompts))]

    def loaded(self) -> Resources:  # noqa: D102
        return Resources({}, dict.fromkeys(RUN_WIDE, "the API does not tell it"))

    def used(self) -> Resources:  # noqa: D102
        return Resources({}, {})

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        task = self._loop.create_task(work)
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            task.cancel()

        # Raised where it comes, an interrupt may end any task that runs, and whoever waits for that task raises it
        # once more, while the rest is being put away. Cancelled, the work ends in order; asyncio.Runner, which
        # does the same, is not in Python 3.10.
        watched = self._watch(interrupt)
        try:
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            if interrupted:
                raise KeyboardInterrupt from None
            raise
        finally:
            if watched:
                self._loop.remove_signal_handler(signal.SIGINT)

    def _watch(self, interrupt: Callable[[], None]) -> bool:
        """Have interrupts call a function, where they can: in the main thread, and not on Windows."""
        if threading.current_thread() is not threading.main_thread():
            return False
        try:
            self._loop.add_signal_handler(signal.SIGINT, interrupt)
        except NotImplementedError:
            return False
        return True


async def _settled(tasks: Any) -> None:
    # Their errors are no news beside the one that ended the run.
    await asyncio.gather(*tasks, return_exceptions=True)


def _timing(prompt: Question, continuation: Continuation) -> Timing:
    told = continuation.prompt_tokens
    start, first, last, end = continuation.moments
    return Timing(
        start,
        first,
        last,
        end,
        continuation.tokens,
        told if told is not None or prompt.ids is None else len(prompt.ids),
    )
