"""Repetitions through a server: what it is asked, what is stored, and what `npu-diff` says of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bench.survival.verify import repair

from npu_dump import load

from .conftest import Refused
from .server import FakeServer, greedy

Ask = Callable[..., int]
MAIN = Path(__file__).parents[3] / "dist" / "cli" / "main.js"
NINE = [f"prompt {number}" for number in range(9)]
OF_REPEATS = {"input_ids", "generated_ids", "generated_text", "generated_topk_ids", "generated_topk_logprobs"}


@pytest.fixture
def nine(tmp_path: Path) -> Path:
    path = tmp_path / "nine.txt"
    path.write_text("\n".join(NINE), encoding="utf-8")
    return path


@pytest.fixture
def repeated(ask: Ask, nine: Path, tmp_path: Path) -> Callable[..., Path]:
    """A dump of nine prompts, continued three times."""

    def run(*options: object) -> Path:
        given = ("--prompts", nine, "--generate", 4, "--repeats", 3)
        assert ask(*given, *options, prompts=False) == 0
        return tmp_path / "a.arrow"

    return run


def judged(path: Path) -> tuple[int, Any]:
    """What the analyzer says of a dump beside itself: its exit code, and the figures of the candidate."""
    command = ["node", str(MAIN), "compare", str(path), str(path), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return ran.returncode, json.loads(ran.stdout)["quality"]["determinism"]["candidate"]


def streamed(server: FakeServer) -> list[str]:
    """The prompts of the continuations that were asked for, in their order."""
    return [bytes(body["prompt"]).decode() for body in server.asked("/v1/completions") if body.get("stream")]


def test_a_server_that_repeats_itself(repeated: Callable[..., Path], server: FakeServer) -> None:
    server.token_seconds = 0.005
    path = repeated()
    assert streamed(server)[:18] == NINE * 2
    # Several at a time come in no order, but the last prompt before the first.
    again = streamed(server)[18:]
    assert sorted(again) == NINE
    assert again.index(NINE[8]) < again.index(NINE[0])
    assert server.most_at_once > 1
    with pa.memory_map(str(path)) as source:
        rows = pa.ipc.open_file(source).read_all().to_pylist()
    names = {number: {row["name"] for row in rows if row["repeat"] == number} for number in range(3)}
    assert names[1] == names[2] == OF_REPEATS
    assert names[0] > OF_REPEATS
    of_run = {(row["name"], row["sample"]): row["data"] for row in rows if row["repeat"] == 0}
    assert all(row["data"] == of_run[row["name"], row["sample"]] for row in rows if row["repeat"])
    dump = load(path)
    assert dump.run["determinism"] == {
        "repeats": 3,
        "stored": "continuations",
        "schedule": [
            {"concurrency": 1, "order": "forward"},
            {"concurrency": 1, "order": "forward"},
            {"concurrency": 8, "order": "reverse"},
        ],
    }
    # The times are those of the run itself.
    assert dump["perf.e2e_ms", -1, 0].shape == (9,)
    code, found = judged(path)
    assert (code, found["share"], found["runToRun"]["share"], found["batch"]["share"]) == (0, 1, 1, 1)
    assert found["runToRun"]["tensors"]["identical"] == 9


def test_one_that_does_not_is_found(repeated: Callable[..., Path], server: FakeServer) -> None:
    said = {"count": 0}

    def wavers(prompt: list[int], count: int, **_: bool) -> list[int]:
        said["count"] += bytes(prompt) == NINE[4].encode()
        ids = greedy(prompt, count)
        # Twice a sample in the run itself: its continuation, and one token when it is scored.
        return ids if said["count"] != 3 or bytes(prompt) != NINE[4].encode() else [ids[0], 99, *ids[2:]]

    server.say = wavers
    code, found = judged(repeated())
    assert code == 1
    assert (found["runToRun"]["identical"], found["batch"]["identical"]) == (8, 9)
    first = found["firstDifference"]
    assert (first["sample"], first["repeat"], first["token"], first["found"]["id"]) == (4, 1, 1, 99)


def test_one_whose_answers_depend_on_company_varies_with_batches(
    repeated: Callable[..., Path], server: FakeServer
) -> None:
    server.token_seconds = 0.005
    server.say = lambda prompt, count, **_: [65 + (server.under_way > 1), *greedy(prompt, count)][:count]
    code, found = judged(repeated())
    assert code == 0
    assert found["runToRun"]["share"] == 1
    assert found["batch"]["share"] < 1


@pytest.mark.parametrize("noise", [0, 1])
def test_texts_alone_are_held_to_each_other(repeated: Callable[..., Path], server: FakeServer, noise: int) -> None:
    server.features -= {"extended", "ids", "tell", "tokenize", "logprobs", "prompt_logprobs", "echo"}
    server.say = lambda prompt, count, **_: [65 + noise * len(server.requests) % 26, *greedy(prompt, count)][:count]
    path = repeated()
    assert not [key for key in load(path) if key[0] == "generated_ids"]
    code, found = judged(path)
    # Texts alone decide nothing between two dumps; what differs from itself fails all the same.
    assert code == (1 if noise else 3)
    assert (found["runToRun"]["share"] == 1) is (noise == 0)


def test_what_the_user_must_know(ask: Ask, capfd: pytest.CaptureFixture[str], nine: Path) -> None:
    given = ("--prompts", nine, "--generate", 1, "--limit", 2)
    assert ask(*given, "--repeats", 2, "--concurrency", 2, prompts=False) == 0
    notes = capfd.readouterr().err
    assert "prefix cache" in notes
    assert "--concurrency 1" in notes
    assert ask(*given, "--force", prompts=False) == 0
    assert "prefix cache" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--repeats", 2), "--generate"),
        (("--repeats", 2, "--generate", 2, "--temperature", 1), "--temperature"),
        (("--repeats", 0, "--generate", 2), "from 1 to 1000"),
        (("--repeats", 1001, "--generate", 2), "from 1 to 1000"),
        (("--repeats", "nan", "--generate", 2), "from 1 to 1000"),
    ],
)
def test_repetitions_that_mean_nothing_are_refused(refused: Refused, options: tuple[object, ...], named: str) -> None:
    assert named in refused(*options)


def test_a_server_that_dies_among_the_repetitions_leaves_the_run(
    ask: Ask, server: FakeServer, nine: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(handler: Any, body: dict[str, Any]) -> bool:
        again = body.get("stream") and streamed(server).count(NINE[3]) > 1
        return bool(again) and handler.send({"detail": "dead"}, 500) is None

    server.misbehave = fails
    assert ask("--prompts", nine, "--generate", 2, "--repeats", 2, "--retries", 0, prompts=False) == 2
    assert "error[server-failed]" in capfd.readouterr().err
    assert repair(tmp_path / "a.arrow.partial", tmp_path / "b.arrow") == 0
    dump = load(tmp_path / "b.arrow")
    assert dump.samples() == list(range(9))
    assert dump["perf.e2e_ms", -1, 0].shape == (9,)
