"""The speed benchmark runs, checks what the others answer, and leaves nothing behind; how fast, no test can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Needs nothing but what the tests run with.
HERE = {"npu-diff", "npu-diff --version", "node -e 0", "python -c 'import numpy'", "NumPy", "NumPy, in blocks"}
READING = {"cmp", "cat"}
INSTALLED = {
    "torch": "torch",
    "torch, softmax alone": "torch",
    "python -c 'import torch'": "torch",
    "Polygraphy": "polygraphy",
    "Polygraphy, L2 and cosine": "polygraphy",
    "msprobe": "mindstudio-probe",
}


def bench(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.speed", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """What the small run prints, its record, and its folder; without the other tools' environment."""
    folder = tmp_path_factory.mktemp("speed")
    done = bench(
        "--small", "--rounds", 1, "--environment", folder / "none", "--folder", folder, "--out", folder / "it.json"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "it.json").read_text()), folder


def test_every_tool_that_is_there_is_timed_and_every_other_is_named(small: tuple[str, dict[str, Any], Path]) -> None:
    _, record, _ = small
    timed = {tool["name"] for case in record["cases"] for tool in case["tools"]}
    left_out = {name: why for case in record["cases"] for name, why in case["leftOut"].items()}
    assert timed - {"npu-diff --jobs 2"} == HERE | READING
    assert {name: left_out.pop(name) for name in INSTALLED} == {
        name: f"{package} is not installed" for name, package in INSTALLED.items()
    }
    assert ("npu-diff --jobs 2" in timed) == ("npu-diff --jobs 2" not in left_out)
    assert not any(case["failed"] for case in record["cases"])


def test_figures_are_those_of_the_rounds(small: tuple[str, dict[str, Any], Path]) -> None:
    _, record, _ = small
    assert record["rounds"] == 1
    for case in record["cases"]:
        first = case["tools"][0]
        for tool in case["tools"]:
            (seconds,) = tool["seconds"]
            assert 0 < seconds == tool["medianSeconds"]
            assert tool["times"]["median"] == pytest.approx(seconds / first["seconds"][0])
            assert tool["peakBytes"] > 0.9 * record["leastPeakBytes"] > 0
        # Node takes tens of megabytes before it runs anything.
        assert first["peakBytes"] > 20e6
    numpy = [tool for case in record["cases"] for tool in case["tools"] if tool["name"] == "NumPy"]
    assert numpy
    assert all({"cosine", "mse", "maxAbs", "relL2"} == set(tool["checked"]["tensors"]) for tool in numpy)


def test_npu_diff_prints_the_same_bytes_every_time(small: tuple[str, dict[str, Any], Path]) -> None:
    _, record, _ = small
    compared = [case["sameBytes"] for case in record["cases"] if case["bytes"]]
    assert len(compared) == len(record["cases"]) - 1
    assert all(same["same"] and len(same["runs"]) >= 2 and same["bytes"] > 1000 for same in compared)


def test_there_is_a_table_for_every_case_and_series(small: tuple[str, dict[str, Any], Path]) -> None:
    text, record, _ = small
    lines = text.splitlines()
    for case in record["cases"]:
        start = next(i for i, line in enumerate(lines) if line == case["id"] or line.startswith(f"{case['id']}, "))
        rows = lines[start + 3 : start + 3 + len(case["tools"])]
        for row, tool in zip(rows, case["tools"], strict=True):
            assert row.startswith(tool["name"])
            assert f" {tool['medianSeconds']:.3f} " in row
    (series,) = record["growth"]
    assert series["name"] == "bytes a side, F32"
    assert series["amounts"] == [8192, 16384, 32768]
    assert [tool["name"] for tool in series["tools"] if tool["name"] != "npu-diff --jobs 2"] == ["npu-diff", "cat"]
    assert "Growth: bytes a side, F32" in lines


def test_the_data_is_gone(small: tuple[str, dict[str, Any], Path]) -> None:
    _, _, folder = small
    assert [path.name for path in folder.iterdir()] == ["it.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "no/such/*"], ["no case has such an id", "--only", "help"]),
        (["--rounds", "0"], ["--rounds"]),
        (["--rounds", "many"], ["--rounds"]),
        (["--out", "README.md/speed.json"], ["could not be read or written", "README.md", "help"]),
    ],
)
def test_what_cannot_be_run_ends_with_2(options: list[str], said: list[str]) -> None:
    done = bench("--small", *options)
    assert done.returncode == 2
    assert all(word in done.stderr for word in said)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_every_case_of_the_full_run_is_listed_with_its_space() -> None:
    done = bench("--list")
    assert done.returncode == 0, done.stderr
    space = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}
    assert {f"hidden/{dtype}/{size}" for dtype in ("F32", "BF16", "F16") for size in ("64MiB", "1GiB", "4GiB")} < set(
        space
    )
    # Two dumps of 4 GiB, a copy of one, and the two in NumPy's and torch's files.
    assert space["hidden/F32/4GiB"] == pytest.approx((2 + 1 + 2 + 2) * 4 * 2**30 / 1e9, rel=0.01)
    assert space["start"] == 0
