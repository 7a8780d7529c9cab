"""An OpenAI-compatible server of the standard library: its model is a table of bigrams, its tokens are bytes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import numpy as np

# More than bytes: a tokenizer of the tests has more.
VOCABULARY = 512
END = 0
# Row i: log-probabilities of the token after token i, in float64 by NumPy, as a float32 server would send them.
LOGITS = np.random.default_rng(7).normal(scale=3.0, size=(VOCABULARY, VOCABULARY))
LOGPROBS = (LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))).astype("<f4").astype("<f8")

Say = Callable[..., list[int]]
Misbehave = Callable[["Handler", dict[str, Any]], bool]


def greedy(prompt: list[int], count: int, *, beyond_end: bool = False) -> list[int]:
    """What the model says after a prompt, its end token included."""
    ids: list[int] = []
    last = prompt[-1]
    while len(ids) < count and (beyond_end or last != END):
        last = int(LOGPROBS[last].argmax())
        ids.append(last)
    return ids


def text_of(ids: list[int]) -> str:
    """The text of generated tokens, without the end token."""
    return "".join(chr(token) for token in ids if token != END)


class Handler(BaseHTTPRequestHandler):
    """Answers by the features of its server, after it was asked whether it misbehaves."""

    protocol_version = "HTTP/1.1"
    # Small writes must leave at once: their times are looked at.
    disable_nagle_algorithm = True
    server: FakeServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        self.body: dict[str, Any] = {}
        self.serve()

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.serve()

    def serve(self) -> None:
        with self.server.counting(self.path, self.headers, self.body):
            try:
                if not self.server.misbehave(self, self.body):
                    self.answer()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def answer(self) -> None:
        routes = {
            "/version": lambda _: self.send({"version": "1.2.3"}),
            "/v1/models": lambda _: self.send({"data": [{"id": "/srv/models/bigram", "owned_by": "vllm"}]}),
            "/v1/completions": self.complete,
            "/v1/chat/completions": self.complete,
        }
        if "tokenize" in self.server.features:
            routes |= {"/tokenize": self.tokenize, "/detokenize": self.detokenize}
        if self.path in routes:
            routes[self.path](self.body)
        else:
            self.send({"detail": "Not Found"}, status=404)

    def tokenize(self, body: dict[str, Any]) -> None:
        self.send({"tokens": self.server.ids_of(body)})

    def detokenize(self, body: dict[str, Any]) -> None:
        self.send({"prompt": text_of(body["tokens"])})

    def complete(self, body: dict[str, Any]) -> None:
        features = self.server.features
        if "extended" not in features and body.keys() & {"return_token_ids", "prompt_logprobs", "min_p"}:
            return self.send({"error": {"message": "unknown field"}}, status=400)
        if "ignore_eos" in body and "ignore_eos" not in features:
            return self.send({"error": {"message": "unknown field ignore_eos"}}, status=400)
        if isinstance(body.get("prompt"), list) and "ids" not in features:
            return self.send({"error": {"message": "prompt must be a string"}}, status=422)
        if max(body.get("prompt_logprobs", 0), int(body.get("logprobs") or 0)) > self.server.most_top:
            return self.send({"error": {"message": "too many logprobs"}}, status=400)
        prompt = self.server.ids_of(body)
        generated = self.server.say(prompt, body["max_tokens"], beyond_end=bool(body.get("ignore_eos")))
        if body.get("stream"):
            return self.stream(body, prompt, generated)
        choice: dict[str, Any] = {"index": 0, "text": text_of(generated), "finish_reason": "length"}
        if "prompt_logprobs" in body and "prompt_logprobs" in features:
            rows = [self.row(before, after, body["prompt_logprobs"]) for before, after in pairwise(prompt)]
            choice["prompt_logprobs"] = [None] + [
                {str(token): {"logprob": value} for token, value in row.items()} for row in rows
            ]
        shown = [*prompt, *generated] if body.get("echo") and "echo" in features else generated
        if "logprobs" in body and "logprobs" in features:
            choice["logprobs"] = self.logprobs(body, prompt, shown)
        if body.get("return_token_ids") and "tell" in features:
            choice |= {"prompt_token_ids": prompt, "token_ids": generated}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(generated)}
        return self.send({"choices": [choice], "usage": usage})

    def logprobs(self, body: dict[str, Any], prompt: list[int], shown: list[int]) -> dict[str, Any]:
        spell: Any = "token_id:{}".format if body.get("return_tokens_as_token_ids") else chr
        echoed = len(shown) > 0 and shown[: len(prompt)] == prompt
        before = [None, *shown[:-1]] if echoed else [prompt[-1], *shown[:-1]]
        rows = [
            None if b is None else self.row(b, token, body["logprobs"])
            for b, token in zip(before, shown, strict=True)
        ]
        return {
            "tokens": [spell(token) for token in shown],
            "token_logprobs": [row and row[token] for row, token in zip(rows, shown, strict=True)],
            "top_logprobs": [row and {spell(token): value for token, value in row.items()} for row in rows],
        }

    def row(self, before: int, token: int, k: int) -> dict[int, float]:
        best = np.argsort(-LOGPROBS[before])[:k]
        return {int(t): float(LOGPROBS[before, t]) for t in [token, *best]}

    def stream(self, body: dict[str, Any], prompt: list[int], generated: list[int]) -> None:
        chat = self.path.endswith("/chat/completions")
        tells = bool(body.get("return_token_ids")) and "tell" in self.server.features
        self.start_stream()
        if chat:
            role = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
            self.event(role | ({"prompt_token_ids": prompt} if tells else {}))
        for place, token in enumerate(generated):
            time.sleep(self.server.token_seconds)
            last = place == len(generated) - 1
            text = text_of([token])
            choice: dict[str, Any] = {"index": 0, "finish_reason": "length" if last else None}
            choice |= {"delta": {"content": text}} if chat else {"text": text}
            if tells:
                choice["token_ids"] = [token]
                choice |= {} if chat or place else {"prompt_token_ids": prompt}
            if body.get("logprobs") and "logprobs" in self.server.features and not chat:
                choice["logprobs"] = self.logprobs(body, [*prompt, *generated[:place]], [token])
            self.event({"choices": [choice]})
        if "stream_options" in body:
            self.event({"choices": [], "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(generated)}})
        self.write_chunk(b"data: [DONE]\n\n")
        self.write_chunk(b"")

    def send(self, value: Any, status: int = 200, **headers: str) -> None:
        self.send_raw(json.dumps(value).encode(), status, **headers)

    def send_raw(self, data: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, text in {"content_type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def start_stream(self, content_type: str = "text/event-stream; charset=utf-8") -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def event(self, value: Any) -> None:
        self.write_chunk(f"data: {json.dumps(value)}\n\n".encode())

    def write_chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def drop(self) -> None:
        """Break the connection off."""
        self.close_connection = True
        self.connection.close()


class FakeServer(ThreadingHTTPServer):
    """Listens on a free port of the loopback address.

    Attributes:
        features: what it can do: ``extended`` fields, ``ids`` as prompts, ``prompt_logprobs``, ``echo``,
            ``logprobs``, ``tell`` token ids, ``tokenize``, ``ignore_eos``.
        most_top: the most likely tokens that it gives a position.
        say: what its model goes on with; called as `greedy`.
        misbehave: called before each answer; True where it has answered itself.
        requests: path, headers and body of each request, in order.
        under_way: requests that are being answered now.
        most_at_once: the most completions that were under way at one time.
    """

    daemon_threads = True
    ALL = frozenset({"extended", "ids", "prompt_logprobs", "echo", "logprobs", "tell", "tokenize", "ignore_eos"})

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.features = set(self.ALL)
        self.most_top = 20
        self.token_seconds = 0.0
        self.say: Say = greedy
        self.misbehave: Misbehave = lambda _handler, _body: False
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.most_at_once = 0
        self.under_way = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def ids_of(self, body: dict[str, Any]) -> list[int]:
        prompt = body.get("prompt")
        if isinstance(prompt, list):
            return prompt
        turns = body.get("messages", [])
        return list((prompt or "".join(f"<{turn['role']}>{turn['content']}" for turn in turns)).encode())

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies of all requests to a path."""
        return [body for there, _, body in self.requests if there == path]

    @contextmanager
    def counting(self, path: str, headers: Any, body: dict[str, Any]) -> Iterator[None]:
        with self._lock:
            self.requests.append((path, dict(headers.items()), body))
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            yield
        finally:
            with self._lock:
                self.under_way -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or a connection that a test has broken off, is no news."""


@contextmanager
def running() -> Iterator[FakeServer]:
    """A server that runs until the block ends."""
    server = FakeServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
