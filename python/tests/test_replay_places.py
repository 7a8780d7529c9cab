"""Replay at its places: each call gets its own rows, none is passed by, and what is stored is the engine's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, DumpFile, DumpWriter

from .architectures import build
from .test_replay import capture, differing, nudged, refusal, samples, tensors

Ids = Callable[..., torch.Tensor]


def rewritten(dump: DumpFile, path: Path, *, extra: str | None = None, **run: Any) -> Path:
    """The dump with other metadata, and with a tensor more."""
    with DumpWriter(path, run={**dump.run, **run}) as writer:
        for (name, sample, step), tensor in tensors(dump):
            writer.write(name, tensor, sample=sample, step=step)
        if extra is not None:
            writer.write(extra, dump["norm", 0, 0], sample=0)
    return path


def test_a_module_s_own_path_shows_what_the_engine_gave(tmp_path: Path) -> None:
    """Also where the same module's output is replaced under its canonical name."""
    model, fed = build(), samples((7, 1))
    clean = capture(model, tmp_path / "clean.arrow", fed)
    select = ["*", "model.layers.1.mlp", "model.norm"]
    with nudged(model.model.layers[1].mlp), nudged(model.model.norm):
        replay = capture(model, tmp_path / "r.arrow", fed, replay=tmp_path / "clean.arrow", select=select)
    for name, path in (("layers.1.mlp", "model.layers.1.mlp"), ("norm", "model.norm")):
        for step in (0, 1):
            assert (replay[path, 0, step] == replay[name, 0, step]).all()
            assert (replay[path, 0, step] != clean[name, 0, step]).any()


def with_mlp(model: Any, layer: Any, calls: Callable[[torch.Tensor], int]) -> None:
    """Let a layer of a Llama add its MLP as often as ``calls`` says of its input."""
    returned: list[object] = []
    handle = layer.register_forward_hook(lambda _module, _args, output: returned.append(output))
    model(torch.tensor([[5]]))
    handle.remove()

    def forward(hidden_states: torch.Tensor, **rest: Any) -> Any:
        hidden = hidden_states + layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **rest)[0]
        for _ in range(calls(hidden)):
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        # In older versions of transformers layers return a tuple.
        return (hidden,) if isinstance(returned[0], tuple) else hidden

    layer.forward = forward


def test_each_call_of_a_block_gets_its_own_rows(tmp_path: Path) -> None:
    model, fed = build(), samples((7, 2))
    layer = model.model.layers[1]
    with_mlp(model, layer, lambda _hidden: 2)
    clean = capture(model, tmp_path / "clean.arrow", fed)
    assert ("layers.1.mlp#1", 0, 2) in clean
    assert differing(clean, capture(model, tmp_path / "a.arrow", fed, replay=tmp_path / "clean.arrow")) == set()
    with nudged(layer.mlp):
        replay = capture(model, tmp_path / "b.arrow", fed, replay=tmp_path / "clean.arrow")
    assert differing(clean, replay) == {"layers.1.mlp", "layers.1.mlp#1"}


def test_a_dump_of_more_places_is_refused(tmp_path: Path) -> None:
    """Of a model with more layers, or with a block that the engine's probe does not find."""
    model, fed = build(), samples((7, 0))
    capture(build(num_hidden_layers=4), tmp_path / "more.arrow", fed)
    assert refusal(model, tmp_path / "out.arrow", fed, tmp_path / "more.arrow") == "replay-points"
    bare = build("mamba")
    plain = capture(bare, tmp_path / "mamba.arrow", fed)
    source = rewritten(plain, tmp_path / "mlp.arrow", extra="layers.1.mlp")
    assert refusal(bare, tmp_path / "out.arrow", fed, source) == "replay-points"


def test_a_part_of_a_run_is_refused(tmp_path: Path) -> None:
    model, fed = build(), samples((7, 0))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    source = rewritten(plain, tmp_path / "rank0.arrow", parallel={"world_size": 2, "tp": 2, "rank": 0})
    assert refusal(model, tmp_path / "out.arrow", fed, source) == "replay-part"


@pytest.mark.parametrize("stated", [10**400, "2", [None], [0, 0, 0], {"a": 1}])
def test_a_factor_that_says_nothing_usable_is_one(tmp_path: Path, stated: object) -> None:
    model, fed = build(), samples((7, 0))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    source = rewritten(plain, tmp_path / "a.arrow", model={**plain.run["model"], "residual_scale": stated})
    assert differing(plain, capture(model, tmp_path / "b.arrow", fed, replay=source)) == set()


@pytest.mark.parametrize("replayed", [False, True])
def test_a_forward_that_passes_a_place_by_is_refused(tmp_path: Path, ids: Ids, replayed: bool) -> None:
    """Silently it would be promised and absent, and in a replay keep the engine's own value."""
    model = build()
    layer = model.model.layers[1]
    with torch.no_grad(), Dump(model, tmp_path / "whole.arrow"):
        model(ids(1, 7))
    # The probe sees the MLP, with its four tokens; a longer prompt does not.
    with_mlp(model, layer, lambda hidden: int(hidden.shape[1] <= 4))
    source = {"replay": tmp_path / "whole.arrow"} if replayed else {}
    with pytest.raises(DumpError) as error, torch.no_grad(), Dump(model, tmp_path / "a.arrow", **source):
        model(ids(1, 7))
    assert error.value.code == "points-passed-by"
    assert "layers.1.mlp" in str(error.value)
    assert not (tmp_path / "a.arrow").exists()
    # What was not asked for may be passed by.
    with torch.no_grad(), Dump(model, tmp_path / "b.arrow", select="layers.0*"):
        model(ids(1, 7))


def no_product(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``linear`` as no product of matrices, in which router logits are not seen."""
    product = (hidden[..., None, :] * weight).sum(-1)
    return product if bias is None else product + bias


def test_a_router_that_cannot_be_replaced_is_no_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the dump has logits for it; without them the engine's choice stays, as it must."""
    model, fed = build("mixtral"), samples((7, 0))
    capture(model, tmp_path / "plain.arrow", fed)
    monkeypatch.setattr(nn.functional, "linear", no_product)
    assert refusal(model, tmp_path / "out.arrow", fed, tmp_path / "plain.arrow") == "points-passed-by"
    without = capture(model, tmp_path / "without.arrow", fed)
    assert ("layers.1.router", 0, 0) not in without
    replay = capture(model, tmp_path / "again.arrow", fed, replay=tmp_path / "without.arrow")
    assert differing(without, replay) == set()


def test_what_is_not_stored_is_replaced_all_the_same(tmp_path: Path) -> None:
    model, fed = build(), samples((7, 2))
    clean = capture(model, tmp_path / "clean.arrow", fed)
    with nudged(model.model.layers[0]), nudged(model.get_input_embeddings()):
        replay = capture(model, tmp_path / "r.arrow", fed, replay=tmp_path / "clean.arrow", select="layers.2.mlp")
    for step in range(3):
        assert (replay["layers.2.mlp", 0, step] == clean["layers.2.mlp", 0, step]).all()


def test_what_the_caller_gave_is_not_overwritten(tmp_path: Path) -> None:
    model, fed = build(), samples((7, 0))
    capture(model, tmp_path / "clean.arrow", fed)
    given = torch.ones(1, 7, 32)
    with torch.no_grad(), Dump(model, tmp_path / "r.arrow", replay=tmp_path / "clean.arrow"):
        model(inputs_embeds=given)
    assert torch.equal(given, torch.ones(1, 7, 32))


def test_whole_numbers_are_no_residual_stream(tmp_path: Path) -> None:
    model, fed = build(), samples((7, 0))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    with DumpWriter(tmp_path / "whole.arrow", run=plain.run) as writer:
        for (name, sample, step), tensor in tensors(plain):
            writer.write(name, tensor.int() if name == "norm" else tensor, sample=sample, step=step)
    assert refusal(model, tmp_path / "out.arrow", fed, tmp_path / "whole.arrow") == "replay-shape"


def test_a_sum_that_adds_wrongly_is_replayed_and_shows(tmp_path: Path) -> None:
    """A device that loses a part of the stream: its dump claims no algebra, but its blocks are the model's."""
    model, fed = build(), samples((9, 2))
    broken = build()
    handle = broken.model.layers[1].register_forward_hook(lambda _module, _args, output: output * 0.9)
    source = capture(broken, tmp_path / "npu.arrow", fed)
    handle.remove()
    assert source.run["model"]["residual"] == "other"
    forced = capture(model, tmp_path / "forced.arrow", fed, replay=tmp_path / "npu.arrow")
    assert differing(source, forced) == {"layers.1"}


def test_a_dump_without_algebra_of_other_modules_is_refused(tmp_path: Path) -> None:
    model, fed = build(), samples((7, 0))
    plain = capture(model, tmp_path / "plain.arrow", fed)
    # As written here its tensors name no module.
    source = rewritten(plain, tmp_path / "other.arrow", model=plain.run["model"] | {"residual": "other"})
    assert refusal(model, tmp_path / "out.arrow", fed, source) == "replay-residual"


def test_a_replay_is_no_stream(tmp_path: Path) -> None:
    model, fed = build(), samples((7, 0))
    capture(model, tmp_path / "plain.arrow", fed)
    capture(model, tmp_path / "replay.arrow", fed, replay=tmp_path / "plain.arrow")
    assert refusal(model, tmp_path / "out.arrow", fed, tmp_path / "replay.arrow") == "replay-part"
