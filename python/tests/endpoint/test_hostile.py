"""Servers that answer nonsense, too much, too slowly, or from elsewhere: an error with three parts, in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Refused
from .server import FakeServer, Handler, running

COMPLETIONS = "/v1/completions"
PROMPT = list(b"Paris")


def rows(**changes: Any) -> list[Any]:
    """``prompt_logprobs`` of the prompt, where ``changes`` has another entry for its third token."""
    return [None, *({str(token): {"logprob": -1.0}} for token in PROMPT[1:2]), changes["third"]] + [
        {str(token): {"logprob": -1.0}} for token in PROMPT[3:]
    ]


def scored(value: Any, **others: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": "x", "prompt_logprobs": value, **others}]}


good = {"114": {"logprob": -1.0}}
BAD_ANSWERS: dict[str, Any] = {
    "no object": [],
    "a text": "hello",
    "no choices": {},
    "choices that are no list": {"choices": {"0": {}}},
    "no choice": {"choices": []},
    "two choices": {"choices": [{"index": 0}, {"index": 0}]},
    "another index": {"choices": [{"index": 1, "text": ""}]},
    "a choice of null": {"choices": [None]},
    "too few rows": scored([None]),
    "too many rows": scored([*rows(third=good), *[good] * 100]),
    "rows that are no list": scored({"0": None}),
    "a row that is no mapping": scored(rows(third=[1])),
    "a row of null": scored(rows(third=None)),
    "another token's row": scored(rows(third={"7": {"logprob": -1.0}})),
    "an id that is no number": scored(rows(third={"r": {"logprob": -1.0}})),
    "an id in Arabic digits": scored(rows(third={**good, "٣": {"logprob": -1.0}})),
    "an id beyond all vocabularies": scored(rows(third={**good, "9999999999": {"logprob": -1.0}})),
    "an id below 0": scored(rows(third={**good, "-1": {"logprob": -1.0}})),
    "a log-probability as text": scored(rows(third={"114": {"logprob": "-1"}})),
    "a log-probability as list": scored(rows(third={"114": {"logprob": [-1]}})),
    "a log-probability of true": scored(rows(third={"114": {"logprob": True}})),
    "a log-probability above 0": scored(rows(third={"114": {"logprob": 0.5}})),
    "a log-probability of Infinity": scored(rows(third={"114": {"logprob": float("inf")}})),
    "a log-probability without bound": scored(rows(third={"114": {"logprob": 10**400}})),
    "other ids than were sent": scored(rows(third=good), prompt_token_ids=[1, 2, 3, 4, 5]),
    "more ids than were sent": scored(rows(third=good), prompt_token_ids=[0, *PROMPT]),
    "ids that are no list": scored(rows(third=good), prompt_token_ids="Paris"),
    "ids that are no whole numbers": scored(rows(third=good), prompt_token_ids=[1.5] * 5),
    "another count of tokens": scored(rows(third=good)) | {"usage": {"prompt_tokens": 6}},
    "a count that is no number": scored(rows(third=good)) | {"usage": {"prompt_tokens": "5"}},
    "usage that is no object": scored(rows(third=good)) | {"usage": [5]},
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_answers_of_another_shape(refused: Refused, server: FakeServer, one: Any, name: str) -> None:
    def misbehave(handler: Handler, _body: dict[str, Any]) -> bool:
        if handler.path == COMPLETIONS:
            handler.send(BAD_ANSWERS[name])
        return handler.path == COMPLETIONS

    server.misbehave = misbehave
    error = refused("--prompts", one, prompts=False)
    assert error.startswith("error[server-invalid]")


def test_probabilities_that_add_up_to_more_than_1(refused: Refused, server: FakeServer, one: Any) -> None:
    many = {str(token): {"logprob": -0.5} for token in range(97, 117)}

    def misbehave(handler: Handler, body: dict[str, Any]) -> bool:
        if body.get("prompt_logprobs") == 20:
            handler.send(scored([None, *[many] * 4]))
        return body.get("prompt_logprobs") == 20

    server.misbehave = misbehave
    assert "sum of at most 1" in refused("--prompts", one, prompts=False)


RAW: dict[str, tuple[bytes, dict[str, str]]] = {
    "no JSON": (b"<html>", {}),
    "half a JSON": (b'{"choices": [', {}),
    "nothing": (b"", {}),
    "no UTF-8": (b'{"choices": "\xff\xfe"}', {}),
    "a tower of brackets": (b"[" * 1_000_000, {}),
    "a number of a million digits": (b'{"choices": ' + b"9" * 1_000_000 + b"}", {}),
    "a huge body": (b" " * 30_000_000, {}),
    "a compressed body": (b"\x1f\x8b", {"content_encoding": "gzip"}),
}


@pytest.mark.parametrize("path", [COMPLETIONS, "/v1/models", "/tokenize", "/version"])
@pytest.mark.parametrize("name", RAW)
def test_bodies_that_are_none(refused: Refused, server: FakeServer, one: Any, name: str, path: str) -> None:
    data, headers = RAW[name]

    def misbehave(handler: Handler, _body: dict[str, Any]) -> bool:
        if handler.path == path:
            handler.send_raw(data, **headers)
        return handler.path == path

    server.misbehave = misbehave
    assert refused("--prompts", one, prompts=False).startswith("error[server-invalid]")


def chunk(**choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": "", "finish_reason": None, **choice}]}


BAD_EVENTS: dict[str, list[Any]] = {
    "no choices": [{}],
    "two choices": [{"choices": [chunk()["choices"][0]] * 2}],
    "no text": [{"choices": [{"index": 0}]}],
    "a text of numbers": [chunk(text=[1])],
    "ids of text": [chunk(token_ids=["a"])],
    "an id below 0": [chunk(token_ids=[-1])],
    "an id without bound": [chunk(token_ids=[2**40])],
    "more tokens than were asked for": [chunk(token_ids=[1]), chunk(token_ids=[1, 2, 3, 4])],
    "a reason that is no text": [chunk(finish_reason=1)],
    "logprobs that are no object": [chunk(logprobs=[1])],
    "tokens that are no list": [chunk(logprobs={"tokens": 1})],
    "top_logprobs that are no mapping": [chunk(logprobs={"tokens": ["token_id:1"], "top_logprobs": [1]})],
    "two stories": [chunk(token_ids=[1], logprobs={"tokens": ["token_id:2"]}), chunk(finish_reason="stop")],
    "other ids than were sent": [chunk(prompt_token_ids=[1, 2, 3, 4, 5]), chunk(finish_reason="stop")],
    "a list": [[1]],
}


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_events_of_another_shape(refused: Refused, server: FakeServer, one: Any, name: str) -> None:
    def misbehave(handler: Handler, body: dict[str, Any]) -> bool:
        if not body.get("stream"):
            return False
        handler.start_stream()
        for event in BAD_EVENTS[name]:
            handler.event(event)
        handler.write_chunk(b"data: [DONE]\n\n")
        handler.write_chunk(b"")
        return True

    server.misbehave = misbehave
    error = refused("--prompts", one, "--generate", 4, prompts=False)
    assert error.startswith("error[server-invalid]")


def endless(handler: Handler, write: Callable[[], None], pause: float) -> bool:
    """Write until the other side has enough of it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            write()
        except OSError:
            break
        time.sleep(pause)
    handler.close_connection = True
    return True


ENDLESS: dict[str, tuple[Callable[[Handler], Callable[[], None]], float, str]] = {
    "comments": (lambda h: lambda: h.write_chunk(b": ping\n\n"), 0.01, "server-timeout"),
    "empty texts": (lambda h: lambda: h.event(chunk()), 0.01, "server-timeout"),
    "long texts": (lambda h: lambda: h.event(chunk(text="x" * 100_000)), 0.0, "server-invalid"),
    "one line": (lambda h: lambda: h.write_chunk(b"x" * 100_000), 0.0, "server-invalid"),
    "single bytes": (lambda h: lambda: h.write_chunk(b"d"), 0.05, "server-timeout"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_streams_without_end(refused: Refused, server: FakeServer, one: Any, name: str) -> None:
    make, pause, code = ENDLESS[name]

    def misbehave(handler: Handler, body: dict[str, Any]) -> bool:
        if not body.get("stream"):
            return False
        handler.start_stream()
        return endless(handler, make(handler), pause)

    server.misbehave = misbehave
    # Long enough for what is cut by its size, also on a busy machine.
    timeout = 2 if code == "server-timeout" else 30
    error = refused("--prompts", one, "--generate", 4, "--timeout", timeout, prompts=False, seconds=25)
    assert error.startswith(f"error[{code}]")


def drip_headers(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    return endless(handler, lambda: void(handler.wfile.write(b"x-drip: 1\r\n")), 0.05)


def drip_body(handler: Handler) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    return endless(handler, lambda: void(handler.wfile.write(b" ")), 0.05)


def silence(handler: Handler) -> bool:
    time.sleep(5)
    return handler.drop() is None


def void(_: object) -> None:
    """Turn a write into a statement."""


@pytest.mark.parametrize("slow", [drip_headers, drip_body, silence])
def test_the_timeout_holds_for_the_whole_request(
    refused: Refused, server: FakeServer, one: Any, slow: Callable[[Handler], bool]
) -> None:
    server.misbehave = lambda handler, _body: handler.path == COMPLETIONS and slow(handler)
    error = refused("--prompts", one, "--timeout", 0.7, prompts=False, seconds=5)
    assert error.startswith("error[server-timeout]")
    assert "0.7 s" in error


def test_no_stream_where_one_was_asked_for(refused: Refused, server: FakeServer, one: Any) -> None:
    def misbehave(handler: Handler, body: dict[str, Any]) -> bool:
        if body.get("stream"):
            handler.send(chunk(text="all at once", finish_reason="stop"))
        return bool(body.get("stream"))

    server.misbehave = misbehave
    assert "text/event-stream" in refused("--prompts", one, "--generate", 4, prompts=False)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(refused: Refused, server: FakeServer, one: Any, status: int) -> None:
    with running() as elsewhere:

        def misbehave(handler: Handler, _body: dict[str, Any]) -> bool:
            handler.send_raw(b"", status, location=f"{elsewhere.url}/completions\x1b[31m")
            return True

        server.misbehave = misbehave
        error = refused("--prompts", one, prompts=False)
        assert error.startswith("error[server-redirects]")
        assert elsewhere.url in error
        assert elsewhere.requests == []


def test_nothing_goes_through_a_proxy(ask: Callable[..., int], one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert ask("--prompts", one, prompts=False) == 0
        assert proxy.requests == []


def test_what_a_server_complains_of_is_shown_without_its_tricks(
    refused: Refused, server: FakeServer, one: Any
) -> None:
    def misbehave(handler: Handler, _body: dict[str, Any]) -> bool:
        if handler.path == COMPLETIONS:
            handler.send({"error": {"message": "no\x1b[2J\u202e such thing " + "x" * 5000}}, status=400)
        return handler.path == COMPLETIONS

    server.misbehave = misbehave
    error = refused("--prompts", one, prompts=False)
    assert error.startswith("error[server-lacks]")
    assert "no\\x1b[2J\\u202e such thing" in error
    assert len(error) < 1200


def test_the_key_is_sent_and_nowhere_else(
    ask: Callable[..., int],
    refused: Refused,
    server: FakeServer,
    one: Any,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = "sk-0123456789abcdef"
    monkeypatch.setenv("MY_KEY", key)
    assert ask("--prompts", one, "--api-key-env", "MY_KEY", "--generate", 2, prompts=False) == 0
    assert {headers["authorization"] for _, headers, _ in server.requests} == {f"Bearer {key}"}
    assert key not in "".join(capfd.readouterr())
    assert key.encode() not in (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").unlink()
    for status, code in [(200, "server-invalid"), (401, "server-forbids"), (500, "server-failed")]:

        def repeats(handler: Handler, _body: dict[str, Any], status: int = status) -> bool:
            if handler.path == COMPLETIONS:
                handler.send({"error": f"who is {key}?", "choices": [{"index": 0, "text": key}]}, status=status)
            return handler.path == COMPLETIONS

        server.misbehave = repeats
        error = refused("--prompts", one, "--api-key-env", "MY_KEY", "--retries", 0, prompts=False)
        assert error.startswith(f"error[{code}]")
        assert key not in error
    for value in ("", "two\nlines", "schlüssel"):
        monkeypatch.setenv("MY_KEY", value)
        error = refused("--prompts", one, "--api-key-env", "MY_KEY", prompts=False)
        assert error.startswith("error[api-key-invalid]")
        assert not value or value not in error


@pytest.mark.parametrize(
    "models",
    [
        {"data": 1},
        {"data": [1]},
        {"data": [{"id": 5}]},
        {"data": [{"id": "x" * 100_000}]},
        {"data": [{}]},
        json.loads('{"data": {"id": "\\ud800"}}'),
    ],
)
def test_lists_of_models(refused: Refused, server: FakeServer, models: Any) -> None:
    def misbehave(handler: Handler, _body: dict[str, Any]) -> bool:
        if handler.path == "/v1/models":
            handler.send(models)
        return handler.path == "/v1/models"

    server.misbehave = misbehave
    assert refused().startswith("error[server-invalid]")
