"""Every architecture: canonical names, what they hold, what the metadata promises, and that nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from npu_dump import Dump, DumpFile, load

from .architectures import VOCABULARY, Architecture

Ids = Callable[..., torch.Tensor]
LAYERS = range(3)
EPSILON = {torch.float32: 2.0**-23, torch.bfloat16: 2.0**-7}


def capture(path: Path, model: torch.nn.Module, *batches: torch.Tensor) -> DumpFile:
    with torch.no_grad(), Dump(model, path):
        for batch in batches:
            model(batch)
    return load(path)


def float64(dump: DumpFile, name: str, sample: int) -> np.ndarray:
    return torch.as_tensor(dump[name, sample, 0]).double().numpy()


def test_canonical_names_are_complete(tmp_path: Path, architecture: Architecture, ids: Ids) -> None:
    dump = capture(tmp_path / "a.arrow", architecture.model(), ids(2, 7), ids(1, 5))
    names = {"embed", "logits"} | ({"norm"} if architecture.norm else set())
    names |= {f"layers.{layer}" for layer in LAYERS}
    names |= {f"layers.{layer}.{role}" for layer in LAYERS for role in architecture.roles}
    # Routers have names of their own.
    found = {name for name, _, _ in dump if not name.endswith(".router")}
    assert found == names | {"input_ids"}
    for sample, length in enumerate((7, 7, 5)):
        for name in names:
            width = VOCABULARY if name == "logits" else 32
            assert dump[name, sample, 0].shape == (length, width), name


def test_hidden_states_are_those_that_the_model_returns(tmp_path: Path, architecture: Architecture, ids: Ids) -> None:
    model, inputs = architecture.model(), ids(2, 9)
    with torch.no_grad():
        output = model(inputs, output_hidden_states=True)
    dump = capture(tmp_path / "a.arrow", model, inputs)
    expected = {"logits": output.logits}
    if architecture.returns_stream:
        expected["embed"], *between, expected["norm"] = output.hidden_states
        expected |= {f"layers.{layer}": hidden for layer, hidden in enumerate(between)}
    for name, whole in expected.items():
        for sample in (0, 1):
            assert torch.equal(torch.as_tensor(dump[name, sample, 0]), whole[sample]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_residual_sum_holds(tmp_path: Path, architecture: Architecture, dtype: torch.dtype, ids: Ids) -> None:
    """``layers.i = layers.{i-1} + s*(attn + mlp)``, computed here in float64 from what the dump holds."""
    dump = capture(tmp_path / "a.arrow", architecture.model(dtype), ids(2, 16))
    facts = dump.run["model"]
    scale = facts["residual_scale"]
    assert (facts["residual"], scale) == (architecture.residual, architecture.scale)
    if facts["residual"] == "other":
        return
    for sample in (0, 1):
        before = float64(dump, "embed", sample)
        for layer in LAYERS:
            attn, mlp, after = (float64(dump, f"layers.{layer}{role}", sample) for role in (".attn", ".mlp", ""))
            # Two sums and one product, each rounded once to nearest: half an epsilon of what went in.
            bound = 1.5 * EPSILON[dtype] * (np.abs(before) + scale * (np.abs(attn) + np.abs(mlp)))
            assert (np.abs(before + scale * (attn + mlp) - after) <= bound).all(), (sample, layer)
            # And not because the blocks do nothing.
            for block in (attn, mlp):
                assert np.linalg.norm(scale * block) > 100 * EPSILON[torch.float32] * np.linalg.norm(before)
            before = after


def test_layer_types_are_told(tmp_path: Path, architecture: Architecture, ids: Ids) -> None:
    dump = capture(tmp_path / "a.arrow", architecture.model(), ids(1, 4))
    assert dump.run["model"]["layer_types"] == list(architecture.layer_types)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_outputs_are_bit_identical(tmp_path: Path, architecture: Architecture, dtype: torch.dtype, ids: Ids) -> None:
    model, inputs = architecture.model(dtype), ids(2, 9)
    with torch.no_grad():
        bare = model(inputs).logits
        with Dump(model, tmp_path / "a.arrow"):
            hooked = model(inputs).logits
        after = model(inputs).logits
    assert torch.equal(bare, hooked)
    assert torch.equal(bare, after)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_calls_of_one_block_do_not_mix(tmp_path: Path, architecture: Architecture, ids: Ids) -> None:
    """A prompt gives the same bits whatever ran before it in the same ``with``."""
    model = architecture.model()
    first, second = ids(1, 9, seed=1), ids(1, 6, seed=2)
    both = capture(tmp_path / "both.arrow", model, first, second)
    alone = capture(tmp_path / "alone.arrow", model, second)
    assert both.samples() == [0, 1]
    for name, _, step in alone:
        assert np.array_equal(both[name, 1, step], alone[name, 0, step]), name
