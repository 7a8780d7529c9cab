"""`npu-dump bench` on an NPU: no clock is read before the device is done, and memory is that of its allocator."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from npu_dump import load
from npu_dump.bench import generation
from npu_dump.cli import main

Chips = list[Any]


def bench(folder: Path, out: Path, *options: object) -> int:
    return main(["bench", "--model", str(folder), "--device", "npu:0", "-o", str(out), *map(str, options)])


def test_the_device_is_waited_for_before_every_look_at_the_clock(
    chips: Chips, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    wait = torch.npu.synchronize

    def synchronize(*args: Any) -> None:
        wait(*args)
        log.append("wait")

    def perf_counter() -> float:
        log.append("clock")
        return time.perf_counter()

    monkeypatch.setattr(torch.npu, "synchronize", synchronize)
    monkeypatch.setattr(generation, "time", SimpleNamespace(perf_counter=perf_counter))
    options = ("--input-tokens", 6, "--output-tokens", 4, "--requests", 2, "--batch", 2, "--warmup", 1)
    assert bench(model_folder, tmp_path / "a.arrow", *options) == 0
    # Of loading two; of each batch its start, two of the prefill, four tokens, its end.
    assert log.count("clock") == 2 + 2 * (1 + 2 + 4 + 1)
    assert all(before == "wait" for before, now in pairwise(log) if now == "clock")
    dump = load(tmp_path / "a.arrow")
    assert dump.run["device"]["type"] == "npu"
    peak = float(dump["perf.peak_memory_bytes", -1, 0])
    assert peak == float(dump["perf.peak_reserved_bytes", -1, 0]) == chips[0].peak
    assert peak > float(dump["perf.weights_bytes", -1, 0]) > 0


def test_a_batch_that_does_not_fit_leaves_those_before_it(
    chips: Chips, tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--input-tokens", 32, "--output-tokens", 2, "--requests", 1, "--warmup", 0, "--iterations", 1)
    chips[0].capacity = chips[0].allocated + (4 << 20)
    assert bench(model_folder, tmp_path / "a.arrow", *options, "--sweep-batch", "2,256") == 2
    assert "error[out-of-memory]" in capfd.readouterr().err
    assert (tmp_path / "a.arrow.partial").exists()
    assert not (tmp_path / "a.arrow").exists()
