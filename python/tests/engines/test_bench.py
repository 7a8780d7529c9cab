"""`npu-dump bench` of vLLM: its engine by our own clock, beside its own account of its memory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from npu_dump import load

from .conftest import Run

INPUT, OUTPUT = 16, 6


@pytest.mark.long
def test_the_engine_is_measured_with_its_memory(npu_dump: Run, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "bench.arrow"
    sizes = ("--input-tokens", INPUT, "--output-tokens", OUTPUT, "--requests", 4, "--batch", 2, "--warmup", 1)
    sweep = ("--sweep-batch", "1,4", "--iterations", 2, "--engine-arg", "block_size=32")
    ran = npu_dump("bench", "--engine", "vllm", "--model", model, *sizes, *sweep, "-o", path, "--json")
    assert ran.code == 0, ran.err
    dump = load(path)

    def values(name: str) -> Any:
        return np.asarray(dump[f"perf.{name}", -1, 0])

    for prefix, requests, batch in [("", 4, 2), ("sweep.0.", 2, 1), ("sweep.1.", 8, 4)]:
        ttft, tpot, e2e, prefill = (values(f"{prefix}{name}_ms") for name in ("ttft", "tpot", "e2e", "prefill"))
        assert len(ttft) == len(e2e) == requests
        assert (values(f"{prefix}output_tokens") == OUTPUT).all()
        assert ((prefill > 0) & (prefill <= ttft) & (ttft < e2e)).all()
        np.testing.assert_allclose(e2e, ttft + (OUTPUT - 1) * tpot, rtol=1e-9)
        seconds = values(f"{prefix}iteration_s")
        assert len(seconds) == requests // batch
        # A batch is under way for less time than its call takes, and longer than any of its requests.
        rate = float(values(f"{prefix}output_tokens_per_s"))
        assert requests * OUTPUT / math.fsum(seconds) <= rate
        assert rate <= requests * OUTPUT / (e2e.reshape(-1, batch).max(1).sum() / 1e3)
    config = json.loads((model / "config.json").read_text())
    stored = sum(_size(file) for file in model.glob("*.safetensors"))
    # The rotary table stands beside what was read.
    assert 1 <= float(values("weights_bytes")) / stored < 1.05
    assert 0 < float(values("weights_load_s")) < float(values("load_s"))
    tokens, size = float(values("kv_cache_tokens")), float(values("kv_cache_bytes"))
    assert tokens % 32 == 0
    head = config["hidden_size"] // config["num_attention_heads"]
    # Keys and values of every layer in bfloat16.
    assert size / tokens == 2 * 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head
    # A request of 22 tokens has one block of 32.
    assert float(values("max_concurrency")) == tokens / 32
    assert float(values("peak_memory_bytes")) > stored
    assert dump.run["engine"]["graph"] is False
    assert dump.run["performance"]["engine"] == "vllm"
    assert set(dump.run["performance"]["absent"]) == {"peak_reserved_bytes"}


def _size(file: Path) -> int:
    with safe_open(file, framework="pt") as tensors:
        return sum(tensors.get_tensor(name).nbytes for name in tensors.keys())  # noqa: SIM118 - no mapping
