"""The parts of the speed benchmark that a wrong table could come from."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.speed import dumps, forms, machine
from bench.speed.agreement import Answer, Promise, Tolerance, check
from bench.speed.cases import Case, full_cases, small_cases
from bench.speed.failure import Failure
from bench.speed.growth import growth, slopes
from bench.speed.number_formats import decode, encode
from bench.speed.process import measure
from bench.speed.rounds import Bench, ratios, run
from bench.speed.synthetic import Hidden, Logits, Many, samples
from bench.speed.tools import TOOLS, Place, Tool

from npu_dump import load

PROMISE = Promise({"cosine": Tolerance(1e-6, 0), "mse": Tolerance(0, 1e-3)}, {"kl": Tolerance(1e-9, 1e-5)})
OURS = Answer({"a": {"cosine": 0.5, "mse": 2.0, "maxAbs": 1.0}}, {"kl": 0.25})


def test_an_answer_within_its_tolerance_agrees() -> None:
    check(Answer({"a": {"cosine": 0.5 + 9e-7, "mse": 2.0018}}, {"kl": 0.25000249}), OURS, PROMISE)


@pytest.mark.parametrize(
    "answer",
    [
        Answer({}, {"kl": 0.25}),
        Answer({"b": {"cosine": 0.5, "mse": 2.0}}, {"kl": 0.25}),
        Answer({"a": {"cosine": 0.5, "mse": 2.0}, "b": {"cosine": 0.5, "mse": 2.0}}, {"kl": 0.25}),
        Answer({"a": {"cosine": 0.5}}, {"kl": 0.25}),
        Answer({"a": {"cosine": 0.5 + 2e-6, "mse": 2.0}}, {"kl": 0.25}),
        Answer({"a": {"cosine": 0.5, "mse": 2.003}}, {"kl": 0.25}),
        Answer({"a": {"cosine": math.nan, "mse": 2.0}}, {"kl": 0.25}),
        Answer({"a": {"cosine": 0.5, "mse": 2.0}}, {"kl": 0.2501}),
        Answer({"a": {"cosine": 0.5, "mse": 2.0}}, {}),
    ],
)
def test_any_other_answer_fails(answer: Answer) -> None:
    with pytest.raises(Failure):
        check(answer, OURS, PROMISE)


def test_nothing_compared_is_no_agreement() -> None:
    with pytest.raises(Failure, match="nothing to compare"):
        check(Answer(), Answer(), PROMISE)


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([2.0, 8.0, 3.0], [1.0, 2.0, 3.0]) == {"median": 2.0, "least": 1.0, "most": 4.0}


def test_slopes_are_of_the_last_two_stretches() -> None:
    # 1 s a GiB, then 2 s a GiB; a constant start does not matter.
    assert slopes([0.0625, 1, 4], [5.0, 5.9375, 11.9375]) == pytest.approx(2.0)
    assert slopes([1, 2, 4], [3.0, 4.0, 6.0]) == pytest.approx(1.0)
    assert slopes([1, 2], [1.0, 2.0]) is None
    assert slopes([1, 2, 4], [3.0, 3.0, 6.0]) is None


def test_a_series_has_the_tools_that_all_its_cases_have() -> None:
    (series,) = growth([_case(3, 3, cmp=3.0), _case(1, 1, cmp=1.0, cat=9.0), {"growth": None, "tools": []}])
    assert series == {
        "name": "size",
        "amounts": [1, 3],
        "tools": [{"name": "cmp", "seconds": [1.0, 3.0], "peakBytes": [1, 3], "slopes": None, "spread": None}],
    }


def test_where_the_bytes_stay_the_same_the_spread_is_told() -> None:
    (series,) = growth([_case(amount, 10, cat=seconds) for amount, seconds in ((1, 2.0), (2, 5.0), (4, 4.0))])
    (tool,) = series["tools"]
    assert (tool["slopes"], tool["spread"]) == (None, 2.5)
    (series,) = growth([_case(amount, amount, cat=seconds) for amount, seconds in ((1, 2.0), (2, 5.0), (4, 7.0))])
    (tool,) = series["tools"]
    assert (tool["slopes"], tool["spread"]) == (pytest.approx(1 / 3), None)


def _case(amount: int, size: int, **seconds: float) -> dict[str, Any]:
    tools = [{"name": name, "medianSeconds": value, "peakBytes": amount} for name, value in seconds.items()]
    return {"growth": ["size", amount], "bytes": size, "tools": tools}


def test_memory_is_that_of_the_child_alone(tmp_path: Path) -> None:
    # Resident here while the children run: a forked child would have it as its peak.
    ballast = np.ones(300 << 20, np.uint8)
    program = "import sys; data = bytearray(int(sys.argv[1])); print(len(data))"
    output, errors = tmp_path / "output", tmp_path / "errors"

    def child(size: int) -> int:
        ran = measure([sys.executable, "-S", "-c", program, str(size)], output, errors)
        assert ran.status == 0
        assert output.read_text() == f"{size}\n"
        return ran.peak

    small, large = child(1), child(100 << 20)
    assert small < 60 << 20
    assert 0.95 * (100 << 20) < large - small < 1.1 * (100 << 20)
    assert ballast[-1] == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells which processes belong together")
def test_a_tree_has_the_memory_of_all_its_processes(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "data = bytearray(50 << 20)\n"
        "if sys.argv[1:]: subprocess.run([sys.executable, '-S', '-c', sys.argv[1]], check=True)\n"
        "time.sleep(0.3)\n"
    )
    alone = program.replace("sys.argv[1:]", "[]")
    ran = measure([sys.executable, "-S", "-c", program, alone], tmp_path / "o", tmp_path / "e", watch=True)
    assert ran.status == 0
    assert ran.tree is not None
    assert ran.peak < 90 << 20
    assert ran.tree > 100 << 20


def test_seconds_and_exit_code_are_those_of_the_child(tmp_path: Path) -> None:
    program = "import sys, time; time.sleep(0.2); sys.stderr.write('ended'); sys.exit(7)"
    ran = measure([sys.executable, "-c", program], tmp_path / "o", tmp_path / "e")
    assert ran.status == 7
    assert ran.seconds >= 0.2
    assert ran.processor < ran.seconds
    assert (tmp_path / "e").read_text() == "ended"


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="could not be run"):
        measure([tmp_path / "nothing"], tmp_path / "o", tmp_path / "e")


def test_bfloat16_is_rounded_as_torch_rounds() -> None:
    import torch

    values = np.random.default_rng(1).standard_normal(10_000, dtype=np.float32) * np.float32(1e10)
    ties = np.array([0x3F808000, 0x3F818000, 0x3F80FFFF], np.uint32).view(np.float32)
    values = np.concatenate([values, ties, [0.0, -0.0]]).astype(np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16)
    assert np.array_equal(decode(encode(values, "BF16"), "BF16"), expected.float().numpy())


@pytest.mark.parametrize(
    "source",
    [
        Hidden(2, 16, 9, ("F32", "F32")),
        Hidden(2, 16, 9, ("BF16", "BF16")),
        Hidden(1, 8, 5, ("F16", "F16")),
        Logits(50, 9, ("F32", "BF16")),
        Many(7),
    ],
    ids=repr,
)
def test_numpy_files_hold_the_bits_of_the_dumps(source: Hidden | Logits | Many, tmp_path: Path) -> None:
    dumps.write(source, tmp_path)
    forms.make({"npy", "copy"}, tmp_path, None)
    assert (tmp_path / "copy.arrow").read_bytes() == (tmp_path / "reference.arrow").read_bytes()
    described = json.loads((tmp_path / "npy" / "tensors.json").read_text())
    assert sum(math.prod(tensor["shape"]) for tensor in described["tensors"]) == source.elements
    for side, dtype in zip(("reference", "candidate"), source.formats, strict=True):
        dump = load(tmp_path / f"{side}.arrow")
        for index, tensor in enumerate(described["tensors"]):
            stored = np.load(tmp_path / "npy" / side / f"{index:05}.npy")
            rows = np.split(stored, np.cumsum(described["lengths"])[:-1])
            assert tensor[side] == dtype
            for sample, part in enumerate(rows):
                held = dump[tensor["name"], sample, 0]
                whole = held.float().numpy() if dtype == "BF16" else held.astype(np.float32)
                assert np.array_equal(decode(part, dtype), whole)
        ids = [dump["input_ids", sample, 0] for sample in dump.samples()]
        assert np.array_equal(np.load(tmp_path / "npy" / "input_ids.npy"), np.concatenate(ids))
        assert described["lengths"] == [len(part) for part in ids]


def test_sides_differ_everywhere_but_little(tmp_path: Path) -> None:
    dumps.write(Hidden(1, 64, 8, ("F32", "F32")), tmp_path)
    first, second = (load(tmp_path / f"{side}.arrow") for side in ("reference", "candidate"))
    for key in first:
        if key[0] != "input_ids":
            x, y = first[key].astype(np.float64), second[key].astype(np.float64)
            assert 0 < np.linalg.norm(y - x) < 1e-6 * np.linalg.norm(x)


@pytest.mark.parametrize(
    ("tokens", "most", "lengths"), [(9, 256, [3, 2, 2, 2]), (3, 5, [1, 1, 1]), (21, 5, [5, 4, 4, 4, 4])]
)
def test_tokens_are_shared_out(tokens: int, most: int, lengths: list[int]) -> None:
    assert samples(tokens, most) == lengths


def test_every_tool_of_every_case_is_known() -> None:
    for case in [*full_cases(), *small_cases()]:
        assert set(case.tools) <= set(TOOLS)
        assert case.tools[0].startswith("npu-diff")


def test_too_little_space_is_said_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    case = Case("huge", Many(10**6), ("npu-diff", "cmp"))
    with pytest.raises(Failure, match="the disk is too full") as failed:
        machine.demand_space([case], {}, tmp_path, keep=False)
    # Two dumps of 4.096 GB and a copy of one, beside half a gigabyte.
    assert "needed  12.8 GB for huge" in str(failed.value)
    assert "free    1.0 GB" in str(failed.value)
    machine.demand_space([Case("little", Many(10), ("npu-diff",))], {}, tmp_path, keep=False)


def _bench(folder: Path) -> Bench:
    return Bench(folder, None, {}, rounds=1, has_jobs=False, keep=False, tell=lambda _: None)


def test_a_tool_with_another_answer_is_in_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = TOOLS["NumPy"]
    assert numpy.answer is not None
    read = numpy.answer

    def wrong(place: Place) -> Answer:
        answer = read(place)
        name, figures = next(iter(answer.tensors.items()))
        return Answer({**answer.tensors, name: {**figures, "mse": figures["mse"] * 1.001}})

    liar = Tool("liar", "npy", numpy.command, answer=wrong, promise=numpy.promise)
    silent = Tool("silent", "npy", lambda _: [sys.executable, "-c", ""], answer=numpy.answer, promise=numpy.promise)
    dead = Tool("dead", "arrow", lambda _: [sys.executable, "-c", "import sys; sys.exit('no more')"])
    for tool in (liar, silent, dead):
        monkeypatch.setitem(TOOLS, tool.name, tool)
    case = Case("case", Many(3), ("npu-diff", "liar", "silent", "dead", "NumPy"))
    record = run(case, _bench(tmp_path))
    assert [tool["name"] for tool in record["tools"]] == ["npu-diff", "NumPy"]
    assert set(record["failed"]) == {"liar", "silent", "dead"}
    assert "another mse" in record["failed"]["liar"]
    assert "cannot be read" in record["failed"]["silent"]
    assert "no more" in record["failed"]["dead"]
    assert not list(tmp_path.iterdir())
