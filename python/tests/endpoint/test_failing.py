"""Servers that are busy, break down or die: repeated within bounds, and what is complete is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.survival.verify import repair

from npu_dump import load

from ..command import COMMAND
from .conftest import Refused
from .server import LOGPROBS, FakeServer, Handler, greedy

Ask = Callable[..., int]
SCORING = "/v1/completions"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds that the command would have waited; it does not."""
    from npu_dump.endpoint import client

    slept: list[float] = []
    sleep = client.asyncio.sleep

    async def at_once(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(client.asyncio, "sleep", at_once)
    yield slept


def first_times(count: int, act: Callable[[Handler], object], *, path: str = SCORING) -> Any:
    """Misbehave the first times that a path is asked for."""
    left = [count]

    def misbehave(handler: Handler, _body: dict[str, Any]) -> bool:
        if handler.path != path or not left[0]:
            return False
        left[0] -= 1
        act(handler)
        return True

    return misbehave


@pytest.mark.parametrize(
    ("after", "least", "most"),
    [("3", 3, 3), ("0", 0, 0), ("100000", 60, 60), ("soon", 0.3, 0.7), ("-5", 0.3, 0.7), (None, 0.3, 0.7)],
)
def test_a_busy_server_is_waited_for_as_long_as_it_says(
    ask: Ask, server: FakeServer, waits: list[float], after: str | None, least: float, most: float
) -> None:
    headers = {} if after is None else {"retry_after": after}
    server.misbehave = first_times(1, lambda handler: handler.send({}, 429, **headers))
    assert ask() == 0
    (waited,) = waits
    assert least <= waited <= most


def test_it_may_name_a_date(ask: Ask, server: FakeServer, waits: list[float]) -> None:
    def busy(handler: Handler) -> None:
        handler.send({}, 429, retry_after=formatdate(time.time() + 20, usegmt=True))

    server.misbehave = first_times(1, busy)
    assert ask() == 0
    assert 15 < waits[0] <= 20


@pytest.mark.parametrize("path", [SCORING, "/v1/models", "/version", "/tokenize"])
@pytest.mark.parametrize("act", [lambda h: h.send({}, 500), lambda h: h.send({}, 503), lambda h: h.drop()])
def test_what_fails_in_passing_is_repeated(
    ask: Ask, server: FakeServer, tmp_path: Path, waits: list[float], act: Callable[[Handler], None], path: str
) -> None:
    server.misbehave = first_times(3, act, path=path)
    assert ask() == 0
    assert len(waits) == 3
    # Each time about twice as long.
    assert 0.3 < waits[0] < waits[1] < waits[2] < 3
    ids = list(b"Paris")
    np.testing.assert_array_equal(load(tmp_path / "a.arrow")["token_logprob", 2, 0][1:], LOGPROBS[ids[:-1], ids[1:]])


def breaks_off(handler: Handler) -> None:
    handler.start_stream()
    handler.event({"choices": [{"index": 0, "text": "half", "token_ids": [5], "finish_reason": None}]})
    handler.drop()


def ends_early(handler: Handler) -> None:
    handler.start_stream()
    handler.event({"choices": [{"index": 0, "text": "half", "token_ids": [5], "finish_reason": None}]})
    handler.write_chunk(b"data: [DONE]\n\n")
    handler.write_chunk(b"")


def complains_late(handler: Handler) -> None:
    handler.start_stream()
    handler.event({"choices": [{"index": 0, "text": "half", "token_ids": [5], "finish_reason": None}]})
    handler.event({"error": {"message": "the engine is dead"}})
    handler.write_chunk(b"")


@pytest.mark.parametrize(
    ("act", "code"),
    [(breaks_off, "server-unreachable"), (ends_early, "server-truncated"), (complains_late, "server-failed")],
)
def test_half_a_stream_is_asked_for_again_from_its_start(
    ask: Ask,
    refused: Refused,
    server: FakeServer,
    tmp_path: Path,
    waits: list[float],
    act: Callable[[Handler], None],
    code: str,
) -> None:
    server.misbehave = first_times(2, act)
    assert ask("--generate", 4) == 0
    assert len(waits) == 2
    dump = load(tmp_path / "a.arrow")
    assert dump["generated_ids", 0, 0].tolist() == greedy(list(b"The capital"), 4)
    (tmp_path / "a.arrow").unlink()
    server.misbehave = first_times(1000, act)
    assert refused("--generate", 4).startswith(f"error[{code}]")


def test_enough_is_enough(refused: Refused, server: FakeServer, waits: list[float]) -> None:
    server.misbehave = first_times(1000, lambda handler: handler.send({"detail": "out of memory"}, 500))
    error = refused("--retries", 2)
    assert error.startswith("error[server-failed]")
    assert "500 out of memory" in error
    assert len(waits) == 2
    assert len(server.asked(SCORING)) == 3


def test_no_server(refused: Refused, server: FakeServer, waits: list[float], tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    assert refused("--retries", 1).startswith("error[server-unreachable]")
    assert len(waits) == 1
    assert list(tmp_path.glob("a.*")) == []


@pytest.mark.usefixtures("waits")
def test_a_server_that_dies_leaves_a_dump_that_can_be_repaired(
    ask: Ask, server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "many.txt"
    lines = [f"prompt {number}" for number in range(9)]
    path.write_text("\n".join(lines), encoding="utf-8")

    def dies(handler: Handler, body: dict[str, Any]) -> bool:
        if body.get("stream") and body["prompt"] == list(lines[5].encode()):
            threading.Thread(target=server.shutdown).start()
            server.server_close()
        return False if server.socket.fileno() != -1 else handler.drop() is None

    server.misbehave = dies
    assert ask("--prompts", path, "--generate", 3, "--concurrency", 2, prompts=False) == 2
    err = capfd.readouterr().err
    assert "error[server-unreachable]" in err
    assert "Traceback" not in err
    assert not (tmp_path / "a.arrow").exists()
    assert repair(tmp_path / "a.arrow.partial", tmp_path / "b.arrow") == 0
    dump = load(tmp_path / "b.arrow")
    # All before the one that failed, each complete, and their times.
    samples = dump.samples()
    assert samples == list(range(len(samples)))
    assert 4 <= len(samples) <= 5
    for sample in samples:
        ids = list(lines[sample].encode())
        assert dump["input_ids", sample, 0].tolist() == ids
        np.testing.assert_array_equal(dump["token_logprob", sample, 0][1:], LOGPROBS[ids[:-1], ids[1:]])
        assert dump["generated_ids", sample, 0].tolist() == greedy(ids, 3)
        assert dump.text("prompt", sample) == lines[sample]
        assert {name for name, number, _ in dump if number == sample} >= set(dump.run["capture"]["select"])
    assert dump["perf.e2e_ms", -1, 0].shape == (len(samples),)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_an_end_from_outside_leaves(server: FakeServer, tmp_path: Path, number: int) -> None:
    path = tmp_path / "many.txt"
    path.write_text("\n".join(f"prompt {number}" for number in range(50)), encoding="utf-8")
    fourth = threading.Event()

    def stalls(_handler: Handler, body: dict[str, Any]) -> bool:
        if body.get("prompt") == list(b"prompt 4"):
            fourth.set()
            time.sleep(20)
        return False

    server.misbehave = stalls
    command = [*COMMAND, "endpoint", "--url", server.url, "-o", str(tmp_path / "a.arrow"), "--prompts", str(path)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert fourth.wait(60)
    child.send_signal(number)
    started = time.monotonic()
    out, err = child.communicate(timeout=15)
    assert time.monotonic() - started < 10
    assert child.returncode == (130 if number == signal.SIGINT else -number)
    assert out == ""
    assert "Traceback" not in err
    assert ("npu-diff repair a.arrow.partial" in err) == (number == signal.SIGINT)
    assert repair(tmp_path / "a.arrow.partial", tmp_path / "b.arrow") == 0
    dump = load(tmp_path / "b.arrow")
    assert dump.samples() == [0, 1, 2, 3]
    assert [dump.text("prompt", sample) for sample in range(4)] == [f"prompt {sample}" for sample in range(4)]


def test_a_server_that_gives_less_later_on(ask: Ask, server: FakeServer, capfd: pytest.CaptureFixture[str]) -> None:
    def forgets(_handler: Handler, body: dict[str, Any]) -> bool:
        if body.get("prompt") == list(b"Paris"):
            server.features.discard("prompt_logprobs")
        return False

    server.misbehave = forgets
    assert ask() == 2
    assert "error[server-changed]" in capfd.readouterr().err


def test_without_the_library(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("npu_dump.endpoint")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    error = refused()
    assert error.startswith("error[httpx-absent]")
    assert "npu-dump[endpoint]" in error
