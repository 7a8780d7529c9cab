"""HTTP to one server that may be slow, overloaded, broken or hostile: bounded in time and size, and retried."""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, TypeVar

import httpx2

from .._version import __version__
from ..errors import DumpError
from ..limits import MIB
from .address import Address

T = TypeVar("T")

# Of an answer that only says why there is none, and of a stream's event: far more than any server writes.
_MAX_COMPLAINT = 64 * 1024
_MAX_EVENT = 4 * MIB
_SHOWN_CHARACTERS = 300
# Characters from which a key is no placeholder such as EMPTY, which any text may hold.
_LEAST_SECRET = 8
# Seconds: what a server may ask us to wait, and how our own waiting grows.
_MAX_RETRY_AFTER = 60.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0


class RefusedError(DumpError):
    """The server understood, and will not: a status of 400 to 499 but those that pass."""


class _AgainError(Exception):
    """An attempt has failed in a way that may pass."""

    def __init__(self, error: DumpError, wait: float | None = None) -> None:
        self.error = error
        self.wait = wait
        super().__init__(error.what)


class Collector(Protocol):
    """Takes the events of one stream."""

    def take(self, event: dict[str, Any], at: float) -> None:
        """Take an event and when it came, on `time.perf_counter`."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the stream may end here."""
        ...


C = TypeVar("C", bound=Collector)


class Client:
    """Requests to the server of one address, and to no other.

    Args:
        address: where the server is.
        key: API key, or None; never shown.
        timeout: seconds that one attempt may take, from the connection to the last byte.
        retries: how often an attempt that failed in passing is repeated.
        connections: most at a time.
        note: told about each repetition.
    """

    def __init__(
        self,
        address: Address,
        *,
        key: str | None,
        timeout: float,
        retries: int,
        connections: int,
        note: Callable[[str], None],
    ) -> None:
        self.address = address
        self._key = key
        self._timeout = timeout
        self._retries = retries
        self._note = note
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": f"npu-dump/{__version__}",
        }
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        self._http = httpx2.AsyncClient(
            headers=headers,
            # Neither proxies nor passwords from the environment: what is asked goes to the given address alone.
            trust_env=False,
            follow_redirects=False,
            # One bound on the whole attempt instead of one on each read, which a slow drip never reaches.
            timeout=None,
            limits=httpx2.Limits(max_connections=connections),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, url: str) -> dict[str, Any]:
        """Return the JSON object at an address; the errors are those of `post`."""
        return await self._repeated(url, lambda: self._object("GET", url, None, MIB))

    async def post(self, url: str, body: Mapping[str, Any], *, limit: int) -> dict[str, Any]:
        """Send a JSON object and return the one that comes back.

        Args:
            url: one of the address's.
            body: what to send.
            limit: most bytes of the answer.

        Raises:
            RefusedError: the server will not do that.
            DumpError: it cannot be reached, took too long, failed, or answered with what is no JSON object.
        """
        return await self._repeated(url, lambda: self._object("POST", url, body, limit))

    async def stream(self, url: str, body: Mapping[str, Any], start: Callable[[], C], *, limit: int) -> C:
        """Send a JSON object and hand the events that come back to a collector, a new one each attempt.

        Raises:
            RefusedError: the server will not do that.
            DumpError: as `post`; or the stream ended too early.
        """
        return await self._repeated(url, lambda: self._events(url, body, start(), limit))

    async def _repeated(self, url: str, attempt: Callable[[], Awaitable[T]]) -> T:
        for number in range(self._retries + 1):
            try:
                return await asyncio.wait_for(self._translated(url, attempt), self._timeout)
            except asyncio.TimeoutError as error:
                raise DumpError(
                    "server-timeout",
                    "the server did not answer in time",
                    facts=[("request", self.address.shown(url)), ("--timeout", f"{self._timeout:g} s")],
                    help="raise --timeout, or ask for fewer tokens",
                ) from error
            except _AgainError as again:
                if number == self._retries:
                    raise again.error from again.__cause__
                grown = min(_LONGEST_WAIT, _FIRST_WAIT * 2**number) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads requests, guards nothing
                wait = grown if again.wait is None else again.wait
                self._note(f"{again.error.what}; trying again in {wait:.1f} s ({number + 1} of {self._retries})")
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _translated(self, url: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Turn what the HTTP library says into our errors."""
        try:
            return await attempt()
        except httpx2.SSEError as error:
            raise self.invalid(url, f"a stream of events: {error}") from error
        except httpx2.TransportError as error:
            lost = DumpError(
                "server-unreachable",
                "the connection to the server failed",
                facts=[
                    ("request", self.address.shown(url)),
                    (type(error).__name__, self.shown(error) or "no reason given"),
                ],
                help="check that the server runs and that --url is right",
            )
            raise _AgainError(lost) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise self.invalid(url, f"an HTTP answer: {error}") from error

    async def _object(self, method: str, url: str, body: Mapping[str, Any] | None, limit: int) -> dict[str, Any]:
        async with self._http.stream(method, url, content=_json(body)) as response:
            await self._check(url, response)
            data = await self._body(response, limit)
            if data is None:
                raise self.invalid(url, f"an answer of at most {limit} bytes")
        return self._parsed(url, data)

    async def _events(self, url: str, body: Mapping[str, Any], collector: C, limit: int) -> C:
        async with self._http.stream("POST", url, content=_json(body)) as response:
            await self._check(url, response)
            response.encoding = "utf-8"
            received = 0
            async for event in httpx2.EventSource(response, max_event_size=_MAX_EVENT):
                at = time.perf_counter()
                received += len(event.data)
                if received > limit:
                    raise self.invalid(url, f"a stream of at most {limit} bytes")
                if event.data == "[DONE]":
                    break
                if not event.data:
                    continue
                value = self._parsed(url, event.data)
                if "error" in value and "choices" not in value:
                    raise _AgainError(self._failed(url, "in the stream", _complaint(value)))
                collector.take(value, at)
        if not collector.finished:
            raise _AgainError(
                DumpError(
                    "server-truncated",
                    "the server's stream ended before the continuation did",
                    facts=[("request", self.address.shown(url)), ("finish_reason", "not sent")],
                    help="look at the server's log: it may have failed or been stopped",
                )
            )
        return collector

    async def _check(self, url: str, response: httpx2.Response) -> None:
        """Raise unless the status is that of an answer, in bytes as they are."""
        status = response.status_code
        if 200 <= status < 300:
            encoding = response.headers.get("content-encoding", "identity")
            if encoding != "identity":
                # It was not asked for, and a small one may unfold to any size.
                raise self.invalid(url, f"an answer without compression, not {encoding}")
            return
        if 300 <= status < 400:
            raise DumpError(
                "server-redirects",
                "the server sends us elsewhere, and only the given address is used",
                facts=[
                    ("request", self.address.shown(url)),
                    ("location", self.shown(response.headers.get("location", "not given"))),
                ],
                help="give the address that it names with --url, if you trust it",
            )
        data = await self._body(response, _MAX_COMPLAINT)
        try:
            complaint = _complaint(json.loads(data or b""))
        except (ValueError, RecursionError):
            complaint = ""
        if status == 429 or status >= 500:
            wait = _retry_after(response.headers.get("retry-after"))
            raise _AgainError(self._failed(url, status, complaint), wait)
        facts = [("request", self.address.shown(url)), ("status", f"{status} {self.shown(complaint)}".rstrip())]
        if status in (401, 403):
            raise DumpError(
                "server-forbids",
                "the server wants to know who asks",
                facts=facts,
                help="put the key into an environment variable and name it with --api-key-env"
                if self._key is None
                else "check the key in the variable that --api-key-env names",
            )
        raise RefusedError(
            "server-refuses",
            "the server refuses the request",
            facts=facts,
            help="check --model, the tokens asked for and the length of the prompts; the server's log may say more",
        )

    async def _body(self, response: httpx2.Response, limit: int) -> bytes | None:
        """Return the body; None where it is longer than ``limit``."""
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > limit:
                return None
            parts.append(part)
        return b"".join(parts)

    def _parsed(self, url: str, data: bytes | str) -> dict[str, Any]:
        if self._key is not None and len(self._key) >= _LEAST_SECRET:
            text = data if isinstance(data, str) else data.decode("utf-8", "replace")
            if self._key in text:
                # It would stand in the dump for others to read.
                raise self.invalid(url, "an answer that does not repeat the API key")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.invalid(url, f"JSON: {type(error).__name__}") from error
        if not isinstance(value, dict):
            raise self.invalid(url, f"a JSON object, not {type(value).__name__}")
        return value

    def _failed(self, url: str, status: int | str, complaint: str) -> DumpError:
        return DumpError(
            "server-busy" if status == 429 else "server-failed",
            "the server is too busy" if status == 429 else "the server failed",
            facts=[("request", self.address.shown(url)), ("status", f"{status} {self.shown(complaint)}".rstrip())],
            help="look at the server's log, and try again with a smaller --concurrency or more --retries",
        )

    def invalid(self, url: str, expected: str) -> DumpError:
        """Return the error for an answer that is not what was asked for."""
        return DumpError(
            "server-invalid",
            "the server's answer is not what the API promises",
            facts=[("request", self.address.shown(url)), ("expected", self.shown(expected))],
            help="check that --url is that of an OpenAI-compatible server, usually http://HOST:PORT/v1",
        )

    def shown(self, text: object) -> str:
        """Return what a stranger wrote as we show it: one short line, without our key."""
        line = " ".join(str(text).split())
        if self._key is not None:
            line = line.replace(self._key, "[API key]")
        return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


def _json(body: Mapping[str, Any] | None) -> bytes | None:
    # In ASCII: a prompt may hold half of a surrogate pair, which JSON can spell and UTF-8 cannot.
    return None if body is None else json.dumps(body).encode("ascii")


def _complaint(value: Any) -> str:
    """Return what an error's JSON says, in the spellings of several servers."""
    for key in ("error", "message", "detail"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)[:1000]


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a server asks us to wait, within our bounds; None where it does not say."""
    if text is None:
        return None
    try:
        seconds = float(text) if text.strip().isdecimal() else email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    wait = seconds if text.strip().isdecimal() else seconds - time.time()
    return min(max(wait, 0.0), _MAX_RETRY_AFTER)
