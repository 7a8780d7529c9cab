"""What the command refuses before, or after its first look at the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npu_dump import DumpWriter
from npu_dump.cli import main

from .conftest import Refused
from .server import FakeServer, Handler


def test_options_that_have_no_meaning(refused: Refused, texts: Path, tmp_path: Path) -> None:
    for arguments, text in [
        (("--temperature", 1), "--generate"),
        (("--generate", 1, "--top-p", 0.5), "--temperature"),
        (("--api", "chat"), "--generate"),
        (("--api", "talk"), "talk"),
        (("--timeout", 0), "'0' is not"),
        (("--timeout", "inf"), "'inf' is not"),
        (("--concurrency", 0), "'0' is not"),
        (("--top-k", 0), "'0' is not"),
        (("--retries", -1), "'-1' is not"),
        (("--text", texts), "not allowed with"),
    ]:
        error = refused(*arguments)
        assert error.startswith("error[usage]"), error
        assert text in error
    for arguments in [
        ("--text", texts, "--chat"),
        ("--tokens-from", tmp_path / "x.arrow", "--api", "chat", "--generate", 1),
        ("--tokens-from", tmp_path / "x.arrow", "--tokenizer", tmp_path),
        (),
    ]:
        assert refused(*arguments, prompts=False).startswith("error[usage]")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "localhost:8000",
            "ftp://host/v1",
            "http://",
            "http://host:port/v1",
            "http://host:99999/v1",
            "http:///v1",
        ),
        *("file:///etc/passwd", "http://[::1/v1", "http://host/v1?key=1", "http://host/v1#x", "http://ho st/v1"),
        *("http://host/\x1b[31m", "http://hö.st/v1", "http://host/v1\r\nX: y"),
    ],
)
def test_addresses_that_are_none(texts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["endpoint", "--url", url, "-o", str(tmp_path / "a.arrow"), "--prompts", str(texts)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error[url-invalid]")
    assert "\x1b" not in err


def test_a_password_in_an_address_is_not_repeated(
    texts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = "http://me:hunter2@host/v1"
    assert main(["endpoint", "--url", url, "-o", str(tmp_path / "a.arrow"), "--prompts", str(texts)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error[url-invalid]")
    assert "hunter2" not in err


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_the_api_below_v1(server: FakeServer, texts: Path, tmp_path: Path, path: str) -> None:
    url = server.url.removesuffix("/v1") + path
    assert main(["endpoint", "--url", url, "-o", str(tmp_path / "a.arrow"), "--prompts", str(texts)]) == 0
    assert {path for path, _, _ in server.requests} == {
        *("/v1/models", "/version", "/tokenize", "/v1/completions"),
    }


def test_which_model(ask: Callable[..., int], refused: Refused, server: FakeServer, tmp_path: Path) -> None:
    assert "bigram" in refused("--model", "other")

    def several(handler: Handler, _body: dict[str, Any]) -> bool:
        if handler.path == "/v1/models":
            handler.send({"data": [{"id": "a"}, {"id": "b\x07"}]})
        return handler.path == "/v1/models"

    server.misbehave = several
    error = refused()
    assert error.startswith("error[model-ambiguous]")
    assert "a, b\\x07" in error
    assert ask("--model", "a") == 0
    assert {body["model"] for body in server.asked("/v1/completions")} == {"a"}
    (tmp_path / "a.arrow").unlink()
    server.misbehave = lambda handler, _body: handler.path == "/v1/models" and handler.send({}, 404) is None
    assert refused().startswith("error[server-refuses]")
    assert ask("--model", "a") == 0


def test_what_was_insisted_on(refused: Refused, server: FakeServer) -> None:
    server.most_top = 5
    error = refused("--top-k", 30)
    assert error.startswith("error[server-lacks]")
    assert "too many logprobs" in error
    server.most_top = 20
    server.misbehave = lambda handler, body: "stream" in body and "logprobs" in body and handler.send({}, 400) is None
    assert refused("--top-k", 5, "--generate", 2).startswith("error[server-lacks]")
    server.features -= {"prompt_logprobs", "echo"}
    assert "--generate" in refused()
    server.misbehave = lambda handler, body: bool(body.get("stream")) and handler.send({}, 404) is None
    assert refused("--generate", 2).startswith("error[server-refuses]")


def test_ids_that_a_server_does_not_take(refused: Refused, server: FakeServer, tmp_path: Path) -> None:
    server.features.discard("ids")
    with DumpWriter(tmp_path / "cpu.arrow", run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.array([80, 97]))
        # Its tokens might be others: the text is no way out.
        writer.write_text("prompt", "Pa")
    assert refused("--tokens-from", tmp_path / "cpu.arrow", prompts=False).startswith("error[server-lacks]")


def test_dumps_that_cannot_be_fed(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "cpu.arrow"
    for tensors, code in [
        ({"input_ids": np.array([-1])}, "token-range"),
        ({"input_ids": np.array([1, 2]), "position_ids": np.array([4, 5])}, "token-range"),
        ({"input_ids": np.array([], dtype="i8")}, "prompt-empty"),
        ({"logits": np.ones((1, 2))}, "tokens-missing"),
    ]:
        with DumpWriter(path, run={"dtype": "F32"}, overwrite=True) as writer:
            for name, value in tensors.items():
                writer.write(name, value)
        assert refused("--tokens-from", path, prompts=False).startswith(f"error[{code}]")


def test_nothing_is_overwritten_unasked(
    ask: Callable[..., int], server: FakeServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ask() == 0
    server.requests.clear()
    assert ask() == 2
    assert "--force" in capfd.readouterr().err
    # Before anything was asked.
    assert server.requests == []
    assert ask("--force") == 0


def test_neither_torch_nor_transformers_is_loaded(server: FakeServer, texts: Path, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom npu_dump.cli import main\n"
        f"assert main(['endpoint', '--url', {server.url!r}, '-o', {str(tmp_path / 'a.arrow')!r},"
        f" '--prompts', {str(texts)!r}, '--generate', '2']) == 0\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_half_a_surrogate_pair_in_a_prompt(ask: Callable[..., int], server: FakeServer, tmp_path: Path) -> None:
    """JSON can spell it; here the server takes it for what Python does."""
    path = tmp_path / "odd.jsonl"
    path.write_text('{"prompt": "a\\ud800b"}\n')
    odd = "a\ud800b"
    server.misbehave = lambda handler, body: body.get("prompt") == odd and handler.send({"tokens": [97, 98]}) is None
    assert ask("--prompts", path, prompts=False) == 0
    assert server.asked("/tokenize")[0]["prompt"] == odd


def test_a_later_prompt_that_is_refused_is_named(
    ask: Callable[..., int], server: FakeServer, capfd: pytest.CaptureFixture[str]
) -> None:
    def too_long(handler: Handler, body: dict[str, Any]) -> bool:
        long = body.get("prompt") in ("the sea is wide", list(b"the sea is wide"))
        if long:
            handler.send({"error": {"message": "longer than the context"}}, status=400)
        return long

    server.misbehave = too_long
    for _ in range(2):
        assert ask("--force") == 2
        err = capfd.readouterr().err
        assert "error[server-refuses]" in err
        assert "400 longer than the context" in err
        assert "prompt   1" in err
        server.features.discard("tokenize")
