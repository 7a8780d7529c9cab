"""`npu-dump bench --engine vllm` without the engine: what is made of its steps, and of what its ranks tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from npu_dump.bench import offline
from npu_dump.endpoint.questions import Question
from npu_dump.progress import Progress
from npu_dump.vllm import session


class Core:
    """An engine whose requests get two tokens in the first step they are in, then one in each."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock
        self.left: dict[str, int] = {}
        self.asked: list[Any] = []

    def add_request(self, name: str, prompt: Any, parameters: Any) -> None:
        self.asked.append((prompt, parameters))
        self.left[name] = parameters.max_tokens

    def has_unfinished_requests(self) -> bool:
        return bool(self.left)

    def step(self) -> list[Any]:
        self.clock[0] += 1.0
        outputs = []
        for name, left in list(self.left.items()):
            count = min(left, 2 if self.clock[0] == 101.0 else 1)
            self.left[name] -= count
            if not self.left[name]:
                del self.left[name]
            metrics = SimpleNamespace(scheduled_ts=5.0, first_token_ts=5.75)
            completion = SimpleNamespace(token_ids=[7] * count)
            outputs.append(
                SimpleNamespace(
                    request_id=name, outputs=[completion], finished=name not in self.left, metrics=metrics
                )
            )
        return outputs


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> offline.Offline:
    clock = [100.0]
    ranks = [
        {"weights_bytes": 30.0, "kv_cache_bytes": 8.0, "kv_cache_tokens": 64.0, "weights_load_s": 2.0},
        {"weights_bytes": 34.0, "kv_cache_bytes": 8.0, "kv_cache_tokens": 60.0, "weights_load_s": 3.0},
    ]
    answers = {
        "npu_dump_loaded": [{"run": {"engine": {"name": "vllm", "graph": False}}, "metrics": rank} for rank in ranks],
        "npu_dump_used": [
            {"metrics": {"peak_memory_bytes": peak}, "absent": {"peak_reserved_bytes": "none"}}
            for peak in (9.0, 11.0)
        ],
    }
    llm = SimpleNamespace(llm_engine=Core(clock), collective_rpc=lambda method, **_: answers[method])
    vllm = SimpleNamespace(LLM=lambda **_: llm, SamplingParams=SimpleNamespace)
    kinds = SimpleNamespace(RequestOutputKind=SimpleNamespace(DELTA="delta"))
    modules = {"vllm": vllm, "vllm.sampling_params": kinds}
    monkeypatch.setattr(session, "import_module", modules.__getitem__)
    monkeypatch.setattr(session, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    return offline.Offline({"enforce_eager": False}, Progress(bars=False, notes=False))


def test_times_are_those_of_the_steps_that_bring_tokens(engine: offline.Offline) -> None:
    done: list[int] = []
    with engine:
        prompts = [Question((1, 2, 3)), Question((4, 5))]
        first, second = engine.ask(prompts, tokens=5, concurrency=2, done=lambda: done.append(1)).timings
    # Two tokens with the first step, one with each of three others.
    assert (first.start, first.first, first.last, first.end) == (100, 101, 104, 104)
    assert (first.output_tokens, first.input_tokens, first.prefill_s) == (5, 3, 0.75)
    assert (second.output_tokens, second.input_tokens) == (5, 2)
    assert len(done) == 2


def test_ranks_are_joined_by_what_a_metric_means(engine: offline.Offline) -> None:
    with engine:
        loaded, used = engine.loaded(), engine.used()
        assert engine.describe()["engine"]["graph"] is True
    del loaded.metrics["load_s"]
    assert loaded.metrics == {
        # Together, and what every rank has.
        "weights_bytes": 64,
        "kv_cache_bytes": 16,
        "kv_cache_tokens": 60,
        "weights_load_s": 3,
    }
    assert set(loaded.absent) == {"max_concurrency"}
    # What one device must have.
    assert used.metrics == {"peak_memory_bytes": 11}
    assert set(used.absent) == {"peak_reserved_bytes"}
