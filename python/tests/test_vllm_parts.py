"""What of the capture of vLLM needs no engine: its command line, its rows, and its pair of streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from npu_dump import DumpError
from npu_dump.capture import Piece
from npu_dump.parts import Parts
from npu_dump.vllm.adapter import Runner, Segment
from npu_dump.vllm.outputs import own_logprobs
from npu_dump.vllm.requests import Requests
from npu_dump.vllm.stream import (
    handed_tensors,
    returned_tensors,
    stream_of,
    with_handed_stream,
    with_returned_stream,
)

from .command import program

WIDTH = 4


def test_without_vllm_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("one\n")
    ran = program("vllm", "--model", tmp_path, "--prompts", tmp_path / "p.txt", "-o", tmp_path / "a.arrow")
    assert ran.returncode == 2
    assert ran.stderr.startswith("error[vllm-absent]: ")
    assert "pip install npu-dump[vllm]" in ran.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--graph", "--decode", "2"), "--decode"),
        (("--graph", "--mode", "topk"), "--mode"),
        (("--graph", "--chunk-tokens", "8"), "--chunk-tokens"),
        (("--engine-arg", "gpu_memory_utilization"), "NAME=VALUE"),
        (("--tensor-parallel", "0"), "a whole number from 1"),
        (("--repeats", "1001", "--generate", "1"), "a whole number from 1 to 1000"),
        (("--repeats", "2"), "--generate"),
        (("--repeats", "2", "--graph"), "--generate"),
        (("--repeats", "2", "--generate", "1", "--temperature", "1"), "--temperature"),
        (("--dtype", "float64"), "--dtype"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: tuple[str, ...], named: str) -> None:
    (tmp_path / "p.txt").write_text("one\n")
    ran = program("vllm", "--model", tmp_path, "--prompts", tmp_path / "p.txt", "-o", tmp_path / "a.arrow", *options)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error[usage]: ")
    assert named in ran.stderr


def test_rows_of_a_mixed_batch_go_to_their_samples_and_steps() -> None:
    requests = Requests()
    requests.add(
        [("a", {"sample": 0, "prompt": 3, "steps": 2}), ("b", {"sample": 1, "prompt": 5, "steps": 0}), ("x", {})]
    )
    first = requests.rows([Segment("a", 0, (7, 8, 9)), Segment("b", 0, (1, 2)), Segment("x", 0, (5,))])
    assert [(row.sample, row.step, row.tokens, row.start, row.whole) for row in first] == [
        (0, 0, slice(0, 3), 0, 3),
        (1, 0, slice(3, 5), 0, 5),
    ]
    assert [row.is_part for row in first] == [False, True]
    second = requests.rows([Segment("x", 1, (6,)), Segment("b", 2, (3, 4, 5)), Segment("a", 3, (10,))])
    assert [(row.sample, row.step, row.tokens, row.start) for row in second] == [
        (1, 0, slice(1, 4), 2),
        (0, 1, slice(4, 5), 0),
    ]
    # Steps that nobody asked for are passed over: b goes on, and a after its two steps.
    third = requests.rows([Segment("b", 5, (6,)), Segment("a", 4, (11,))])
    assert [(row.sample, row.step) for row in third] == [(0, 2)]
    assert requests.rows([Segment("a", 5, (12,))]) == []
    assert requests.fed == {0: 5, 1: 5}
    assert requests.samples == 2


@pytest.mark.parametrize("segment", [Segment("a", 2, (9, 10)), Segment("a", 3, (10, 11))])
def test_several_new_tokens_at_once_are_refused(segment: Segment) -> None:
    requests = Requests()
    requests.add([("a", {"sample": 0, "prompt": 3, "steps": 4})])
    with pytest.raises(DumpError, match="rows-unknown"):
        requests.rows([segment])


def test_tokens_that_are_run_once_more_are_refused_while_a_sample_goes_on() -> None:
    requests = Requests()
    requests.add([("a", {"sample": 0, "prompt": 3, "steps": 2}), ("b", {"sample": 1, "prompt": 3, "steps": 0})])
    requests.rows([Segment("a", 0, (7, 8, 9)), Segment("b", 0, (1, 2, 3))])
    # The engine made room for a: what b says from now on is not captured anyway.
    assert requests.rows([Segment("b", 0, (1, 2, 3, 4))]) == []
    with pytest.raises(DumpError, match="rows-again"):
        requests.rows([Segment("a", 0, (7, 8, 9, 10))])


def _pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden, residual, stream = (torch.randn(3, WIDTH, generator=generator) for _ in range(3))
    return hidden, residual, stream


def test_the_stream_of_a_layer_is_the_sum_of_its_pair() -> None:
    hidden, residual, stream = _pair()
    positions = torch.arange(3)
    args = (positions, hidden, residual)
    assert torch.equal(_some(stream_of(handed_tensors(args, {}, WIDTH), pair=True)), hidden + residual)
    # An attention that writes into its second argument adds nothing up.
    assert torch.equal(_some(stream_of(handed_tensors(args, {}, WIDTH), pair=False)), hidden)
    assert torch.equal(_some(stream_of(handed_tensors((positions, hidden, None), {}, WIDTH), pair=True)), hidden)
    assert stream_of(handed_tensors((positions,), {}, WIDTH), pair=True) is None
    fed, _ = with_handed_stream(args, {}, WIDTH, stream, pair=True)
    assert torch.equal(fed[1] + fed[2], stream)
    fed, _ = with_handed_stream(args, {}, WIDTH, stream, pair=False)
    assert torch.equal(fed[1], stream)
    assert torch.equal(fed[2], residual)
    named = {"hidden_states": hidden, "residual": None}
    _, named = with_handed_stream((positions,), named, WIDTH, stream, pair=True)
    assert torch.equal(named["hidden_states"], stream)
    assert named["residual"] is None


def test_what_a_layer_returns_is_replaced_as_a_pair() -> None:
    hidden, residual, stream = _pair()
    assert torch.equal(_some(stream_of(returned_tensors((hidden, residual), {}), pair=True)), hidden + residual)
    assert torch.equal(_some(stream_of(returned_tensors((hidden, residual), {}), pair=False)), hidden)
    assert torch.equal(_some(stream_of(returned_tensors((hidden, None), {}), pair=True)), hidden)
    zero, replaced = with_returned_stream((hidden, residual), {}, stream, pair=True)
    assert not zero.any()
    assert torch.equal(replaced, stream)
    replaced, beside = with_returned_stream((hidden, residual), {}, stream, pair=False)
    assert torch.equal(replaced, stream)
    assert torch.equal(beside, residual)
    assert torch.equal(with_returned_stream(hidden, {}, stream, pair=True), stream)
    written = {"output": hidden.clone()}
    assert torch.equal(_some(stream_of(returned_tensors(None, written), pair=False)), hidden)
    assert with_returned_stream(None, written, stream, pair=False) is None
    assert torch.equal(written["output"], stream)


def _some(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None
    return tensor


def test_parts_make_a_whole_in_order_only() -> None:
    whole = torch.arange(10.0).reshape(5, 2)
    parts = Parts()
    assert parts.add(Piece("embed", whole[:2], 0, start=0, whole=5)) is None
    with pytest.raises(DumpError, match="rows-missing"):
        parts.check_whole()
    joined = parts.add(Piece("embed", whole[2:], 0, start=2, whole=5))
    assert joined is not None
    assert torch.equal(joined.tensor, whole)
    parts.check_whole()
    for start in (1, 3):
        with pytest.raises(DumpError, match="rows-unknown"):
            Parts().add(Piece("embed", whole[start:], 0, start=start, whole=5))


class _Told:
    def __init__(self, logprob: float) -> None:
        self.logprob = logprob


def test_logprobs_that_the_engine_does_not_tell_are_an_error() -> None:
    told: list[Any] = [None, {5: _Told(-1.5), 9: _Told(-0.5)}]
    assert own_logprobs((4, 5), told)[1:] == [-1.5]
    for wrong in (None, told[:1], [None, None], [None, {9: _Told(-0.5)}]):
        with pytest.raises(DumpError, match="logprobs-absent"):
            own_logprobs((4, 5), wrong)


def test_a_runner_that_keeps_its_batch_to_itself_is_refused() -> None:
    class Newer:
        def execute_model(self) -> None: ...
        def get_model(self) -> None: ...

    with pytest.raises(DumpError, match="engine-unsupported"):
        Runner(Newer())
