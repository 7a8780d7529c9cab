"""`npu-dump bench` of a model of transformers: what is measured, what is stored, what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from npu_dump import DumpFile, DumpWriter, load
from npu_dump.bench import generation
from npu_dump.cli import main

METRICS = {
    *("ttft_ms", "tpot_ms", "e2e_ms", "prefill_ms", "input_tokens", "output_tokens", "iteration_s"),
    *("output_tokens_per_s", "total_tokens_per_s", "requests_per_s"),
}
Asked = list[tuple[list[tuple[int, ...]], int]]


def bench(folder: Path, out: Path, *options: object) -> int:
    return main(["bench", "--model", str(folder), "-o", str(out), *map(str, options)])


def values(dump: DumpFile, name: str) -> Any:
    value = np.asarray(dump[f"perf.{name}", -1, 0])
    assert value.dtype == np.float64
    return value


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Prompts and new tokens of every generation, in order."""
    noted: Asked = []
    original = generation.run_generate

    def run_generate(model: Any, prompts: Any, config: Any, **options: Any) -> Any:
        noted.append(([tuple(prompt) for prompt in prompts], config.max_new_tokens))
        output, width = original(model, prompts, config, **options)
        assert output.shape[1] == width + config.max_new_tokens
        return output, width

    monkeypatch.setattr(generation, "run_generate", run_generate)
    return noted


def check_point(dump: DumpFile, prefix: str, *, requests: int, inputs: int, outputs: int, batch: int) -> None:
    """Times that agree with each other, and throughputs that follow from them."""
    ttft, tpot, e2e, prefill = (values(dump, f"{prefix}{name}_ms") for name in ("ttft", "tpot", "e2e", "prefill"))
    assert [len(times) for times in (ttft, tpot, e2e, prefill)] == [requests] * 4
    assert (values(dump, f"{prefix}output_tokens") == outputs).all()
    assert (values(dump, f"{prefix}input_tokens") == inputs).all()
    assert ((prefill > 0) & (prefill < ttft) & (ttft <= e2e)).all()
    np.testing.assert_allclose(e2e, ttft + (outputs - 1) * tpot if outputs > 1 else ttft, rtol=1e-9)
    iterations = values(dump, f"{prefix}iteration_s")
    assert len(iterations) == requests // batch
    # All requests of a batch take the same time, and one batch follows another.
    busy = e2e[::batch] / 1e3
    assert (busy <= iterations).all()
    rates = [float(values(dump, f"{prefix}{name}_per_s")) for name in ("requests", "output_tokens", "total_tokens")]
    expected = np.array([1, outputs, inputs + outputs]) * requests / math.fsum(busy)
    np.testing.assert_allclose(rates, expected, rtol=1e-9)


def test_a_measurement_with_sweeps(
    tmp_path: Path, model_folder: Path, asked: Asked, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--input-tokens", 9, "--output-tokens", 5, "--requests", 5, "--batch", 2, "--warmup", 1)
    sweeps = ("--sweep-batch", "1,3", "--sweep-output", "1,4", "--iterations", 2, "--seed", 7)
    assert bench(model_folder, tmp_path / "a.arrow", *options, *sweeps) == 0
    out, err = capfd.readouterr()
    assert out == f"{tmp_path / 'a.arrow'}\n"
    dump = load(tmp_path / "a.arrow")
    points = [
        ("", 3, 2, 5),
        ("sweep.0.", 2, 1, 5),
        ("sweep.1.", 2, 3, 5),
        ("sweep.2.", 2, 2, 1),
        ("sweep.3.", 2, 2, 4),
    ]
    expected = []
    for prefix, iterations, batch, outputs in points:
        check_point(dump, prefix, requests=iterations * batch, inputs=9, outputs=outputs, batch=batch)
        # One more than is counted: the warm-up.
        expected += [([9] * batch, outputs)] * (iterations + 1)
    assert [([len(prompt) for prompt in prompts], count) for prompts, count in asked] == expected
    prompts = [prompt for batch, _ in asked for prompt in batch]
    assert len(set(prompts)) == len(prompts)
    assert not {0, 1} & {token for prompt in prompts for token in prompt}
    run_wide = {"load_s", "weights_bytes", "peak_memory_bytes"}
    names = {name for name, _, _ in dump if name != "run.end"}
    assert names == {f"perf.{prefix}{name}" for prefix, *_ in points for name in METRICS} | {
        f"perf.{name}" for name in run_wide
    }
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    held = {tensor.data_ptr(): tensor.nbytes for tensor in (*model.parameters(), *model.buffers())}
    assert float(values(dump, "weights_bytes")) == sum(held.values())
    assert 0 < float(values(dump, "load_s")) < 60
    performance = dump.run["performance"]
    absent = performance.pop("absent")
    assert set(absent) == {
        *("weights_load_s", "kv_cache_tokens", "kv_cache_bytes", "max_concurrency", "peak_reserved_bytes")
    }
    plain = {"input_tokens": 9, "output_tokens": 5}
    assert performance == {
        "engine": "transformers",
        "point": plain | {"batch": 2, "requests": 6, "concurrency": 2},
        "warmup": 1,
        "ignore_eos": True,
        "tokens": "random",
        "sweep": [
            plain | {"kind": "batch", "batch": 1, "requests": 2, "concurrency": 1},
            plain | {"kind": "batch", "batch": 3, "requests": 6, "concurrency": 3},
            plain | {"kind": "output", "batch": 2, "output_tokens": 1, "requests": 4, "concurrency": 2},
            plain | {"kind": "output", "batch": 2, "output_tokens": 4, "requests": 4, "concurrency": 2},
        ],
    }
    assert dump.run["device"]["type"] == "cpu"
    assert dump.run["dtype"] == "F32"
    table = err[err.index("batch 2, 9 tokens in, 5 out, 6 requests after 1 warm-up batches") :]
    assert table.isascii()
    rows = [line.split() for line in table.splitlines()]
    rates = [float(values(dump, f"sweep.{point}.output_tokens_per_s")) for point in (0, 1)]
    assert next(row for row in rows if row[:1] == ["3"])[-1] == f"{rates[1] / rates[0]:.2f}"
    mean = values(dump, "ttft_ms").mean()
    shown = next(row for row in rows if row[:4] == ["time", "to", "first", "token"])[5]
    assert float(shown.replace(",", "")) == pytest.approx(mean, rel=0.01)


def test_every_request_goes_on_behind_an_end_token(tmp_path: Path, model_folder: Path, asked: Asked) -> None:
    folder = tmp_path / "ends"
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    # Whatever it is asked, it says the end token: the largest logit is that of the largest row.
    with torch.no_grad():
        model.model.norm.weight.fill_(0.0)
    model.save_pretrained(folder)
    model.generation_config.eos_token_id = [0, 1]
    model.generation_config.save_pretrained(folder)
    prompt = torch.tensor([[5, 6]])
    assert model.generate(prompt, max_new_tokens=7, do_sample=False).shape == (1, 3)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)
    options = ("--input-tokens", 8, "--output-tokens", 7, "--requests", 1, "--warmup", 0)
    assert bench(folder, tmp_path / "a.arrow", *options) == 0
    assert values(load(tmp_path / "a.arrow"), "output_tokens").tolist() == [7]
    assert len(asked) == 1


def test_prompts_that_are_given(tmp_path: Path, model_folder: Path, prompts: Path, asked: Asked) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    texts = [line for line in prompts.read_text(encoding="utf-8").splitlines() if line]
    ids = [tuple(tokenizer(text)["input_ids"]) for text in texts]
    common = ("--output-tokens", 2, "--batch", 2, "--requests", 4, "--warmup", 0)
    assert bench(model_folder, tmp_path / "a.arrow", "--prompts", prompts, *common) == 0
    dump = load(tmp_path / "a.arrow")
    # From the beginning again, when all have been asked.
    assert [prompt for batch, _ in asked for prompt in batch] == [*ids, ids[0]]
    lengths = [len(prompt) for prompt in (*ids, ids[0])]
    assert values(dump, "input_tokens").tolist() == lengths
    assert dump.run["performance"]["tokens"] == "text"
    assert dump.run["performance"]["point"]["input_tokens"] == pytest.approx(np.mean(list(map(len, ids))), abs=0.05)
    busy = values(dump, "e2e_ms")[::2].sum() / 1e3
    assert float(values(dump, "total_tokens_per_s")) == pytest.approx((sum(lengths) + 8) / busy, rel=1e-9)
    asked.clear()
    with DumpWriter(tmp_path / "ids.arrow", run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.array([7, 8, 9]))
    assert bench(model_folder, tmp_path / "b.arrow", "--tokens-from", tmp_path / "ids.arrow", *common) == 0
    assert {prompt for batch, _ in asked for prompt in batch} == {(7, 8, 9)}


def test_json_has_the_figures(tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--input-tokens", 3, "--output-tokens", 1, "--requests", 2, "--warmup", 0, "--json")
    assert bench(model_folder, tmp_path / "a.arrow", *options) == 0
    told = json.loads(capfd.readouterr().out)
    dump = load(tmp_path / "a.arrow")
    assert (told["path"], told["id"]) == (str(tmp_path / "a.arrow"), dump.run["id"])
    assert told["performance"] == dump.run["performance"]
    times = values(dump, "ttft_ms")
    assert told["metrics"]["perf.ttft_ms"] == {"mean": times.mean(), "min": times.min(), "max": times.max()}
    # After a single token there is none whose time could be taken.
    assert told["metrics"]["perf.tpot_ms"] is None
    assert np.isnan(values(dump, "tpot_ms")).all()
    assert told["metrics"]["perf.requests_per_s"] == float(values(dump, "requests_per_s"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("out of memory")])
@pytest.mark.parametrize("before", [1, 3])
def test_what_an_end_leaves(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Any,
    before: int,
) -> None:
    """Ends in the main point, of which nothing is kept, and in the second point of the sweep."""
    original: Callable[..., Any] = generation.run_generate
    calls: list[int] = []

    def run_generate(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > before:
            raise error
        return original(*args, **options)

    monkeypatch.setattr(generation, "run_generate", run_generate)
    options = ("--input-tokens", 8, "--output-tokens", 2, "--requests", 2, "--warmup", 0)
    options += ("--sweep-batch", "1,2", "--iterations", 1)
    assert bench(model_folder, tmp_path / "a.arrow", *options) == (130 if error is KeyboardInterrupt else 2)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert not (tmp_path / "a.arrow").exists()
    assert (tmp_path / "a.arrow.partial").exists() == (before == 3)
    if error is KeyboardInterrupt:
        assert ("npu-diff repair a.arrow.partial" in err) == (before == 3)
    else:
        assert "error[out-of-memory]" in err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "nothing to measure"),
        (("--model", "x", "--concurrency", "2"), "use --batch"),
        (("--url", "http://h/v1", "--batch", "2"), "use --concurrency"),
        (("--model", "x", "--graph"), "--graph is for vllm"),
        (("--model", "x", "--engine", "vllm", "--device", "cpu"), "--device is for transformers"),
        (("--url", "http://h/v1", "--engine", "vllm"), "--engine is for a model in this process"),
        (("--model", "x", "--prompts", "p", "--input-tokens", "4"), "--input-tokens is for random"),
        (("--model", "x", "--chat"), "--chat has no meaning"),
        (("--model", "x", "--sweep-batch", "1,2,1"), "different whole numbers"),
        (("--model", "x", "--sweep-output", "1,,2"), "different whole numbers"),
        (("--model", "x", "--engine", "vllm", "--dtype", "float64"), "float64 is no precision of vLLM"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], options: tuple[str, ...], named: str
) -> None:
    assert main(["bench", "-o", str(tmp_path / "a.arrow"), *options]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error[usage]: ")
    assert named in err
    assert "\n  help: " in err


def test_what_the_model_cannot_do_is_refused_before_it_loads(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("npu_dump.models.load_model", None)
    for options, code in [
        (("--input-tokens", 10**6), "prompt-long"),
        (("--sweep-output", 10**6), "prompt-long"),
        (("--device", "tpu"), "device-unknown"),
        (("--prompts", tmp_path / "none.txt"), "prompts-unreadable"),
    ]:
        assert bench(model_folder, tmp_path / "a.arrow", *options) == 2
        assert capfd.readouterr().err.startswith(f"error[{code}]: ")
    assert bench(tmp_path / "none", tmp_path / "a.arrow") == 2
    assert "error[model-absent]" in capfd.readouterr().err
    assert bench(model_folder, tmp_path / "a.txt") == 2
    assert "error[output-name]" in capfd.readouterr().err
