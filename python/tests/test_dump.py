"""Capturing: nothing changes, everything stored is what the model computed, samples are whole."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import DynamicCache

from npu_dump import Dump, DumpError, DumpFile, load

from .conftest import ARCHITECTURES, VOCABULARY, build

Ids = Callable[..., torch.Tensor]
LLAMA_NAMES = {"input_ids", "embed", "norm", "logits"} | {
    f"layers.{layer}{role}" for layer in range(3) for role in ("", ".attn", ".mlp")
}


def tensor(dump: DumpFile, name: str, sample: int = 0, step: int = 0) -> torch.Tensor:
    return torch.as_tensor(dump[name, sample, step])


def hooks_of(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["llama", "olmo2", "gpt2", "mixtral"])
def test_outputs_are_bit_identical(tmp_path: Path, ids: Ids, name: str, attention: str, dtype: torch.dtype) -> None:
    model, inputs = build(name, dtype, attn_implementation=attention), ids()
    with torch.no_grad():
        bare = model(inputs).logits
        with Dump(model, tmp_path / "a.arrow"):
            hooked = model(inputs).logits
        after = model(inputs).logits
    assert torch.equal(bare, hooked)
    assert torch.equal(bare, after)
    assert hooks_of(model) == 0
    dump = load(tmp_path / "a.arrow")
    assert torch.equal(tensor(dump, "logits", 1), bare[1])
    assert tensor(dump, "layers.1").dtype == dtype


def test_gradients_are_bit_identical(tmp_path: Path, llama: Any, ids: Ids) -> None:
    def gradient() -> torch.Tensor:
        llama.zero_grad()
        llama(ids(), labels=ids()).loss.backward()
        return llama.get_input_embeddings().weight.grad.clone()

    bare = gradient()
    with Dump(llama, tmp_path / "a.arrow"):
        assert torch.equal(gradient(), bare)


def test_training_mode_and_random_state_are_kept(tmp_path: Path, ids: Ids) -> None:
    model = build("gpt2", resid_pdrop=0.3).train()
    torch.manual_seed(3)
    bare = model(ids()).logits
    torch.manual_seed(3)
    with Dump(model, tmp_path / "a.arrow"):
        assert torch.equal(model(ids()).logits, bare)
    assert model.training


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gpt-neox", "opt", "mixtral"])
def test_stored_tensors_equal_those_of_the_model_itself(tmp_path: Path, ids: Ids, name: str) -> None:
    """Hidden states come from transformers' own output_hidden_states, blocks from hooks of this test."""
    model, inputs = build(name), ids()
    # transformers 5 has renamed it.
    experts = "mlp" if any(path.endswith("0.mlp") for path, _ in model.named_modules()) else "block_sparse_moe"
    places = {
        "llama": ("model.layers.{}.self_attn", "model.layers.{}.mlp"),
        "gpt2": ("transformer.h.{}.attn", "transformer.h.{}.mlp"),
        "gemma2": ("model.layers.{}.post_attention_layernorm", "model.layers.{}.post_feedforward_layernorm"),
        "gpt-neox": ("gpt_neox.layers.{}.attention", "gpt_neox.layers.{}.mlp"),
        "opt": ("model.decoder.layers.{}.self_attn", "model.decoder.layers.{}.fc2"),
        "mixtral": ("model.layers.{}.self_attn", f"model.layers.{{}}.{experts}"),
    }[name]
    seen: dict[str, torch.Tensor] = {}
    handles = []
    for layer in range(3):
        for role, place in zip(("attn", "mlp"), places, strict=True):

            def hook(_m: Any, _a: Any, output: Any, key: str = f"layers.{layer}.{role}") -> None:
                seen[key] = (output[0] if isinstance(output, tuple) else output).clone()

            handles.append(model.get_submodule(place.format(layer)).register_forward_hook(hook))
    with torch.no_grad():
        output = model(inputs, output_hidden_states=True)
    for handle in handles:
        handle.remove()
    seen["embed"], *layers, seen["norm"] = output.hidden_states
    seen |= {f"layers.{number}": value for number, value in enumerate(layers)}
    seen["logits"] = output.logits
    seen["input_ids"] = inputs
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow"):
        model(inputs)
    dump = load(tmp_path / "a.arrow")
    for key, expected in seen.items():
        for sample in range(2):
            whole = expected.reshape(2, 9, *expected.shape[-1:]) if key != "input_ids" else expected
            assert torch.equal(tensor(dump, key, sample), whole[sample]), key
    routers = {f"layers.{layer}.router" for layer in range(3)} if name == "mixtral" else set()
    assert {name for name, _, _ in dump} == seen.keys() | routers | {"layers.2"}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "bloom"])
def test_padded_batches_equal_single_runs(tmp_path: Path, ids: Ids, name: str, side: str) -> None:
    model = build(name)
    lengths = [9, 4, 6]
    padded = torch.zeros((3, 9), dtype=torch.int64)
    mask, positions = padded.clone(), padded.clone()
    for row, length in enumerate(lengths):
        columns = slice(0, length) if side == "right" else slice(9 - length, 9)
        padded[row, columns] = ids(1, length, seed=row)[0]
        mask[row, columns] = 1
        positions[row, columns] = torch.arange(length)
    extra = {} if name == "bloom" else {"position_ids": positions}
    with torch.no_grad():
        with Dump(model, tmp_path / "batch.arrow"):
            model(padded, attention_mask=mask, **extra)
        with Dump(model, tmp_path / "single.arrow"):
            for row, length in enumerate(lengths):
                model(ids(1, length, seed=row))
    batch, single = load(tmp_path / "batch.arrow"), load(tmp_path / "single.arrow")
    ignored = {"position_ids"} if name == "bloom" else set()  # counted from the first padding; no part of ALiBi
    assert {key for key in batch if key[0] not in ignored} == set(single)
    for key in single:
        assert batch[key].shape == single[key].shape
        if key[0] == "input_ids":
            assert np.array_equal(batch[key], single[key])
        else:
            np.testing.assert_allclose(batch[key], single[key], rtol=2e-4, atol=2e-5, err_msg=str(key))


def test_a_mask_with_a_gap_keeps_the_other_columns(tmp_path: Path, llama: Any, ids: Ids) -> None:
    mask = torch.tensor([[1, 0, 1, 1, 0]])
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow"):
        logits = llama(ids(1, 5), attention_mask=mask).logits
    dump = load(tmp_path / "a.arrow")
    assert torch.equal(tensor(dump, "logits"), logits[0, [0, 2, 3]])
    assert tensor(dump, "position_ids").tolist() == [0, 2, 3]


def test_positions_are_stored_only_where_they_are_not_counted_from_zero(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow"):
        llama(ids(1, 4))
        llama(ids(1, 4), position_ids=torch.arange(4)[None])
        llama(ids(1, 4), position_ids=torch.arange(7, 11)[None])
    dump = load(tmp_path / "a.arrow")
    assert [key for key in dump if key[0] == "position_ids"] == [("position_ids", 2, 0)]
    assert tensor(dump, "position_ids", 2).tolist() == [7, 8, 9, 10]


def test_a_filled_cache_continues_the_samples(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow"):
        first, second = ids(2, 5, seed=1), ids(1, 3, seed=2)
        a = llama(first, use_cache=True)
        b = llama(second, use_cache=True)
        # The two caches take turns: a step belongs to whom the cache belongs.
        a1 = llama(ids(2, 1, seed=3), past_key_values=a.past_key_values)
        b1 = llama(ids(1, 1, seed=4), past_key_values=b.past_key_values)
        a2 = llama(ids(2, 1, seed=5), past_key_values=a1.past_key_values)
    dump = load(tmp_path / "a.arrow")
    assert {(sample, step) for name, sample, step in dump if name == "logits"} == {
        (0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2),
    }  # fmt: skip
    assert torch.equal(tensor(dump, "logits", 1, 2), a2.logits[1])
    assert torch.equal(tensor(dump, "logits", 2, 1), b1.logits[0])
    assert tensor(dump, "input_ids", 1, 1).tolist() == ids(2, 1, seed=3)[1].tolist()
    assert tensor(dump, "position_ids", 0, 2).tolist() == [6]
    assert tensor(dump, "layers.1.mlp", 0, 1).shape == (1, 32)


def test_a_cache_filled_elsewhere_is_refused(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad():
        cache = llama(ids(), use_cache=True).past_key_values
        with pytest.raises(DumpError, match="cache-unknown"), Dump(llama, tmp_path / "a.arrow"):
            llama(ids(2, 1), past_key_values=cache)
    assert hooks_of(llama) == 0


def test_an_empty_cache_starts_samples_and_is_not_kept_alive(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow") as dump:
        cache = DynamicCache()
        llama(ids(), past_key_values=cache)
        llama(ids(2, 1), past_key_values=cache)
        assert dump.samples == 2
        alive = weakref.ref(cache)
        del cache
        gc.collect()
        assert alive() is None
    assert ("logits", 1, 1) in load(tmp_path / "a.arrow")


def test_a_module_called_twice_is_numbered(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.linear(x))

    model, x = Twice(), torch.randn(3, 4)
    with torch.no_grad():
        with Dump(model, tmp_path / "a.arrow"):
            model(x)
            model(x * 2)
        once, twice = model.linear(x), model.linear(model.linear(x))
    dump = load(tmp_path / "a.arrow")
    assert list(dump) == [(name, sample, 0) for sample in (0, 1) for name in ("input.0", "linear", "linear#1")]
    assert torch.equal(tensor(dump, "linear"), once)
    assert torch.equal(tensor(dump, "linear#1"), twice)
    assert torch.equal(tensor(dump, "input.0", 1), x * 2)


def test_in_place_changes_after_a_module_do_not_reach_the_dump(tmp_path: Path) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.up(x)
            x.zero_()
            return y.mul_(0)

    model, x = InPlace(), torch.randn(2, 4)
    given, expected = x.clone(), model.up(x).detach()
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow"):
        model(x)
    dump = load(tmp_path / "a.arrow")
    assert torch.equal(tensor(dump, "input.0"), given)
    assert torch.equal(tensor(dump, "up"), expected)


@pytest.mark.parametrize(
    ("select", "names"),
    [
        (None, LLAMA_NAMES),
        ("logits", {"logits"}),
        (["layers.*.mlp", "norm"], {"layers.0.mlp", "layers.1.mlp", "layers.2.mlp", "norm"}),
        ("*.1", {"layers.1"}),
        ("model.layers.1.mlp.*_proj", {f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down")}),
    ],
)
def test_select(tmp_path: Path, llama: Any, ids: Ids, select: Any, names: set[str]) -> None:
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow", select=select):
        llama(ids())
    dump = load(tmp_path / "a.arrow")
    assert {name for name, _, _ in dump} == names | {"input_ids"}
    wanted = [select] if isinstance(select, str) else select
    assert dump.run["capture"]["select"] == (wanted or ["embed", "layers.*", "norm", "logits"])


def test_select_of_nothing_is_refused_with_the_nearest_names(tmp_path: Path, llama: Any) -> None:
    with (
        pytest.raises(DumpError, match=r"nearest +layers\.0\.mlp") as caught,
        Dump(llama, tmp_path / "a.arrow", select="layer.0.mlp"),
    ):
        pytest.fail("entered")
    assert caught.value.code == "select-empty"
    assert hooks_of(llama) == 0
    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_cut_are_refused(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad():
        with pytest.raises(DumpError, match="logits_to_keep=0"), Dump(llama, tmp_path / "a.arrow"):
            llama(ids(), logits_to_keep=1)
        with Dump(llama, tmp_path / "b.arrow", select="layers.*"):
            llama(ids(), logits_to_keep=1)
    assert ("layers.2", 0, 0) in load(tmp_path / "b.arrow")


def test_generation_inside_the_block_is_captured_step_by_step(tmp_path: Path, llama: Any, ids: Ids) -> None:
    options = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with torch.no_grad():
        bare = llama.generate(ids(1, 5), **options)
        with Dump(llama, tmp_path / "a.arrow"):
            hooked = llama.generate(ids(1, 5), logits_to_keep=0, **options)
    assert torch.equal(bare, hooked)
    dump = load(tmp_path / "a.arrow")
    steps = [tensor(dump, "logits", 0, step)[-1].argmax().item() for step in range(4)]
    assert steps == bare[0, 5:].tolist()
    assert [tensor(dump, "input_ids", 0, step).tolist() for step in (1, 2, 3)] == [[token] for token in steps[:3]]


def test_an_exception_removes_hooks_and_keeps_what_was_captured(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad(), pytest.raises(KeyboardInterrupt), Dump(llama, tmp_path / "a.arrow"):
        llama(ids())
        raise KeyboardInterrupt
    assert hooks_of(llama) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow.partial"]


def test_a_forward_that_fails_is_the_models_error(tmp_path: Path, llama: Any) -> None:
    with pytest.raises(IndexError), Dump(llama, tmp_path / "a.arrow"):
        llama(torch.tensor([[VOCABULARY + 1]]))
    assert hooks_of(llama) == 0


def test_own_tensors_may_be_added(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow", run={"model": {"id": "mine"}, "note": 1}) as dump:
        llama(ids(1))
        dump.write("perf.ttft_ms", np.array([3.5]), sample=-1)
        dump.write_text("prompt", "hello")
    opened = load(tmp_path / "a.arrow")
    assert opened["perf.ttft_ms", -1, 0].tolist() == [3.5]
    assert opened.text("prompt", 0) == "hello"
    assert opened.run["model"]["id"] == "mine"
    assert opened.run["model"]["layers"] == 3
    assert opened.run["note"] == 1


def test_embeddings_may_be_fed_instead_of_ids(tmp_path: Path, llama: Any, ids: Ids) -> None:
    fed = llama.get_input_embeddings()(ids())
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow"):
        llama(inputs_embeds=fed)
    dump = load(tmp_path / "a.arrow")
    assert torch.equal(tensor(dump, "embed", 1), fed[1])
    assert ("input_ids", 0, 0) not in dump


def test_a_base_model_has_no_logits(tmp_path: Path, llama: Any, ids: Ids) -> None:
    with torch.no_grad(), Dump(llama.model, tmp_path / "a.arrow"):
        expected = llama.model(ids()).last_hidden_state
    dump = load(tmp_path / "a.arrow")
    assert {name for name, _, _ in dump} == LLAMA_NAMES - {"logits"}
    assert torch.equal(tensor(dump, "norm", 1), expected[1])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_metadata_describes_the_model(tmp_path: Path, ids: Ids, name: str) -> None:
    model = build(name)
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow"):
        model(ids(1, 3))
    run = load(tmp_path / "a.arrow").run
    assert run["model"]["architecture"] == type(model).__name__
    assert run["model"]["layers"] == 3
    assert run["model"]["hidden_size"] == 32
    assert run["model"]["vocab_size"] == VOCABULARY
    assert run["model"]["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert run["dtype"] == "F32"
    assert run["device"]["type"] == "cpu"
    assert run["numerics"]["threads"] == torch.get_num_threads()
    assert run["numerics"]["deterministic_algorithms"] is False
    assert (
        run["versions"]["torch"] == torch.__version__.split("+")[0] or run["versions"]["torch"] == torch.__version__
    )
