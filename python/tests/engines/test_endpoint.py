"""`npu-dump endpoint` against vLLM's own server."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from npu_dump import DumpFile, load

from .conftest import ENGINE, Run

COMMAND = [sys.executable, "-m", "npu_dump"]
PASSAGES = Path(__file__).parents[3] / "demo" / "passages.jsonl"
ENVIRONMENT = os.environ | ENGINE | {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
# Seconds; vLLM imports and compiles for most of a minute on two cores.
START = 600


@contextmanager
def served(model: Path, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server of the model on the loopback address: its API, and its process, which leads a group of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--dtype", "bfloat16", "--max-model-len", "2048", "--enforce-eager"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT, start_new_session=True
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        end(process)


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own http address
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"not healthy after {START} s: {log.read_text(errors='replace')[-3000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the server and its engine at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def made(run: Run, *arguments: object) -> None:
    ran = run(*arguments)
    assert ran.code == 0, ran.err


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(model, tmp_path_factory.mktemp("server") / "log.txt") as (address, _):
        yield address


@pytest.fixture(scope="module")
def reference(npu_dump: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What transformers says in bfloat16 on the CPU: 2,562 tokens of 30 passages."""
    path = tmp_path_factory.mktemp("reference") / "cpu.arrow"
    options = ("--select", "logits", "--mode", "topk", "--generate", 8, "--no-progress")
    made(npu_dump, "run", "--model", model, "--dtype", "bfloat16", "--prompts", PASSAGES, *options, "-o", path)
    return path


def perplexity(dump: DumpFile) -> tuple[float, int]:
    """exp of the mean loss of all tokens but the first of each sample, summed exactly; and how many they are."""
    losses = [-value for sample in dump.samples() for value in dump["token_logprob", sample, 0][1:].tolist()]
    return math.exp(math.fsum(losses) / len(losses)), len(losses)


def test_the_ids_of_a_reference_give_its_perplexity(
    npu_dump: Run, npu_diff: Run, url: str, reference: Path, tmp_path: Path
) -> None:
    path = tmp_path / "npu.arrow"
    made(npu_dump, "endpoint", "--url", url, "--tokens-from", reference, "--generate", 8, "-o", path)
    cpu, npu = load(reference), load(path)
    samples = cpu.samples()
    assert npu.samples() == samples
    assert sum(len(cpu["input_ids", sample, 0]) for sample in samples) >= 2000
    for sample in samples:
        ids = cpu["input_ids", sample, 0]
        np.testing.assert_array_equal(npu["input_ids", sample, 0], ids)
        assert npu.text("token_text", sample) == cpu.text("token_text", sample)
        assert npu["topk_ids", sample, 0].shape == npu["topk_logprobs", sample, 0].shape == (len(ids), 20)
        # Where the true next token is among the best, both lists say the same of it.
        for row, after in enumerate(ids[1:]):
            place = np.flatnonzero(npu["topk_ids", sample, 0][row] == after)
            if place.size:
                listed = npu["topk_logprobs", sample, 0][row, place[0]]
                assert listed == pytest.approx(npu["token_logprob", sample, 0][row + 1], rel=1e-6)
    expected, tokens = perplexity(cpu)
    found, counted = perplexity(npu)
    assert counted == tokens
    assert found == pytest.approx(expected, rel=0.005)
    compared = npu_diff("compare", reference, path)
    assert compared.code == 0, compared.err
    quality = compared.json["quality"]
    assert quality["perplexity"]["candidate"] == pytest.approx(found, rel=1e-9)
    assert quality["perplexity"]["tokens"] == tokens
    assert quality["top1Agreement"]["positions"] == tokens + len(samples)
    assert quality["firstToken"]["samples"] == quality["generation"]["samples"] == len(samples)
    # Two engines in bfloat16 part at near ties alone.
    first = [cpu["generated_ids", sample, 0][0] == npu["generated_ids", sample, 0][0] for sample in samples]
    assert np.mean(first) >= 0.9
    generated = np.array([len(npu["generated_ids", sample, 0]) for sample in samples])
    for name in ("ttft", "tpot", "e2e"):
        times = npu[f"perf.{name}_ms", -1, 0]
        assert times.shape == (len(samples),)
        # After a single token there is none whose time could be taken.
        assert (times[generated > (name == "tpot")] > 0).all()
    assert npu.run["engine"]["name"] == "vllm"
    assert npu.run["engine"]["version"]
    assert npu.run["endpoint"]["lacks"] == []


def test_its_own_tokenizer_is_that_of_transformers(npu_dump: Run, model: Path, url: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    turns = [{"role": "user", "content": "Name the capital of France."}]
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"messages": turns}) + "\n")
    made(npu_dump, "endpoint", "--url", url, "--prompts", chats, "--generate", 8, "-o", tmp_path / "chat.arrow")
    chat = load(tmp_path / "chat.arrow")
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert chat["input_ids", 0, 0].tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert chat.text("prompt", 0) == text
    generated = chat["generated_ids", 0, 0].tolist()
    assert tokenizer.decode(generated, skip_special_tokens=True) == chat.text("generated_text", 0)
    assert chat["generated_topk_ids", 0, 0][:, 0].tolist() == generated
    assert chat.run["endpoint"]["generate"]["api"] == "chat"
    plain = tmp_path / "plain.txt"
    plain.write_text("größer als 巴黎\n", encoding="utf-8")
    made(npu_dump, "endpoint", "--url", url, "--prompts", plain, "-o", tmp_path / "plain.arrow")
    assert load(tmp_path / "plain.arrow")["input_ids", 0, 0].tolist() == tokenizer("größer als 巴黎")["input_ids"]


def test_several_at_a_time_give_the_same_ids(npu_dump: Run, url: str, reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "npu.arrow"
    options = ("--concurrency", 4, "--limit", 8, "--generate", 4)
    made(npu_dump, "endpoint", "--url", url, "--tokens-from", reference, *options, "-o", path)
    cpu, npu = load(reference), load(path)
    assert npu.samples() == list(range(8))
    for sample in range(8):
        np.testing.assert_array_equal(npu["input_ids", sample, 0], cpu["input_ids", sample, 0])


def test_requests_are_measured_from_outside(npu_dump: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.arrow"
    sizes = ("--input-tokens", 24, "--output-tokens", 6, "--requests", 4, "--concurrency", 2, "--warmup", 1)
    made(npu_dump, "bench", "--url", url, *sizes, "-o", path)
    dump = load(path)
    assert dump.run["performance"]["ignore_eos"] is True
    assert dump["perf.output_tokens", -1, 0].tolist() == [6] * 4
    assert dump["perf.input_tokens", -1, 0].tolist() == [24] * 4
    ttft, tpot, e2e = (dump[f"perf.{name}_ms", -1, 0] for name in ("ttft", "tpot", "e2e"))
    assert ((ttft > 0) & (tpot > 0) & (ttft + 5 * tpot <= e2e + 1e-6)).all()
    # Two at a time: at most the rate of two requests after the other, at least that of one.
    rate = float(dump["perf.requests_per_s", -1, 0])
    assert 1e3 / e2e.max() <= rate <= 2e3 / e2e.min()


@pytest.mark.long
def test_a_server_that_is_killed_leaves_what_was_complete(
    npu_diff: Run, model: Path, reference: Path, tmp_path: Path
) -> None:
    path = tmp_path / "npu.arrow"
    partial = path.with_name("npu.arrow.partial")
    with served(model, tmp_path / "log.txt") as (url, server):
        command = [*COMMAND, "endpoint", "--url", url, "--tokens-from", str(reference), "-o", str(path)]
        command += ["--generate", "8", "--retries", "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            until = time.monotonic() + 120
            # A few samples; the first alone takes some 10 kB.
            while time.monotonic() < until and not (partial.exists() and partial.stat().st_size > 200_000):
                time.sleep(0.01)
            end(server)
            out, err = child.communicate(timeout=60)
    assert child.returncode == 2, err
    assert out == ""
    assert "error[server-unreachable]" in err
    assert "Traceback" not in err
    assert not path.exists()
    repaired = tmp_path / "repaired.arrow"
    assert npu_diff("repair", partial, repaired).code == 0
    cpu, npu = load(reference), load(repaired)
    samples = npu.samples()
    assert 1 <= len(samples) < len(cpu.samples())
    assert samples == list(range(len(samples)))
    for sample in samples:
        np.testing.assert_array_equal(npu["input_ids", sample, 0], cpu["input_ids", sample, 0])
        assert {name for name, number, _ in npu if number == sample} >= set(npu.run["capture"]["select"])
    assert npu["perf.ttft_ms", -1, 0].shape == (len(samples),)
