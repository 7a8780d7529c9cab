"""Decode: the tokens that follow a prompt, one by one through the cache, and stored as steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from npu_dump import DumpError, DumpFile, DumpWriter, load
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


def dump_of(path: Path, *rows: tuple[str, list[int], int]) -> Path:
    with DumpWriter(path, run={"dtype": "F32"}) as writer:
        for name, values, step in rows:
            writer.write(name, np.array(values, dtype="<i8"), step=step)
    return path


def test_generated_ids_go_on_where_the_steps_end(tmp_path: Path) -> None:
    """But not with another continuation: what was forced on a model need not be what it says itself."""
    prompt, step = ("input_ids", [10, 11, 12], 0), ("input_ids", [5], 1)

    def steps(path: str, generated: list[int], count: int) -> list[int]:
        source = dump_of(tmp_path / path, prompt, step, ("generated_ids", generated, 0))
        return [token for fed in samples_of_dump(source, steps=count)[0].steps for token in fed.ids]

    assert steps("a.arrow", [5, 6, 7], 2) == [5, 6]
    assert steps("b.arrow", [5, 6, 7], 9) == [5, 6, 7]
    assert steps("c.arrow", [8, 9], 2) == [5]
    assert steps("d.arrow", [8, 9], 1) == [5]


def test_steps_with_a_gap_are_refused(tmp_path: Path) -> None:
    source = dump_of(tmp_path / "a.arrow", ("input_ids", [10], 0), ("input_ids", [5], 1), ("input_ids", [6], 3))
    for count in (None, 1, 3):
        with pytest.raises(DumpError) as error:
            samples_of_dump(source, steps=count)
        assert error.value.code == "tokens-missing"
        assert "step 2 of sample 0" in str(error.value)
    assert samples_of_dump(source, steps=0)[0].steps == ()


def test_positions_that_say_nothing_new_change_no_kernel(tmp_path: Path) -> None:
    source = dump_of(tmp_path / "a.arrow", ("input_ids", [10, 11], 0), ("position_ids", [0, 1], 0))
    assert samples_of_dump(source, steps=0)[0].natural


@pytest.mark.parametrize("places", [[-1, 0, 1], [62, 63, 64], [0, 1, 2**63 - 1]])
def test_positions_that_the_model_lacks_are_refused(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str], places: list[int]
) -> None:
    source = dump_of(
        tmp_path / "a.arrow", ("input_ids", [10, 11, 12], 0), ("input_ids", [13], 1), ("position_ids", places, 0)
    )
    arguments = ("--model", model_folder, "--tokens-from", source, "--decode", 1, "-o", tmp_path / "b.arrow")
    assert refused(capfd, *arguments).startswith("error[position-range]")


def test_a_temperature_that_samples_nothing_is_refused(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The metadata would say that tokens were sampled, while all of them were forced."""
    source = dump_of(tmp_path / "a.arrow", ("input_ids", [10, 11], 0), ("generated_ids", [5, 6], 0))
    arguments = ("--model", model_folder, "--tokens-from", source, "--decode", 2, "--temperature", 0.7)
    assert refused(capfd, *arguments, "-o", tmp_path / "b.arrow").startswith("error[usage]")
    both = run(capfd, *arguments, "--generate", 1, "-o", tmp_path / "b.arrow")
    assert both.run["sampling"]["temperature"] == 0.7


@pytest.mark.parametrize("value", [torch.zeros(3, dtype=torch.bfloat16), np.zeros((2, 3), dtype="<f4")])
def test_a_prompt_that_is_no_text_is_refused(tmp_path: Path, value: Any) -> None:
    with DumpWriter(tmp_path / "a.arrow", run={"dtype": "F32"}) as writer:
        writer.write("input_ids", np.array([10, 11]))
        writer.write("prompt", value)
    with pytest.raises(DumpError) as error:
        samples_of_dump(tmp_path / "a.arrow", steps=None)
    assert error.value.code == "text-invalid"
