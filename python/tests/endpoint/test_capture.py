"""What a capture from a server holds: exactly what the server's table says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_dump import DumpWriter, load

from .conftest import Refused
from .server import LOGPROBS, FakeServer, Handler, greedy, text_of

Ask = Callable[..., int]
PROMPTS = ("The capital", "the sea is wide", "Paris")
IDS = [list(prompt.encode()) for prompt in PROMPTS]


def expected_logprobs(ids: list[int]) -> np.ndarray:
    return np.array([np.nan, *LOGPROBS[ids[:-1], ids[1:]]])


def test_a_whole_capture(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    server.token_seconds = 0.01
    assert ask("--generate", 6, "--dtype", "float16") == 0
    dump = load(tmp_path / "a.arrow")
    assert dump.samples() == [0, 1, 2]
    for sample, ids in enumerate(IDS):
        generated = greedy(ids, 6)
        assert dump["input_ids", sample, 0].tolist() == ids
        np.testing.assert_array_equal(dump["token_logprob", sample, 0], expected_logprobs(ids))
        best = np.argsort(-LOGPROBS[ids], axis=1)[:, :20]
        np.testing.assert_array_equal(dump["topk_ids", sample, 0], best)
        np.testing.assert_array_equal(
            dump["topk_logprobs", sample, 0], np.take_along_axis(LOGPROBS[ids], best, 1).astype("f4")
        )
        assert dump["generated_ids", sample, 0].tolist() == generated
        assert dump.text("generated_text", sample) == text_of(generated)
        before = [ids[-1], *generated[:-1]]
        np.testing.assert_array_equal(
            dump["generated_topk_ids", sample, 0], np.argsort(-LOGPROBS[before], axis=1)[:, :20]
        )
        assert dump.text("prompt", sample) == PROMPTS[sample]
    first, each, whole = (dump[f"perf.{name}_ms", -1, 0] for name in ("ttft", "tpot", "e2e"))
    tokens = [len(greedy(ids, 6)) for ids in IDS]
    # The server takes 10 ms a token, and cannot be faster.
    assert (first >= 10).all()
    assert (whole >= 10 * np.array(tokens)).all()
    assert (each[np.array(tokens) > 1] >= 9).all()
    np.testing.assert_allclose(dump["perf.output_tokens_per_s", -1, 0], sum(tokens) / (whole.sum() / 1e3), rtol=1e-9)
    assert dump.run["model"] == {"id": "bigram"}
    assert dump.run["engine"] == {"name": "vllm", "version": "1.2.3"}
    assert dump.run["dtype"] == "F16"
    assert dump.run["endpoint"]["lacks"] == []
    assert dump.run["capture"]["decode"] is False
    assert str(server.server_address[1]) not in json.dumps(dump.run)
    stored = {name for name, sample, _ in dump if sample == 0}
    assert set(dump.run["capture"]["select"]) == stored - {"prompt", "generated_text"}


def test_ids_of_another_dump_are_fed_as_they_are(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    ids = np.array([200, 3, 17, 255, 9])
    with DumpWriter(tmp_path / "cpu.arrow", run={"dtype": "F32", "expect": {"0": ["sea"]}}) as writer:
        writer.write("input_ids", ids)
        writer.write_text("token_text", "[]")
    assert ask("--tokens-from", tmp_path / "cpu.arrow", "--top-k", 3, prompts=False) == 0
    dump = load(tmp_path / "a.arrow")
    assert dump["input_ids", 0, 0].tolist() == ids.tolist()
    assert all(body["prompt"] == ids.tolist() for body in server.asked("/v1/completions"))
    assert dump["topk_ids", 0, 0].shape == (5, 3)
    assert dump.text("token_text", 0) == "[]"
    assert dump.run["expect"] == {"0": ["sea"]}
    assert dump.text("prompt", 0) is None
    assert not server.asked("/tokenize")


@pytest.mark.parametrize("lost", ["prompt_logprobs", "extended"])
def test_echo_gives_the_same_numbers(ask: Ask, server: FakeServer, tmp_path: Path, lost: str) -> None:
    server.features.discard(lost)
    assert ask() == 0
    dump = load(tmp_path / "a.arrow")
    assert dump.run["endpoint"]["score"] == {"by": "echo", "prompt": "ids"}
    for sample, ids in enumerate(IDS):
        np.testing.assert_array_equal(dump["token_logprob", sample, 0], expected_logprobs(ids))
        assert dump["input_ids", sample, 0].tolist() == ids
    # Without ids in place of tokens nobody knows which tokens the best are.
    assert (("topk_ids", 0, 0) in dump) == (lost != "extended")
    if lost == "extended":
        assert json.loads(dump.text("token_text", 2) or "") == list("Paris")
        assert dump.run["endpoint"]["lacks"] == ["topk_ids", "topk_logprobs"]


def test_ids_are_read_from_the_spelling_of_tokens(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    server.features.discard("tell")
    assert ask("--generate", 5) == 0
    dump = load(tmp_path / "a.arrow")
    assert [dump["generated_ids", sample, 0].tolist() for sample in range(3)] == [greedy(ids, 5) for ids in IDS]
    # Without those, too, nobody works them out from the text.
    server.features.discard("logprobs")
    assert ask("--generate", 5, "--force") == 0
    assert "generated_ids" in load(tmp_path / "a.arrow").run["endpoint"]["lacks"]


def test_a_smaller_limit_of_likely_tokens_is_found(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    server.most_top = 5
    assert ask("--generate", 2) == 0
    dump = load(tmp_path / "a.arrow")
    assert dump["topk_ids", 0, 0].shape == (11, 5)
    assert dump["generated_topk_ids", 0, 0].shape == (2, 5)
    # Only the first prompt had to find it out.
    assert len(server.asked("/v1/completions")) == 2 + 2 * 3


def test_a_server_that_takes_only_text(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    server.features -= {"ids", "tokenize"}
    assert ask("--generate", 3) == 0
    dump = load(tmp_path / "a.arrow")
    assert dump.run["endpoint"]["score"]["prompt"] == "text"
    assert [dump["input_ids", sample, 0].tolist() for sample in range(3)] == IDS
    np.testing.assert_array_equal(dump["token_logprob", 1, 0], expected_logprobs(IDS[1]))


def test_what_nobody_tells_is_not_stored(
    ask: Ask, server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.features -= {"extended", "ids", "tokenize", "echo", "logprobs"}
    assert ask("--generate", 3) == 0
    err = capfd.readouterr().err
    assert "no perplexity" in err
    assert "input_ids are not stored" in err
    dump = load(tmp_path / "a.arrow")
    assert dump.run["endpoint"]["lacks"] == [
        *("input_ids", "token_logprob", "topk_ids", "topk_logprobs"),
        *("generated_ids", "generated_topk_ids", "generated_topk_logprobs"),
    ]
    assert dump.run["capture"]["select"] == []
    assert {name for name, sample, _ in dump if sample == 1} == {"prompt", "generated_text"}
    assert dump.text("generated_text", 1) == text_of(greedy(IDS[1], 3))


def test_conversations_go_to_the_chat_api(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    turns = [{"role": "user", "content": "Hi"}]
    path.write_text(json.dumps({"messages": turns, "expect": ["Hello"]}) + "\n")
    assert ask("--prompts", path, "--generate", 4, prompts=False) == 0
    dump = load(tmp_path / "a.arrow")
    ids = list(b"<user>Hi")
    (chat,) = server.asked("/v1/chat/completions")
    assert (chat["messages"], chat["stream"], chat["temperature"]) == (turns, True, 0.0)
    assert dump["input_ids", 0, 0].tolist() == ids
    np.testing.assert_array_equal(dump["token_logprob", 0, 0], expected_logprobs(ids))
    assert dump["generated_ids", 0, 0].tolist() == greedy(ids, 4)
    assert dump.text("prompt", 0) == "<user>Hi"
    assert dump.run["endpoint"]["generate"] == {"api": "chat", "by": "extended", "prompt": "messages"}
    assert dump.run["expect"] == {"0": ["Hello"]}
    # The same through completions, where the server's own template makes the prompt.
    assert ask("--prompts", path, "--generate", 4, "--api", "completions", "--force", prompts=False) == 0
    again = load(tmp_path / "a.arrow")
    assert again["generated_ids", 0, 0].tolist() == greedy(ids, 4)
    assert len(server.asked("/v1/chat/completions")) == 1


def test_a_tokenizer_of_ones_own(ask: Ask, server: FakeServer, tmp_path: Path, model_folder: Path) -> None:
    server.features.discard("tokenize")
    assert ask("--tokenizer", model_folder) == 0
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    dump = load(tmp_path / "a.arrow")
    for sample, prompt in enumerate(PROMPTS):
        assert dump["input_ids", sample, 0].tolist() == tokenizer(prompt)["input_ids"]
    assert "".join(json.loads(dump.text("token_text", 2) or "")) == "Paris"


def test_a_text_in_chunks(ask: Ask, refused: Refused, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Heading\n" + "the sea is wide, " * 4 + "\n", encoding="utf-8")
    assert ask("--text", path, "--chunk", 30, "--limit", 2, prompts=False) == 0
    dump = load(tmp_path / "a.arrow")
    text = ("the sea is wide, " * 4).strip()
    assert [dump.text("prompt", sample) for sample in range(2)] == [text[:30], text[30:60]]
    assert dump["input_ids", 0, 0].tolist() == list(text[:30].encode())
    server.features.discard("tokenize")
    (tmp_path / "a.arrow").unlink()
    assert "--tokenizer" in refused("--text", path, prompts=False)


def test_sampling_is_sent_and_put_down(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    assert ask("--generate", 2, "--temperature", 0.7, "--top-p", 0.9, "--seed", 5) == 0
    sent = next(body for body in server.asked("/v1/completions") if body.get("stream"))
    assert (sent["temperature"], sent["top_p"], sent["seed"]) == (0.7, 0.9, 5)
    # Nothing of the model's own generation settings.
    assert (sent["repetition_penalty"], sent["top_k"], sent["min_p"]) == (1.0, -1, 0.0)
    scoring = next(body for body in server.asked("/v1/completions") if "prompt_logprobs" in body)
    assert scoring["temperature"] == 0.0
    assert load(tmp_path / "a.arrow").run["sampling"] == {"temperature": 0.7, "top_p": 0.9, "seed": 5}


def test_several_at_a_time_come_in_order(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    server.token_seconds = 0.02
    path = tmp_path / "many.txt"
    # The earlier a prompt, the longer it takes.
    lines = [f"prompt {number}" for number in range(12)]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert ask("--prompts", path, "--generate", 4, "--concurrency", 4, prompts=False) == 0
    dump = load(tmp_path / "a.arrow")
    assert [dump.text("prompt", sample) for sample in range(12)] == lines
    assert 2 <= server.most_at_once <= 4
    assert dump["perf.ttft_ms", -1, 0].shape == (12,)
    # What is done at the same time counts once.
    total = dump["perf.e2e_ms", -1, 0].sum() / 1e3
    tokens = sum(len(greedy(list(line.encode()), 4)) for line in lines)
    assert dump["perf.output_tokens_per_s", -1, 0] > 1.2 * tokens / total


def test_numbers_that_are_none_are_nan(ask: Ask, server: FakeServer, tmp_path: Path) -> None:
    """A broken model gives NaN, which JSON writes as null: the dump says so, and no comparison passes it."""

    def broken(handler: Handler, body: dict[str, Any]) -> bool:
        if "prompt_logprobs" not in body:
            return False
        rows = [None, *({str(token): {"logprob": None}} for token in IDS[2][1:])]
        handler.send({"choices": [{"index": 0, "text": "x", "prompt_logprobs": rows}]})
        return True

    server.misbehave = broken
    path = tmp_path / "one.txt"
    path.write_text("Paris", encoding="utf-8")
    assert ask("--prompts", path, prompts=False) == 0
    assert np.isnan(load(tmp_path / "a.arrow")["token_logprob", 0, 0]).all()
