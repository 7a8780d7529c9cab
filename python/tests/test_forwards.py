"""Which sample and step a forward is: caches that take turns, that were changed unseen, and pauses."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, load
from npu_dump.feed import Feeder
from npu_dump.samples import SampleTracker

from .architectures import build
from .test_replay import capture, samples

Ids = Callable[..., torch.Tensor]


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def refused(run: Callable[[], object]) -> str:
    with pytest.raises(DumpError) as error:
        run()
    assert len(error.value.render().splitlines()) >= 4
    return error.value.code


def test_caches_may_take_turns(tmp_path: Path, llama: Any, ids: Ids) -> None:
    """Each step is its own sample's, and its first token is scored by that sample's last logits."""
    a, b = ids(1, 7, seed=1), ids(1, 5, seed=2)
    with Dump(llama, tmp_path / "a.arrow", mode=["full", "logits=topk"]):
        caches = [llama(prompt[:, :-2], use_cache=True).past_key_values for prompt in (a, b)]
        for step in (-2, -1):
            for prompt, cache in zip((a, b), caches, strict=True):
                llama(prompt[:, step : step + 1 or None], past_key_values=cache)
    dump = load(tmp_path / "a.arrow")
    for sample, prompt in enumerate((a, b)):
        whole = llama(prompt, output_hidden_states=True)
        logprobs = torch.log_softmax(whole.logits[0].double(), -1)
        for step, place in ((1, prompt.shape[1] - 2), (2, prompt.shape[1] - 1)):
            assert dump["input_ids", sample, step].tolist() == prompt[0, place : place + 1].tolist()
            np.testing.assert_allclose(dump["layers.1", sample, step][0], whole.hidden_states[2][0, place], atol=1e-5)
            own = logprobs[place - 1, prompt[0, place]]
            np.testing.assert_allclose(dump["token_logprob", sample, step], [own], rtol=1e-5)


class _OldModel(nn.Module):
    """The arguments of a model whose cache is a tuple of keys and values, one pair a layer."""

    def forward(self, input_ids: Any = None, **rest: Any) -> None:
        raise NotImplementedError


def test_caches_that_are_tuples_may_take_turns() -> None:
    class Output:
        def __init__(self, tokens: int) -> None:
            self.past_key_values = tuple((torch.zeros(1, 2, tokens, 4), torch.zeros(1, 2, tokens, 4)) for _ in "ab")

    tracker, prompt = SampleTracker(_OldModel()), torch.zeros(1, 3, dtype=torch.int64)
    outputs = []
    for sample in (0, 1):
        assert tracker.begin((prompt,), {}).rows[0].sample == sample
        outputs.append(Output(3))
        tracker.end(outputs[-1])
    for sample, output in enumerate(outputs):
        step = tracker.begin((prompt[:, :1],), {"past_key_values": output.past_key_values})
        assert (step.rows[0].step, step.past, step.rows[0].sample) == (1, 3, sample)
    copied = tuple((keys.clone(), values.clone()) for keys, values in outputs[0].past_key_values)
    assert refused(lambda: tracker.begin((prompt[:, :1],), {"past_key_values": copied})) == "cache-unknown"


def test_a_cache_that_was_filled_or_cut_unseen_is_refused(tmp_path: Path, llama: Any, ids: Ids) -> None:
    """Its steps could not be made again from the ids in the dump."""

    def filled() -> None:
        with Dump(llama, tmp_path / "a.arrow") as dump:
            cache = llama(ids(1, 7), use_cache=True).past_key_values
            with dump.paused():
                llama(ids(1, 2), past_key_values=cache)
            llama(ids(1, 1), past_key_values=cache)

    def cut() -> None:
        with Dump(llama, tmp_path / "b.arrow"):
            cache = llama(ids(1, 7), use_cache=True).past_key_values
            cache.crop(-2)
            llama(ids(1, 1), past_key_values=cache)

    assert refused(filled) == refused(cut) == "cache-unknown"
    assert list(tmp_path.glob("*.arrow")) == []


def test_a_cache_among_plain_outputs_is_known(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with Dump(llama, tmp_path / "a.arrow"):
        cache = llama(ids(1, 7), use_cache=True, return_dict=False)[1]
        llama(ids(1, 1), past_key_values=cache, return_dict=False)
    assert load(tmp_path / "a.arrow").steps(0) == 1


def test_a_pause_inside_a_pause_ends_with_the_outer_one(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with Dump(llama, tmp_path / "a.arrow") as dump:
        with dump.paused():
            with dump.paused():
                llama(ids(1, 3))
            llama(ids(1, 4))
        llama(ids(1, 5))
    stored = load(tmp_path / "a.arrow")
    assert stored.samples() == [0]
    assert len(stored["input_ids", 0, 0]) == 5


def test_reduced_logits_keep_no_activations(tmp_path: Path, llama: Any, ids: Ids) -> None:
    """With gradients on, the logits that are kept for the next step are no part of the graph."""
    normed: list[weakref.ref[torch.Tensor]] = []
    llama.model.norm.register_forward_hook(lambda _module, _args, output: normed.append(weakref.ref(output)))
    with torch.enable_grad(), Dump(llama, tmp_path / "a.arrow", mode="topk"):
        cache = llama(ids(1, 7), use_cache=True).past_key_values
        gc.collect()
        # Of the probe and of the prompt.
        assert [reference() for reference in normed] == [None, None]
        llama(ids(1, 1), past_key_values=cache)
    assert np.isfinite(load(tmp_path / "a.arrow")["token_logprob", 0, 1]).all()


COMPILED = {
    "wrapped": lambda model: torch.compile(model, backend="eager"),
    "in-place": lambda model: model.compile(backend="eager") or model,
    "a-layer": lambda model: model.model.layers[1].compile(backend="eager") or model,
}


@pytest.mark.parametrize("way", COMPILED)
def test_a_compiled_model_is_refused(tmp_path: Path, way: str, ids: Ids) -> None:
    """Its code runs without hooks that came later: blocks would be absent, or not replaced, without a word."""
    model = COMPILED[way](build())

    def run() -> None:
        with Dump(model, tmp_path / "a.arrow"):
            model(ids(1, 7))

    assert refused(run) == "model-compiled"
    assert list(tmp_path.iterdir()) == []


def test_a_replay_is_fed_at_the_dump_s_positions(tmp_path: Path, llama: Any, ids: Ids) -> None:
    inputs, positions = ids(1, 7), torch.arange(7)[None] + 20
    with Dump(llama, tmp_path / "a.arrow"):
        llama(inputs, position_ids=positions)
    with Dump(llama, tmp_path / "b.arrow"):
        llama(inputs)

    def replay(name: str, **arguments: Any) -> None:
        with Dump(llama, tmp_path / "c.arrow", replay=tmp_path / f"{name}.arrow", overwrite=True):
            llama(inputs, **arguments)

    assert refused(lambda: replay("a")) == "replay-positions"
    assert refused(lambda: replay("b", position_ids=positions)) == "replay-positions"
    replay("a", position_ids=positions)
    replay("b")


def test_prompts_of_one_length_may_end_at_different_steps(tmp_path: Path, llama: Any) -> None:
    """The batch needs no padding until one of them has ended."""
    fed = samples((7, 3), (7, 1))
    together = capture(llama, tmp_path / "together.arrow", fed, batch=2)
    alone = capture(llama, tmp_path / "alone.arrow", fed)
    assert set(together) == set(alone)
    for key in alone:
        np.testing.assert_allclose(together[key], alone[key], atol=1e-5, err_msg=str(key))


def test_positions_are_those_that_the_layers_are_told(tmp_path: Path, ids: Ids) -> None:
    """OPT counts them by the mask, so that padding on the left moves nothing."""
    model, prompt = build("opt"), ids(1, 7)
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.int64), prompt], 1)
    mask = torch.tensor([[0] * 3 + [1] * 7])
    with Dump(model, tmp_path / "a.arrow"):
        model(padded, attention_mask=mask)
    dump = load(tmp_path / "a.arrow")
    np.testing.assert_allclose(dump["logits", 0, 0], model(prompt).logits[0], atol=1e-5)
    assert ("position_ids", 0, 0) not in dump


def test_samples_are_fed_without_gradients(llama: Any) -> None:
    outputs: list[Any] = []
    llama.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    with torch.enable_grad():
        Feeder(llama, torch.device("cpu"), "left").feed(samples((7, 2)))
    assert [output.logits.requires_grad for output in outputs] == [False] * 3
