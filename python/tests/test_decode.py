"""Decode: the tokens that follow a prompt, one by one through the cache, and stored as steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from npu_dump import DumpFile, DumpWriter, load
from npu_dump.cli import main
from npu_dump.tokens import Sample, samples_of_dump

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> DumpFile:
    assert main(["run", *map(str, arguments), "--json"]) == 0
    return load(json.loads(capfd.readouterr().out)["path"])


def refused(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["run", *map(str, arguments)]) == 2
    return capfd.readouterr().err


@pytest.mark.parametrize("batch", [1, 3])
def test_steps_are_what_one_forward_over_all_gives(
    tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str], batch: int
) -> None:
    dump = run(
        capfd,
        "--model",
        model_folder,
        "--prompts",
        prompts,
        "--decode",
        4,
        "--batch",
        batch,
        "-o",
        tmp_path / "a.arrow",
    )
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder)
    for sample in dump.samples():
        ids, following = dump["input_ids", sample, 0], dump["generated_ids", sample, 0]
        assert dump.steps(sample) == len(following)
        with torch.no_grad():
            whole = model(torch.tensor([[*ids, *following]]), output_hidden_states=True)
            greedy = model.generate(
                torch.tensor(ids)[None], max_new_tokens=4, do_sample=False, attention_mask=torch.ones(1, len(ids))
            )
        assert greedy[0, len(ids) :].tolist() == following.tolist()
        for step, token in enumerate(following, start=1):
            place = len(ids) + step - 1
            assert dump["input_ids", sample, step].tolist() == [token]
            assert dump["position_ids", sample, step].tolist() == [place]
            np.testing.assert_allclose(dump["logits", sample, step][0], whole.logits[0, place], **CLOSE)
            np.testing.assert_allclose(dump["layers.0", sample, step][0], whole.hidden_states[1][0, place], **CLOSE)


def test_the_candidate_is_forced_to_the_reference_s_tokens(
    tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cpu, npu = tmp_path / "cpu.arrow", tmp_path / "npu.arrow"
    model = ("--model", model_folder)
    reference = run(capfd, *model, "--prompts", prompts, "--decode", 3, "-o", cpu)
    forced = (*model, "--tokens-from", cpu, "--decode", 3, "--dtype", "bfloat16", "-o", npu)
    candidate = run(capfd, *forced)
    assert samples_of_dump(cpu, steps=None) == samples_of_dump(npu, steps=None)
    # What was forced on it is not its own continuation.
    assert not any(name == "generated_ids" for name, _, _ in candidate)
    own = run(capfd, *forced, "--generate", 2, "--force")
    assert len(own["generated_ids", 0, 0]) == 2
    assert own.steps(0) == len(reference["generated_ids", 0, 0])
    fewer = run(capfd, *model, "--tokens-from", npu, "--decode", 2, "-o", tmp_path / "c.arrow")
    assert fewer.steps(0) == 2


def test_a_sample_that_ends_takes_no_more_steps(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one batch: the others go on, each at its own positions."""
    source = tmp_path / "ids.arrow"
    following = [[5, 6, 7], [8], []]
    with DumpWriter(source, run={"dtype": "F32"}) as writer:
        for sample, ids in enumerate(([10, 11, 12, 13], [14, 15], [16, 17, 18])):
            writer.write("input_ids", np.array(ids), sample=sample)
            writer.write("generated_ids", np.array(following[sample], dtype="<i8"), sample=sample)
    arguments = ("--model", model_folder, "--tokens-from", source, "--decode", 3)
    together = run(capfd, *arguments, "--batch", 3, "-o", tmp_path / "together.arrow")
    alone = run(capfd, *arguments, "-o", tmp_path / "alone.arrow")
    assert [together.steps(sample) for sample in range(3)] == [3, 1, 0]
    assert set(together) == set(alone)
    assert together.run["batch"]["padding_side"] == "left"
    for key in alone:
        np.testing.assert_allclose(together[key], alone[key], **CLOSE, err_msg=str(key))


def test_positions_that_a_dump_has_are_used(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "ids.arrow"
    with DumpWriter(source, run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.array([10, 11, 12]))
        writer.write("position_ids", np.array([4, 5, 6]))
        writer.write("input_ids", np.array([13]), step=1)
        writer.write("position_ids", np.array([9]), step=1)
    dump = run(capfd, "--model", model_folder, "--tokens-from", source, "--decode", 1, "-o", tmp_path / "a.arrow")
    assert dump["position_ids", 0, 0].tolist() == [4, 5, 6]
    assert dump["position_ids", 0, 1].tolist() == [9]
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder)
    with torch.no_grad():
        expected = model(
            torch.tensor([[10, 11, 12, 13]]),
            position_ids=torch.tensor([[4, 5, 6, 9]]),
            attention_mask=torch.ones(1, 4),
        ).logits
    np.testing.assert_allclose(dump["logits", 0, 1][0], expected[0, 3], **CLOSE)


def test_what_cannot_be_decoded_is_refused(
    tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "a.arrow", tmp_path / "b.arrow"
    model = ("--model", model_folder, "-o", out)
    run(capfd, "--model", model_folder, "--prompts", prompts, "-o", source)
    error = refused(capfd, *model, "--tokens-from", source, "--decode", 2)
    assert error.startswith("error[tokens-missing]")
    assert "generated_ids" in error
    assert refused(capfd, *model, "--prompts", prompts, "--decode", 60).startswith("error[prompt-long]")
    right = refused(capfd, *model, "--prompts", prompts, "--decode", 2, "--batch", 2, "--padding-side", "right")
    assert right.startswith("error[usage]")
    with DumpWriter(tmp_path / "bad.arrow", run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.array([10, 11]))
        writer.write("generated_ids", np.array([5, 300]))
    assert refused(capfd, *model, "--tokens-from", tmp_path / "bad.arrow", "--decode", 2).startswith(
        "error[token-range]"
    )
    assert list(tmp_path.glob("b.arrow*")) == []


def test_steps_count_on_from_the_prompt() -> None:
    sample = Sample((1, 2, 3)).continued_by([([4], None), ([5, 6], None), ([7], [9])])
    assert [step.positions for step in sample.steps] == [(3,), (4, 5), (9,)]
    assert [step.natural for step in sample.steps] == [True, True, False]
    assert sample.length == 7
