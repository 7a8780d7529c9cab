"""Replay: every block answers to the dump's input, and nothing that one block does reaches the next."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, DumpFile, DumpWriter, load
from npu_dump.cli import main
from npu_dump.feed import Feeder
from npu_dump.tokens import Sample, samples_of_dump

from .architectures import ARCHITECTURES, VOCABULARY, Architecture, build

Ids = Callable[..., torch.Tensor]


def samples(*lengths: tuple[int, int]) -> list[Sample]:
    """Random samples: tokens of the prompt, and how many follow one by one."""
    generator = torch.Generator().manual_seed(1)

    def ids(count: int) -> list[int]:
        return torch.randint(5, VOCABULARY, (count,), generator=generator).tolist()

    return [
        Sample(tuple(ids(prompt))).continued_by([([token], None) for token in ids(steps)])
        for prompt, steps in lengths
    ]


def capture(model: Any, path: Path, fed: Sequence[Sample], *, batch: int = 1, **options: Any) -> DumpFile:
    feeder = Feeder(model, torch.device("cpu"), "left")
    with Dump(model, path, **options):
        for start in range(0, len(fed), batch):
            feeder.feed(fed[start : start + batch])
    return load(path)


def tensors(dump: DumpFile) -> Iterator[tuple[tuple[str, int, int], torch.Tensor]]:
    for key in dump:
        yield key, torch.as_tensor(np.array(dump[key]) if isinstance(dump[key], np.ndarray) else dump[key])


def differing(a: DumpFile, b: DumpFile) -> set[str]:
    """Names of the tensors that are not bit-identical."""
    assert set(a) == set(b)
    others = dict(tensors(b))
    return {key[0] for key, tensor in tensors(a) if not torch.equal(tensor, others[key])}


@contextmanager
def nudged(module: nn.Module) -> Iterator[None]:
    """Change the weights of a module, as a fault would."""
    state = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
    yield
    module.load_state_dict(state)


KERNELS = [(torch.float32, "sdpa"), (torch.bfloat16, "eager")]


@pytest.mark.parametrize(("dtype", "attention"), KERNELS, ids=["float32-sdpa", "bfloat16-eager"])
def test_an_unfaulted_model_gives_back_every_bit(
    tmp_path: Path, architecture: Architecture, attention: str, dtype: torch.dtype
) -> None:
    """Prefill and decode, in the dump's own precision."""
    try:
        model = architecture.model(dtype, attn_implementation=attention)
    except ValueError as error:
        assert "does not support an attention implementation" in str(error)
        model = architecture.model(dtype)
    fed = samples((9, 3), (5, 2))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    replay = capture(model, tmp_path / "replay.arrow", fed, replay=tmp_path / "plain.arrow")
    assert plain.steps(0) == 3
    assert differing(plain, replay) == set()
    assert replay.run["capture"]["replay_of"] == {"id": plain.run["id"], "file": "plain.arrow"}


def test_a_fault_stays_in_its_block(tmp_path: Path, architecture: Architecture) -> None:
    """Plainly it reaches everything after it; replayed, in prefill and decode, nothing but its own output."""
    model, fed = architecture.model(), samples((9, 3), (5, 2))
    clean = capture(model, tmp_path / "clean.arrow", fed)
    block = f"layers.1.{architecture.roles[0]}"
    place = next(row for row in _modules_of(tmp_path / "clean.arrow") if row[0] == block)
    with nudged(model.get_submodule(place[1])):
        plain = capture(model, tmp_path / "plain.arrow", fed)
        replay = capture(model, tmp_path / "replay.arrow", fed, replay=tmp_path / "clean.arrow")
    assert differing(clean, plain) >= {block, "layers.1", "layers.2", "logits"}
    # The sum is the layer's own where it adds up what the metadata promises; else blocks may hand over otherwise.
    own = {block} if architecture.residual != "other" else {"layers.1.attn", "layers.1.mlp", "layers.1"}
    assert block in differing(clean, replay) <= own


def _modules_of(path: Path) -> set[tuple[str, str]]:
    import pyarrow as pa

    table = pa.ipc.open_file(str(path)).read_all()
    return set(zip(table["name"].to_pylist(), table["module"].to_pylist(), strict=True))


def test_any_batch_gives_the_same(tmp_path: Path, architecture: Architecture) -> None:
    """To rounding: another batch may run through other kernels. Its padding keeps the engine's values."""
    model, fed = architecture.model(), samples((9, 3), (5, 2), (7, 3))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    replay = capture(model, tmp_path / "replay.arrow", fed, batch=3, replay=tmp_path / "plain.arrow")
    assert set(plain) == set(replay)
    batched = dict(tensors(replay))
    for key, tensor in tensors(plain):
        x, y = tensor.double(), batched[key].double()
        assert (x - y).norm() <= 1e-5 * x.norm() + 1e-9, key


def test_the_forced_reference_is_each_module_by_itself(tmp_path: Path) -> None:
    """Against transformers' own modules, called one by one on a bfloat16 run's tensors."""
    fed = samples((9, 0))
    candidate = capture(build(dtype=torch.bfloat16), tmp_path / "npu.arrow", fed)
    model = build()
    forced = dict(tensors(capture(model, tmp_path / "forced.arrow", fed, replay=tmp_path / "npu.arrow")))
    seen = {name: tensor.float()[None] for (name, _, _), tensor in tensors(candidate)}
    positions = torch.arange(9)[None]
    rotary = model.model.rotary_emb(seen["embed"], positions)
    hidden = seen["embed"]
    expected = {"embed": model.get_input_embeddings()(torch.tensor([fed[0].ids]))}
    for number, layer in enumerate(model.model.layers):
        attn, mlp = seen[f"layers.{number}.attn"], seen[f"layers.{number}.mlp"]
        with torch.no_grad():
            normed = layer.input_layernorm(hidden)
            answer = layer.self_attn(hidden_states=normed, position_embeddings=rotary, attention_mask=None)
            expected[f"layers.{number}.attn"] = answer[0]
            expected[f"layers.{number}.mlp"] = layer.mlp(layer.post_attention_layernorm(hidden + attn))
        expected[f"layers.{number}"] = hidden + attn + mlp
        hidden = seen[f"layers.{number}"]
    with torch.no_grad():
        expected["norm"] = model.model.norm(hidden)
        expected["logits"] = model.lm_head(seen["norm"])
    for name, value in expected.items():
        mine = forced[name, 0, 0]
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, value[0].detach(), rtol=1e-6, atol=1e-6, msg=name)
        # And it is not simply what the candidate has.
        assert not torch.equal(mine, seen[name][0])


def test_the_device_can_be_fed_with_the_reference(tmp_path: Path) -> None:
    """Isolated replay: the errors of a bfloat16 engine on float32 inputs do not grow from layer to layer."""
    fed = samples((16, 2))
    reference = dict(tensors(capture(build(), tmp_path / "cpu.arrow", fed)))
    engine = build(dtype=torch.bfloat16)
    isolated = dict(tensors(capture(engine, tmp_path / "npu.arrow", fed, replay=tmp_path / "cpu.arrow")))
    for name in ("layers.0", "layers.1", "layers.2"):
        for step in range(3):
            x, y = reference[name, 0, step], isolated[name, 0, step].float()
            # Inputs, blocks and sums are rounded once or twice each: 2**-9 is half a unit in the last place.
            assert (x - y).norm() < 3 * 2**-9 * x.norm(), (name, step)


ROUTED = [name for name in ("mixtral", "qwen3-moe", "gpt-oss", "deepseek-v3", "qwen3-next") if name in ARCHITECTURES]


@pytest.mark.parametrize("name", ROUTED)
def test_a_router_s_fault_stays_in_its_logits(tmp_path: Path, name: str) -> None:
    """The choice of experts follows the dump's logits, so the experts answer as they did."""
    model, fed = ARCHITECTURES[name].model(), samples((9, 2))
    clean = capture(model, tmp_path / "clean.arrow", fed)
    place = next(row for row in _modules_of(tmp_path / "clean.arrow") if row[0] == "layers.1.router")
    router = model.get_submodule(place[1])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weight = next(parameter for parameter in router.parameters() if parameter.ndim == 2)
        weight.copy_(torch.randn(weight.shape, generator=generator))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    replay = capture(model, tmp_path / "replay.arrow", fed, replay=tmp_path / "clean.arrow")
    assert "layers.1.mlp" in differing(clean, plain)
    assert differing(clean, replay) == {"layers.1.router"}


def test_without_router_logits_the_engine_s_own_choice_stays(tmp_path: Path) -> None:
    model, fed = build("mixtral"), samples((9, 1))
    names = ["embed", "layers.?", "layers.*.attn", "layers.*.mlp", "norm", "logits"]
    select = [name for name in names if "?" not in name] + [f"layers.{layer}" for layer in range(3)]
    plain = capture(model, tmp_path / "plain.arrow", fed, select=select)
    replay = capture(model, tmp_path / "replay.arrow", fed, select=select, replay=tmp_path / "plain.arrow")
    assert not any(name.endswith("router") for name, _, _ in plain)
    assert differing(plain, replay) == set()


def test_what_is_not_finite_is_fed_as_it_is(tmp_path: Path) -> None:
    model, fed = build(), samples((9, 0))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    with DumpWriter(tmp_path / "broken.arrow", run=plain.run) as writer:
        for key, tensor in tensors(plain):
            value = tensor.clone()
            if key[0] == "layers.0":
                value[4] = torch.nan
            writer.write(key[0], value, sample=key[1], step=key[2])
    forced = dict(tensors(capture(model, tmp_path / "forced.arrow", fed, replay=tmp_path / "broken.arrow")))
    assert forced["layers.0", 0, 0].isfinite().all()
    # Attention may well spread it, also to rows before: a weight of 0 times NaN is NaN.
    assert forced["layers.1.attn", 0, 0][4].isnan().all()
    assert forced["layers.1.mlp", 0, 0].isnan().any(-1).tolist() == [row == 4 for row in range(9)]
    assert forced["layers.2.attn", 0, 0].isfinite().all()


def test_a_factor_of_the_sum_that_differs_is_taken_into_account(tmp_path: Path) -> None:
    """An engine that multiplies inside its blocks, and a model that multiplies in the sum."""
    model, fed = build("granite"), samples((9, 0))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    run = {**plain.run, "model": {**plain.run["model"], "residual_scale": [1.0] * 3}}
    with DumpWriter(tmp_path / "folded.arrow", run=run) as writer:
        for key, tensor in tensors(plain):
            inside = key[0].endswith((".attn", ".mlp"))
            writer.write(key[0], tensor * 0.22 if inside else tensor, sample=key[1], step=key[2])
    forced = dict(tensors(capture(model, tmp_path / "forced.arrow", fed, replay=tmp_path / "folded.arrow")))
    for key, tensor in tensors(plain):
        torch.testing.assert_close(forced[key], tensor, rtol=1e-5, atol=1e-5, msg=str(key))


def test_the_model_is_as_before(tmp_path: Path, llama: Any, ids: Ids) -> None:
    inputs = ids()
    with torch.no_grad():
        bare = llama(inputs).logits
        with Dump(llama, tmp_path / "a.arrow"):
            llama(inputs)
        with Dump(llama, tmp_path / "b.arrow", replay=tmp_path / "a.arrow") as dump:
            with dump.paused():
                assert torch.equal(llama(inputs).logits, bare)
            llama(inputs)
        assert torch.equal(llama(inputs).logits, bare)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in llama.modules())


def refusal(model: Any, path: Path, fed: Sequence[Sample], source: Path, **options: Any) -> str:
    with pytest.raises(DumpError) as error:
        capture(model, path, fed, replay=source, **options)
    assert len(error.value.render().splitlines()) >= 4
    assert not path.exists()
    return error.value.code


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model, fed, source = build(), samples((9, 1), (5, 0)), tmp_path / "a.arrow"
    capture(model, source, fed)

    def refused(other: Any, given: Sequence[Sample], path: Path = source) -> str:
        return refusal(other, tmp_path / "out.arrow", given, path, overwrite=True)

    assert refused(model, list(reversed(fed))) == "replay-tokens"
    assert refused(model, [*fed, *fed]) == "replay-tokens"
    assert refused(model, samples((9, 2))) == "replay-tokens"
    assert refused(build(hidden_size=64), fed) == "replay-shape"
    assert refused(build(num_hidden_layers=4), fed) == "replay-incomplete"
    assert refused(build("gpt-neox"), fed) == "replay-residual"
    capture(model, tmp_path / "stats.arrow", fed, mode=["full", "layers.1.mlp=stats"])
    assert refused(model, fed, tmp_path / "stats.arrow") == "replay-incomplete"
    capture(model, tmp_path / "some.arrow", fed, select=["layers.*"])
    assert refused(model, fed, tmp_path / "some.arrow") == "replay-incomplete"
    assert refused(nn.Linear(3, 3), fed) == "replay-decoder"


def test_the_command(tmp_path: Path, model_folder: Path, prompts: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> Any:
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capfd.readouterr().out)

    source, forced, isolated = (tmp_path / f"{name}.arrow" for name in ("npu", "forced", "isolated"))
    model = ("--model", model_folder)
    run("run", *model, "--prompts", prompts, "--dtype", "bfloat16", "--decode", 3, "--batch", 2, "-o", source)
    told = run("replay", source, *model, "--batch", 3, "-o", forced)
    assert told["samples"] == 3
    npu, answer = load(source), load(forced)
    assert (npu.run["dtype"], answer.run["dtype"]) == ("BF16", "F32")
    assert answer.run["capture"]["replay_of"] == {"id": npu.run["id"], "file": "npu.arrow"}
    assert {key for key in npu if key[0].startswith("layers")} == {
        key for key in answer if key[0].startswith("layers")
    }
    assert samples_of_dump(source, steps=None) == samples_of_dump(forced, steps=None)
    run("replay", source, *model, "--dtype", "bfloat16", "--limit", 1, "--mode", "hidden", "-o", isolated)
    assert load(isolated).samples() == [0]
    assert not any(name == "logits" for name, _, _ in load(isolated))


def test_the_command_refuses_what_is_no_dump(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.arrow").write_bytes(b"no dump")
    arguments = ["replay", tmp_path / "a.arrow", "--model", model_folder, "-o", tmp_path / "b.arrow"]
    assert main([*map(str, arguments)]) == 2
    assert capfd.readouterr().err.startswith("error[dump-incomplete]")
