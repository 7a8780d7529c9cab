"""`npu-dump bench --url`: a closed loop of streamed requests, timed from outside."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_dump import DumpFile, load
from npu_dump.cli import main

from ..command import COMMAND
from .server import VOCABULARY, FakeServer, Handler, greedy

Bench = Callable[..., int]
COMPLETIONS = "/v1/completions"
RUN_WIDE = {
    *("load_s", "weights_load_s", "weights_bytes", "kv_cache_tokens", "kv_cache_bytes", "max_concurrency"),
    *("peak_memory_bytes", "peak_reserved_bytes"),
}


@pytest.fixture
def bench(server: FakeServer, tmp_path: Path) -> Bench:
    def run(*options: object) -> int:
        return main(["bench", "--url", server.url, "-o", str(tmp_path / "a.arrow"), *map(str, options)])

    return run


def values(dump: DumpFile, name: str) -> Any:
    return np.asarray(dump[f"perf.{name}", -1, 0])


def test_a_closed_loop_and_a_sweep(
    bench: Bench, server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.token_seconds = 0.01
    options = ("--input-tokens", 11, "--output-tokens", 4, "--requests", 7, "--concurrency", 3, "--warmup", 1)
    assert (
        bench(*options, "--sweep-batch", "1,2", "--sweep-output", "1", "--iterations", 2, "--dtype", "float16") == 0
    )
    dump = load(tmp_path / "a.arrow")
    asked = server.asked(COMPLETIONS)
    # One finds out how the server can be asked; then a warm-up of as many as are under way, and what is counted.
    counts = [4] + [4] * (3 + 7) + [4] * (1 + 2) + [4] * (2 + 4) + [1] * (3 + 6)
    assert [body["max_tokens"] for body in asked] == counts
    assert all(body["ignore_eos"] and body["temperature"] == 0 and "logprobs" not in body for body in asked)
    assert {len(body["prompt"]) for body in asked} == {11}
    # No prompt comes twice: a server may remember it.
    assert len({tuple(body["prompt"]) for body in asked}) == len(asked)
    assert server.most_at_once == 3
    for prefix, requests, iterations, tokens in [
        *(("", 7, 1, 4), ("sweep.0.", 2, 2, 4), ("sweep.1.", 4, 2, 4), ("sweep.2.", 6, 2, 1))
    ]:
        ttft, tpot, e2e = (values(dump, f"{prefix}{name}_ms") for name in ("ttft", "tpot", "e2e"))
        assert len(ttft) == len(tpot) == len(e2e) == requests
        # The server takes 10 ms a token, and cannot be faster.
        assert (ttft >= 10).all()
        assert (e2e >= 10 * tokens).all()
        assert (values(dump, f"{prefix}output_tokens") == tokens).all()
        assert (values(dump, f"{prefix}input_tokens") == 11).all()
        if tokens > 1:
            assert (tpot >= 8).all()
            # What comes after the last token is the end of the stream.
            assert (ttft + (tokens - 1) * tpot <= e2e + 1e-6).all()
        else:
            assert np.isnan(tpot).all()
        seconds = values(dump, f"{prefix}iteration_s")
        assert len(seconds) == iterations
        rate = float(values(dump, f"{prefix}output_tokens_per_s"))
        assert rate * math.fsum(seconds) >= requests * tokens
        assert float(values(dump, f"{prefix}total_tokens_per_s")) == pytest.approx(rate * (11 + tokens) / tokens)
        assert float(values(dump, f"{prefix}requests_per_s")) == pytest.approx(rate / tokens)
    # One at a time: the time in which a request was under way is that of all of them.
    alone = math.fsum(values(dump, "sweep.0.e2e_ms")) / 1e3
    assert float(values(dump, "sweep.0.output_tokens_per_s")) == pytest.approx(8 / alone, rel=1e-9)
    performance = dump.run["performance"]
    assert set(performance["absent"]) == RUN_WIDE | {"prefill_ms"}
    assert (performance["engine"], performance["ignore_eos"], performance["tokens"]) == ("endpoint", True, "random")
    sizes = {"input_tokens": 11, "output_tokens": 4, "requests": 7}
    assert performance["point"] == sizes | {"batch": 3, "concurrency": 3}
    assert [(point["kind"], point["batch"], point["requests"]) for point in performance["sweep"]] == [
        *(("batch", 1, 2), ("batch", 2, 4), ("output", 3, 6))
    ]
    assert dump.run["dtype"] == "F16"
    assert str(server.server_address[1]) not in json.dumps(dump.run)
    assert "time to first token" in capfd.readouterr().err


def ends_early() -> bytes:
    """A prompt whose continuation ends after a few tokens."""
    found = next(token for token in range(33, 127) if 1 < len(greedy([token], 12)) < 12)
    return bytes([found])


def test_a_server_that_ends_by_itself_is_noted(
    bench: Bench, server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.features.discard("ignore_eos")
    path = tmp_path / "prompts.txt"
    text = ends_early()
    path.write_bytes(text + b"\n")
    expected = len(greedy(list(text), 12))
    assert bench("--prompts", path, "--output-tokens", 12, "--requests", 2, "--warmup", 0) == 0
    err = capfd.readouterr().err
    assert "knows no ignore_eos" in err
    assert f"a request made {expected} tokens instead of 12" in err
    dump = load(tmp_path / "a.arrow")
    assert dump.run["performance"]["ignore_eos"] is False
    assert values(dump, "output_tokens").tolist() == [expected, expected]
    assert dump.run["performance"]["tokens"] == "text"


def test_a_server_that_only_knows_text_and_counts_nothing(
    bench: Bench, server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.features -= {"ids", "tokenize", "tell", "extended"}

    def without_usage(_handler: Handler, body: dict[str, Any]) -> bool:
        body.pop("stream_options", None)
        return False

    server.misbehave = without_usage
    assert bench("--input-tokens", 5, "--output-tokens", 3, "--requests", 2, "--warmup", 0) == 0
    err = capfd.readouterr().err
    assert "prompts are 5 words of text" in err
    assert "does not count the tokens" in err
    dump = load(tmp_path / "a.arrow")
    absent = dump.run["performance"]["absent"]
    assert {"output_tokens_per_s", "total_tokens_per_s", "input_tokens"} <= set(absent)
    assert not any(name == "perf.output_tokens_per_s" for name, _, _ in dump)
    assert np.isnan(values(dump, "output_tokens")).all()
    assert (values(dump, "ttft_ms") > 0).all()
    assert all(len(body["prompt"].split()) == 5 for body in server.asked(COMPLETIONS) if body.get("stream"))


def test_conversations_go_to_the_chat_api(bench: Bench, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("the sea is wide\n", encoding="utf-8")
    assert bench("--prompts", path, "--chat", "--output-tokens", 3, "--requests", 2, "--warmup", 0) == 0
    assert not server.asked(COMPLETIONS)
    assert len(server.asked("/v1/chat/completions")) == 3
    assert values(load(tmp_path / "a.arrow"), "output_tokens").tolist() == [3, 3]


def test_a_tokenizer_of_ours_gives_random_ids(
    bench: Bench, server: FakeServer, tmp_path: Path, model_folder: Path
) -> None:
    options = ("--tokenizer", model_folder, "--input-tokens", 6, "--output-tokens", 2, "--requests", 2)
    assert bench(*options, "--warmup", 0) == 0
    assert not server.asked("/tokenize")
    ids = [token for body in server.asked(COMPLETIONS) for token in body["prompt"]]
    assert len(ids) == 3 * 6
    assert all(1 < token < VOCABULARY for token in ids)
    assert len(values(load(tmp_path / "a.arrow"), "e2e_ms")) == 2


@pytest.mark.parametrize("after", [3, 6])
def test_a_request_that_fails_ends_the_measurement(
    bench: Bench, server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str], after: int
) -> None:
    """A request that was repeated has no time of its own, so none is."""

    def fail(handler: Handler, _body: dict[str, Any]) -> bool:
        if len(server.asked(COMPLETIONS)) <= after:
            return False
        handler.send({"error": {"message": "busy"}}, status=503)
        return True

    server.misbehave = fail
    options = ("--input-tokens", 4, "--output-tokens", 2, "--requests", 4, "--concurrency", 2, "--warmup", 0)
    assert bench(*options, "--sweep-batch", "2", "--iterations", 1) == 2
    err = capfd.readouterr().err
    assert "error[server-failed]" in err
    assert "Traceback" not in err
    assert not (tmp_path / "a.arrow").exists()
    # The main point is kept where it was whole.
    assert (tmp_path / "a.arrow.partial").exists() == (after == 6)


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1])
def test_an_interrupt_amid_answers_leaves_no_task_behind(server: FakeServer, tmp_path: Path, delay: float) -> None:
    options = ["--input-tokens", "4", "--output-tokens", "2", "--requests", "4000", "--concurrency", "8"]
    child = subprocess.Popen(
        [*COMMAND, "bench", "--url", server.url, "-o", str(tmp_path / "a.arrow"), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(server.asked(COMPLETIONS)) < 20:
        time.sleep(0.005)
    time.sleep(delay)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=15)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_an_interrupt_ends_it_at_once(server: FakeServer, tmp_path: Path) -> None:
    stalled = threading.Event()

    def stall(_handler: Handler, _body: dict[str, Any]) -> bool:
        if len(server.asked(COMPLETIONS)) > 5:
            stalled.set()
            time.sleep(20)
        return False

    server.misbehave = stall
    options = ["--input-tokens", "4", "--output-tokens", "2", "--requests", "4", "--warmup", "0"]
    command = [*COMMAND, "bench", "--url", server.url, "-o", str(tmp_path / "a.arrow"), *options]
    child = subprocess.Popen(
        [*command, "--sweep-batch", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert stalled.wait(60)
    child.send_signal(signal.SIGINT)
    started = time.monotonic()
    out, err = child.communicate(timeout=15)
    assert time.monotonic() - started < 10
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert "npu-diff repair a.arrow.partial" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow.partial"]
