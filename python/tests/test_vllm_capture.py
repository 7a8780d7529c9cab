"""A capture inside an engine's worker, on a stand-in that is called as vLLM calls its own models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from npu_dump import DumpError, load
from npu_dump.probe import PROBE_TOKENS
from npu_dump.vllm.anatomy import Observer, find_vllm_decoder
from npu_dump.vllm.engine import VllmEngine
from npu_dump.vllm.worker import EngineDump

from .engine_standin import EXPERTS, LAYERS, Kind, Model, ModelRunner, runner_of

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


def learned(kind: Kind = "pair") -> tuple[ModelRunner, VllmEngine]:
    """An engine that has seen the probe."""
    runner, seen = runner_of(kind)
    engine = VllmEngine(seen)
    observer = Observer(engine.decoder)
    runner.run({"probe": (0, IDS[:PROBE_TOKENS])})
    observer.remove()
    engine.learn(observer)
    return runner, engine


def dump_of(engine: VllmEngine, path: Path, **options: Any) -> EngineDump:
    return EngineDump(engine, path, {"model": {}, "dtype": "F32"}, options)


@torch.no_grad()
def streams(model: Model, ids: list[int]) -> list[torch.Tensor]:
    """The residual stream before the first layer and after each, by the model's own arithmetic."""
    stream = model.model.embed_tokens(torch.tensor(ids))
    found = [stream]
    for layer in model.model.layers:
        middle = stream + layer.self_attn(layer.input_layernorm(stream))
        stream = middle + layer.mlp(layer.post_attention_layernorm(middle))
        found.append(stream)
    return found


@pytest.mark.parametrize("kind", ["pair", "beside", "dropped"])
def test_the_stream_is_what_the_next_layer_reads(kind: Kind, tmp_path: Path) -> None:
    runner, engine = learned(kind)
    assert engine.anatomy().residual == "sequential"
    assert [point.name for point in engine.routers()] == [f"layers.{index}.router" for index in range(LAYERS)]
    with dump_of(engine, tmp_path / "a.arrow", select=["embed", "layers.*", "model.layers.1"]) as dump:
        runner.run({"a": (0, IDS)}, {"a": {"sample": 0, "prompt": len(IDS), "steps": 0}})
        dump.check()
        dump.check_fed([len(IDS)])
    made = load(tmp_path / "a.arrow")
    for name, expected in zip(
        ["embed", *(f"layers.{i}" for i in range(LAYERS))], streams(runner.model, IDS), strict=True
    ):
        torch.testing.assert_close(torch.as_tensor(made[name, 0, 0]), expected, rtol=0, atol=1e-6)
    # A layer by its path is its stream too.
    assert torch.equal(torch.as_tensor(made["model.layers.1", 0, 0]), torch.as_tensor(made["layers.1", 0, 0]))
    assert made["layers.0.router", 0, 0].shape == (len(IDS), EXPERTS)


def test_a_module_that_the_engine_never_calls_is_refused(tmp_path: Path) -> None:
    runner, engine = learned()
    select = ["logits", "model.layers.*.self_attn", "head", "model.layers"]
    # The head works through compute_logits, and a list of layers is no layer.
    with (
        pytest.raises(DumpError, match=r"select-unused(.|\n)*head, model\.layers"),
        dump_of(engine, tmp_path / "a.arrow", select=select),
    ):
        runner.run({"a": (0, IDS)}, {"a": {"sample": 0, "prompt": len(IDS), "steps": 0}})
    assert not (tmp_path / "a.arrow").exists()
    assert (tmp_path / "a.arrow.partial").exists()
    # Of several modules that one pattern names, one is enough.
    with dump_of(engine, tmp_path / "b.arrow", select=["logits", "model.*"]):
        runner.run({"b": (0, IDS)}, {"b": {"sample": 0, "prompt": len(IDS), "steps": 0}})
    assert load(tmp_path / "b.arrow")["model.layers.0.self_attn", 0, 0].shape[0] == len(IDS)


def test_what_hooks_and_chunks_leave_behind(tmp_path: Path) -> None:
    runner, engine = learned()
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in runner.model.modules())
    assert hooks == 0
    with dump_of(engine, tmp_path / "a.arrow", mode="topk", top_k=2) as dump:
        told = {"sample": 0, "prompt": len(IDS), "steps": 1}
        runner.run({"a": (0, IDS[:3])}, {"a": told})
        runner.run({"a": (3, IDS[3:])})
        runner.run({"a": (len(IDS), [7])})
        runner.run({"b": (0, [1, 2])}, {"b": {"sample": 1, "prompt": 2, "steps": 0}})
        # What predicts the next token is let go with the sample that has none.
        assert not engine._last.keys() & {0}
        dump.check()
        dump.check_fed([len(IDS) + 1, 2])
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in runner.model.modules())
    assert (hooks, "execute_model" in vars(runner)) == (0, False)
    made = load(tmp_path / "a.arrow")
    with torch.no_grad():
        logprobs = runner.model.head(runner.model.model(torch.tensor(IDS), torch.arange(len(IDS)))).log_softmax(-1)
    expected = logprobs.double().gather(-1, torch.tensor([*IDS[1:], 7])[:, None])[:, 0]
    found = torch.cat([torch.as_tensor(made["token_logprob", 0, step]) for step in (0, 1)])
    torch.testing.assert_close(found[1:], expected, rtol=0, atol=1e-6)


def test_a_rank_whose_disk_is_full_still_computes_logits_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, engine = learned()
    dump = dump_of(engine, tmp_path / "a.arrow")
    dump.__enter__()
    full = DumpError("disk-full", "the disk is full", facts=[], help="make room")

    def put(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr(dump._writer, "put", put)
    runner.model.asked.clear()
    requests = {name: {"sample": number, "prompt": 2, "steps": 1} for number, name in enumerate("ab")}
    runner.run({"a": (0, [1, 2]), "b": (0, [3, 4])}, requests)
    runner.run({"a": (2, [5]), "b": (2, [6])})
    # Of both samples, in both forwards: the other ranks do the same, and each call waits for all of them.
    assert runner.model.asked == [2, 2, 1, 1]
    with pytest.raises(DumpError) as raised:
        dump.check()
    assert raised.value is full
    dump.__exit__(DumpError, full, None)


def test_hidden_states_of_other_rows_are_refused(tmp_path: Path) -> None:
    runner, engine = learned()
    # As with sequence parallelism, where each rank goes on with some of the rows.
    with (
        pytest.raises(DumpError, match="rows-unknown"),
        dump_of(engine, tmp_path / "a.arrow", select="logits") as dump,
    ):
        runner.model.model.norm.register_forward_hook(lambda _module, _args, output: (output[0][::2], output[1]))
        runner.run({"a": (0, IDS)}, {"a": {"sample": 0, "prompt": len(IDS), "steps": 0}})
        dump.check()


def test_the_decoder_of_a_model_of_images_is_not_its_encoder() -> None:
    class Images(nn.Module):
        def __init__(self, text: nn.Module) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Identity() for _ in range(LAYERS))
            self.language_model = text

        def get_language_model(self) -> nn.Module:
            return self.language_model

    config = runner_of()[1].config.model_config.hf_text_config
    assert find_vllm_decoder(Images(Model()), config).path == "language_model.model"
