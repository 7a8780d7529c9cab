"""`npu-dump vllm` on the real engine, judged by `npu-diff` against transformers."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from npu_dump import load

from .conftest import ENGINE, Run

DTYPE = ("--dtype", "bfloat16")
FAULTY_PROJECTION, FAULTY_ROTARY = 12, 7
LAYERS = 30
# embed, norm and logits; two blocks and the sum of each layer.
TENSORS = 3 + 3 * LAYERS


@pytest.fixture(scope="module")
def reference(npu_dump: Run, model: Path, passages: Path, work: Path) -> Path:
    path = work / "reference.arrow"
    assert npu_dump("run", "--model", model, "--dtype", "float32", "--prompts", passages, "-o", path).code == 0
    return path


@pytest.fixture(scope="module")
def capture(npu_dump: Run, model: Path, reference: Path, work: Path) -> Callable[..., Path]:
    def captured(name: str, *options: object, env: dict[str, str] | None = None) -> Path:
        path = work / f"{name}.arrow"
        ran = npu_dump(
            "vllm", "--model", model, *DTYPE, "--tokens-from", reference, *options, "-o", path, "--json", env=env
        )
        assert ran.code == 0, ran.err
        assert ran.json["path"] == str(path)
        return path

    return captured


@pytest.fixture(scope="module")
def candidate(capture: Callable[..., Path]) -> Path:
    return capture("candidate", "--batch", 4, "--generate", 4, "--repeats", 3)


@pytest.fixture(scope="module")
def judged(npu_dump: Run, npu_diff: Run, model: Path, work: Path) -> Callable[[Path], Any]:
    """The verdict on a candidate beside its reference set, forced references included."""
    folder = work / "set"

    def judge(path: Path) -> Any:
        made = npu_dump("reference", path, "--model", model, "-o", folder)
        assert made.code == 0, made.err
        return npu_diff("compare", folder, path)

    return judge


def test_a_correct_engine_stands_at_the_noise_floor(
    candidate: Path, judged: Callable[[Path], Any], npu_diff: Run, work: Path
) -> None:
    ran = judged(candidate)
    result = ran.json
    assert (ran.code, result["verdict"], result["origin"]) == (0, "pass", None)
    assert result["missing"] == result["notCaptured"] == {"reference": [], "candidate": []}
    assert len(result["tensors"]) == TENSORS
    assert load(candidate).run["model"]["residual"] == "sequential"
    folder = work / "set"
    plain = npu_diff("compare", folder / "reference.arrow", candidate, "--floor", folder / "floor.1.arrow")
    ratios = {tensor["name"]: tensor["floorRatio"] for tensor in plain.json["tensors"]}
    print(f"floor ratios {min(ratios.values()):.3f} to {max(ratios.values()):.3f} of {len(ratios)} tensors")
    assert plain.code == 0
    assert all(0.8 <= ratio <= 1.3 for ratio in ratios.values()), ratios


def test_it_repeats_itself_in_the_same_batches(candidate: Path, npu_diff: Run) -> None:
    ran = npu_diff("compare", candidate, candidate)
    assert ran.code == 0, ran.err
    found = ran.json["quality"]["determinism"]["candidate"]
    alike, other = found["runToRun"], found["batch"]
    samples = len(load(candidate).samples())
    assert (found["repeats"], alike["comparisons"], other["comparisons"]) == (3, 1, 1)
    assert (alike["samples"], alike["share"]) == (samples, 1)
    # Of each prompt the log-probabilities of the likeliest tokens, to the bit.
    assert alike["tensors"]["identical"] == alike["tensors"]["compared"] == samples
    assert other["tensors"]["compared"] == samples
    print(f"in other batches {other['identical']} of {samples} prompts continue alike")


def test_the_engines_own_logprobs_give_the_perplexity_of_transformers(
    candidate: Path, judged: Callable[[Path], Any], work: Path
) -> None:
    judged(candidate)
    ours, floor = load(candidate), load(work / "set" / "floor.1.arrow")
    told, computed, tokens = 0.0, 0.0, 0
    for sample in ours.samples():
        own = np.asarray(ours["token_logprob", sample, 0])
        assert math.isnan(own[0])
        told += float(own[1:].sum())
        ids = torch.as_tensor(np.array(floor["input_ids", sample, 0]))[1:, None]
        logits = torch.as_tensor(floor["logits", sample, 0])[:-1].double()
        computed += float(torch.log_softmax(logits, -1).gather(-1, ids).sum())
        tokens += len(ids)
    engine, transformers = math.exp(-told / tokens), math.exp(-computed / tokens)
    print(f"perplexity over {tokens} tokens: {engine:.4f} by the engine, {transformers:.4f} by transformers")
    assert abs(engine / transformers - 1) < 0.005


def test_an_int8_projection_is_found_by_its_own_error(
    capture: Callable[..., Path],
    faulty: Callable[[str], dict[str, str]],
    judged: Callable[[Path], Any],
    npu_diff: Run,
    work: Path,
) -> None:
    path = capture("int8", env=faulty(f"down_proj-int8@{FAULTY_PROJECTION}"))
    ran = judged(path)
    name = f"layers.{FAULTY_PROJECTION}.mlp"
    assert (ran.code, ran.json["verdict"], ran.json["origin"]["tensor"]) == (1, "fail", name)
    folder = work / "set"
    plain = npu_diff("compare", folder / "reference.arrow", path, "--floor", folder / "floor.1.arrow").json
    ratio = next(tensor["floorRatio"] for tensor in plain["tensors"] if tensor["name"] == name)
    own = next(tensor["own"]["gmOverFloor"] for tensor in ran.json["tensors"] if tensor["name"] == name)
    print(f"{name}: plain ratio {ratio:.2f}, verdict {plain['verdict']}; own error {own:.2f} times the floor's")
    assert ratio < own


@pytest.mark.long
def test_a_wrong_rotary_base_fails_plainly_and_by_its_own_error(
    capture: Callable[..., Path],
    faulty: Callable[[str], dict[str, str]],
    judged: Callable[[Path], Any],
    npu_diff: Run,
    work: Path,
) -> None:
    path = capture("rotary", env=faulty(f"rotary-base@{FAULTY_ROTARY}"))
    ran = judged(path)
    folder = work / "set"
    plain = npu_diff("compare", folder / "reference.arrow", path, "--floor", folder / "floor.1.arrow")
    for judgement in (ran, plain):
        assert judgement.code == 1
        assert judgement.json["origin"]["tensor"] == f"layers.{FAULTY_ROTARY}.attn"


@pytest.fixture(scope="module")
def decoded(npu_dump: Run, model: Path, prompts: Path, work: Path) -> tuple[Path, Path]:
    """Reference and floor with four decode steps."""
    reference, floor = work / "decoded.arrow", work / "decoded-floor.arrow"
    made = npu_dump(
        "run", "--model", model, "--dtype", "float32", "--prompts", prompts, "--decode", 4, "-o", reference
    )
    assert made.code == 0, made.err
    fed = ("--tokens-from", reference, "--decode", 4)
    assert npu_dump("run", "--model", model, *DTYPE, *fed, "-o", floor).code == 0
    return reference, floor


@pytest.mark.long
def test_a_batch_in_chunks_gives_what_single_prompts_give(
    npu_dump: Run, npu_diff: Run, model: Path, decoded: tuple[Path, Path], work: Path
) -> None:
    reference, floor = decoded
    engine = ("vllm", "--model", model, *DTYPE, "--tokens-from", reference, "--decode", 4, "--generate", 6)
    single, chunked = work / "single.arrow", work / "chunked.arrow"
    ran = npu_dump(*engine, "-o", single)
    assert ran.code == 0, ran.err
    # More prompts at once than there are.
    ran = npu_dump(*engine, "--batch", 100, "--chunk-tokens", 16, "-o", chunked)
    assert ran.code == 0, ran.err
    one, eight = load(single), load(chunked)
    assert set(one) == set(eight)
    assert eight.run["engine"]["chunked_prefill"] is True
    # 16 tokens a forward: the longer prompts cannot have come in one.
    assert max(len(eight["input_ids", sample, 0]) for sample in eight.samples()) > 16
    for path in (single, chunked):
        ran = npu_diff("compare", reference, path, "--floor", floor)
        assert (ran.code, ran.json["verdict"]) == (0, "pass"), ran.err
        assert len(ran.json["tensors"]) == 2 * TENSORS
    between = npu_diff("compare", single, chunked).json["tensors"]
    allowed = {
        (tensor["name"], tensor["step"]): tensor["relL2"]
        for tensor in npu_diff("compare", reference, floor).json["tensors"]
    }
    assert all(tensor["relL2"] <= allowed[tensor["name"], tensor["step"]] for tensor in between)
    generated = [eight["generated_topk_ids", sample, 0] for sample in eight.samples()]
    greedy = [eight["generated_ids", sample, 0] for sample in eight.samples()]
    assert all(np.array_equal(best[:, 0], ids) for best, ids in zip(generated, greedy, strict=True))


@pytest.mark.long
def test_a_replay_measures_each_block_on_the_reference_stream(
    npu_dump: Run, npu_diff: Run, model: Path, decoded: tuple[Path, Path], work: Path
) -> None:
    reference, _ = decoded
    engine, transformers = work / "replayed.arrow", work / "replayed-floor.arrow"
    ran = npu_dump("vllm", "--model", model, *DTYPE, "--replay", reference, "--batch", 8, "-o", engine)
    assert ran.code == 0, ran.err
    assert npu_dump("replay", reference, "--model", model, *DTYPE, "-o", transformers).code == 0
    ran = npu_diff("compare", reference, engine, "--floor", transformers)
    assert (ran.code, ran.json["isolated"]) == (0, True)
    theirs, ours = load(reference), load(engine)
    assert ours.run["capture"]["replay_of"]["id"] == theirs.run["id"]
    # No error is inherited: the last layer is off by its own block's rounding alone.
    last = f"layers.{LAYERS - 1}"
    errors = [
        np.linalg.norm(torch.as_tensor(ours[last, sample, 0]).double() - torch.as_tensor(theirs[last, sample, 0]))
        / np.linalg.norm(torch.as_tensor(theirs[last, sample, 0]).double())
        for sample in theirs.samples()
    ]
    assert max(errors) < 2 * torch.finfo(torch.bfloat16).eps


@pytest.mark.long
@pytest.mark.parametrize(("fault", "alike"), [("noise@1", False), ("batch-bound@1", True)])
def test_an_engine_that_does_not_repeat_itself_is_told_from_one_of_other_batches(
    npu_dump: Run,
    npu_diff: Run,
    tiny: Path,
    prompts: Path,
    faulty: Callable[[str], dict[str, str]],
    work: Path,
    fault: str,
    alike: bool,
) -> None:
    path = work / f"{fault}.arrow"
    options = ("--prompts", prompts, "--batch", 3, "--generate", 6, "--repeats", 3, "--select", "logits")
    ran = npu_dump("vllm", "--model", tiny, *DTYPE, *options, "-o", path, env=faulty(fault))
    assert ran.code == 0, ran.err
    ran = npu_diff("compare", path, path)
    assert ran.code == (0 if alike else 1), ran.err
    found = ran.json["quality"]["determinism"]["candidate"]
    assert (found["runToRun"]["share"] == 1) is alike
    assert found["batch"]["share"] < 1
    assert found["firstDifference"]["margin"]["reference"]["nats"] >= 0
    rules = {finding["rule"] for finding in ran.json["findings"]}
    assert "quality/batch-variance" in rules
    assert ("quality/determinism" in rules) is not alike


@pytest.mark.long
def test_graphs_are_compared_by_logprobs_and_generations(
    npu_dump: Run, npu_diff: Run, tiny: Path, prompts: Path, work: Path
) -> None:
    eager, graph = work / "eager.arrow", work / "graph.arrow"
    common = ("--model", tiny, *DTYPE, "--prompts", prompts, "--generate", 4)
    assert npu_dump("run", *common, "-o", eager).code == 0
    ran = npu_dump("vllm", *common, "--graph", "--batch", 8, "--repeats", 3, "-o", graph)
    assert ran.code == 0, ran.err
    dump = load(graph)
    assert dump.run["engine"]["graph"] is True
    assert dump.run["capture"]["decode"] is False
    assert not any(name.startswith("layers") for name, _, _ in dump)
    ran = npu_diff("compare", eager, graph)
    quality = ran.json["quality"]
    assert quality["perplexity"] is not None
    assert abs(quality["perplexity"]["relativeIncrease"]) < 0.005
    assert quality["firstToken"]["samples"] == 8
    repeated = quality["determinism"]["candidate"]["runToRun"]
    assert (repeated["share"], repeated["tensors"]["identical"]) == (1, 8)


@pytest.mark.long
def test_an_interrupt_ends_the_engine_and_leaves_what_was_complete(
    npu_diff: Run, model: Path, reference: Path, work: Path
) -> None:
    path = work / "interrupted.arrow"
    partial = path.with_name("interrupted.arrow.partial")
    command = [sys.executable, "-m", "npu_dump", "vllm", "--model", str(model), *DTYPE]
    command += ["--tokens-from", str(reference), "-o", str(path), "--json"]
    said = work / "interrupted.txt"
    with said.open("wb") as errors:
        run = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=os.environ | ENGINE, start_new_session=True
        )
    while run.poll() is None and not (partial.exists() and partial.stat().st_size > 1 << 20):
        time.sleep(0.1)
    # As a terminal does: the engine's processes are of the same group.
    os.killpg(run.pid, signal.SIGINT)
    out, _ = run.communicate(timeout=120)
    told = said.read_text(errors="replace")
    assert (run.returncode, out) == (130, b""), told[-3000:]
    assert "Traceback" not in told
    assert f"complete batches are in {partial.name}" in told
    until = time.monotonic() + 20
    while (left := _running(run.pid)) and time.monotonic() < until:
        time.sleep(0.2)
    assert left == []
    repaired = npu_diff("repair", partial, work / "interrupted-repaired.arrow")
    assert repaired.code == 0, repaired.err
    assert ("logits", 0, 0) in load(work / "interrupted-repaired.arrow")


def _running(group: int) -> list[str]:
    """What still runs of a group of processes."""
    shown = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in shown.splitlines()]
    return [" ".join(row) for row in rows if int(row[0]) == group and not row[1].startswith("Z")]
