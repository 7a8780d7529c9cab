"""Repetitions: the same prompts continued again, alike and in other batches, and stored beside the run itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM

from npu_dump import DumpWriter, load
from npu_dump.cli import main
from npu_dump.repeats import schedule

OF_REPEATS = {
    "input_ids",
    "generated_ids",
    "generated_topk_ids",
    "generated_topk_logprobs",
    "generated_text",
    "generated_token_text",
}


def rows(path: Path) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Every row of the prompts by name, sample and repeat, read without the library."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all().to_pylist()
    return {(row["name"], row["sample"], row["repeat"]): row for row in table if row["step"] == 0}


def ids_of(row: dict[str, Any]) -> list[int]:
    return np.frombuffer(row["data"], "<i8").tolist()


@pytest.fixture
def nine(tmp_path: Path) -> Path:
    """Prompts of different lengths, so that a batch of them is padded."""
    path = tmp_path / "nine.txt"
    path.write_text("\n".join("the quick brown fox jumps over"[: 5 + 2 * number] for number in range(9)))
    return path


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many prompts each call of transformers' own generate() is given."""
    from transformers import GenerationMixin

    calls: list[int] = []
    generate = GenerationMixin.generate

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(len(kwargs["input_ids"]))
        return generate(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(GenerationMixin, "generate", noted)
        yield calls


def test_a_deterministic_model_says_the_same_each_time(
    tmp_path: Path, model_folder: Path, nine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.arrow"
    given = ["run", "--model", str(model_folder), "--prompts", str(nine), "--generate", "6", "--dtype", "float32"]
    with watched(monkeypatch) as calls:
        assert main([*given, "--repeats", "3", "-o", str(path)]) == 0
    assert calls == [1] * 9 + [1] * 9 + [8, 1]
    found = rows(path)
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    for sample in range(9):
        fed = ids_of(found["input_ids", sample, 0])
        with torch.no_grad():
            expected = model.generate(
                torch.tensor(fed)[None], max_new_tokens=6, do_sample=False, attention_mask=torch.ones(1, len(fed))
            )[0, len(fed) :].tolist()
        for repeat in range(3):
            assert ids_of(found["input_ids", sample, repeat]) == fed
            assert ids_of(found["generated_ids", sample, repeat]) == expected
        # Fed alike on the CPU, the numbers are the same to the bit.
        first, again = (found["generated_topk_logprobs", sample, repeat]["data"] for repeat in (0, 1))
        assert first == again
    assert {name for name, _, repeat in found if repeat > 0} == OF_REPEATS
    assert {repeat for _, _, repeat in found} == {0, 1, 2}
    assert load(path).run["determinism"] == {
        "repeats": 3,
        "stored": "continuations",
        "schedule": [
            {"batch": 1, "order": "forward"},
            {"batch": 1, "order": "forward"},
            {"batch": 8, "order": "reverse"},
        ],
    }


def test_the_first_repetition_is_the_run_without_any(tmp_path: Path, model_folder: Path, nine: Path) -> None:
    """Another capture on its ids, too: what is fed from a determinism run is the run itself."""
    one, three, again = tmp_path / "one.arrow", tmp_path / "three.arrow", tmp_path / "again.arrow"
    given = ["run", "--model", str(model_folder), "--prompts", str(nine), "--decode", "3"]
    assert main([*given, "-o", str(one)]) == 0
    assert main([*given, "--repeats", "3", "-o", str(three)]) == 0
    mine, theirs = load(one), load(three)
    assert list(mine) == list(theirs)
    for key in mine:
        np.testing.assert_array_equal(mine[key], theirs[key], err_msg=str(key))
    assert "determinism" not in mine.run
    forced = ["run", "--model", str(model_folder), "--tokens-from", str(three), "--decode", "3", "-o", str(again)]
    assert main(forced) == 0
    np.testing.assert_array_equal(load(again)["logits", 8, 3], mine["logits", 8, 3])


def test_a_model_with_dropout_differs_from_itself(
    tmp_path: Path, model_folder: Path, nine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise from the random numbers of torch, which no repetition sets back."""
    path = tmp_path / "a.arrow"
    loaded = AutoModelForCausalLM.from_pretrained

    def noisy(*args: Any, **kwargs: Any) -> Any:
        model, told = loaded(*args, **kwargs)

        def drop(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.dropout(output, 0.5)

        model.model.layers[0].mlp.register_forward_hook(drop)
        return model, told

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", noisy)
    given = ["run", "--model", str(model_folder), "--prompts", str(nine), "--generate", "6"]
    assert main([*given, "--repeats", "2", "-o", str(path)]) == 0
    found = rows(path)
    same = [ids_of(found["generated_ids", s, 0]) == ids_of(found["generated_ids", s, 1]) for s in range(9)]
    assert not all(same)


@pytest.mark.parametrize(
    ("batch", "samples", "expected"),
    [
        (1, 9, [(1, False), (1, False), (8, True), (1, False), (8, True)]),
        # A batch that holds them all is told apart from each alone.
        (16, 5, [(5, False), (5, False), (1, True), (5, False), (1, True)]),
        (3, 9, [(3, False), (3, False), (8, True), (3, False), (8, True)]),
        (8, 20, [(8, False), (8, False), (1, True), (8, False), (1, True)]),
        # One prompt has no neighbours.
        (4, 1, [(1, False)] * 5),
    ],
)
def test_the_schedule(batch: int, samples: int, expected: list[tuple[int, bool]]) -> None:
    made = schedule(5, batch=batch, samples=samples)
    assert [(one.batch, one.reverse) for one in made] == expected
    assert [one.number for one in made] == [0, 1, 2, 3, 4]
    for one in made:
        fed = [number for part in one.batches(range(samples)) for number, _ in part]
        assert sorted(fed) == list(range(samples))
        assert fed == sorted(fed, reverse=one.reverse)


@pytest.mark.parametrize(
    "options",
    [
        ["--repeats", "0"],
        ["--repeats", "-1"],
        ["--repeats", "1001"],
        ["--repeats", "2147483648"],
        ["--repeats", "2.5"],
        ["--repeats", "nan"],
        ["--repeats", "2"],
        ["--repeats", "2", "--generate", "0"],
        ["--repeats", "2", "--generate", "4", "--temperature", "0.7"],
    ],
)
def test_repetitions_that_mean_nothing_are_refused(
    tmp_path: Path, model_folder: Path, nine: Path, capfd: pytest.CaptureFixture[str], options: list[str]
) -> None:
    path = tmp_path / "a.arrow"
    given = ["run", "--model", str(model_folder), "--prompts", str(nine), "-o", str(path)]
    assert main([*given, *options]) == 2
    assert "--repeats" in capfd.readouterr().err
    assert list(tmp_path.glob("a.arrow*")) == []


def test_forced_tokens_are_no_continuation_of_its_own(
    tmp_path: Path, model_folder: Path, nine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.arrow"
    assert (
        main(["run", "--model", str(model_folder), "--prompts", str(nine), "--decode", "2", "-o", str(source)]) == 0
    )
    forced = ["run", "--model", str(model_folder), "--tokens-from", str(source), "--decode", "2", "--repeats", "2"]
    assert main([*forced, "-o", str(tmp_path / "b.arrow")]) == 2
    assert "--generate" in capfd.readouterr().err
    assert main([*forced, "--generate", "2", "-o", str(tmp_path / "b.arrow"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["samples"] == 9
    assert len(ids_of(rows(tmp_path / "b.arrow")["generated_ids", 8, 1])) == 2


def test_the_reader_shows_the_run_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    with DumpWriter(path, run={"dtype": "F32"}) as writer:
        writer.write("norm", np.array([1.0, 2.0]), repeat=1)
        writer.write("norm", np.array([3.0, 4.0]))
        writer.write("logits", np.array([5.0]), repeat=2)
    dump = load(path)
    assert list(dump) == [("norm", 0, 0)]
    assert dump["norm", 0, 0].tolist() == [3.0, 4.0]
