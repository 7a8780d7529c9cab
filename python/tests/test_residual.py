"""What `model.residual` tells is right, and nothing is promised that does not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from .conftest import ARCHITECTURES, build, disturbed, module_of
from .test_architectures import capture


@pytest.mark.parametrize("name", [name for name, one in ARCHITECTURES.items() if one.residual != "other"])
def test_what_the_mlp_reads_is_told_rightly(tmp_path: Path, ids: Callable[..., torch.Tensor], name: str) -> None:
    """A sequential MLP reacts to the attention's output of its own layer, a parallel one does not."""
    model = build(name)
    clean = capture(tmp_path / "clean.arrow", model, ids(1, 8))
    with disturbed(model, module_of(tmp_path / "clean.arrow", "layers.1.attn")):
        other = capture(tmp_path / "other.arrow", model, ids(1, 8))
    same = torch.equal(torch.as_tensor(clean["layers.1.mlp", 0, 0]), torch.as_tensor(other["layers.1.mlp", 0, 0]))
    assert same == (clean.run["model"]["residual"] == "parallel")


def test_layers_that_disagree_promise_nothing(
    tmp_path: Path, llama: torch.nn.Module, ids: Callable[..., torch.Tensor]
) -> None:
    with disturbed(llama, "model.layers.1", 1.01):
        dump = capture(tmp_path / "a.arrow", llama, ids())
    assert dump.run["model"]["residual"] == "other"


def test_float64_tells_the_same(tmp_path: Path, ids: Callable[..., torch.Tensor]) -> None:
    """There the roundings of our own check are as large as the model's; in many layers some are unlucky."""
    model = build("llama", num_hidden_layers=48, hidden_size=1024, intermediate_size=64).double()
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            # Blocks as large as the stream are rounded as coarsely.
            parameter.data.mul_(40)
    dump = capture(tmp_path / "a.arrow", model, ids(1, 8))
    assert dump.run["model"]["residual"] == "sequential"


@pytest.mark.parametrize("name", [name for name in ("gemma3", "gpt-oss", "mixtral") if name in ARCHITECTURES])
def test_a_stream_that_is_multiplied_wrongly_is_no_factor_of_the_model(
    tmp_path: Path, ids: Callable[..., torch.Tensor], name: str
) -> None:
    """Its gain of half a per cent hides in the roundings of bfloat16."""
    model = build(name).bfloat16()
    layers = [path for path, _ in model.named_modules() if path.endswith("layers.0")]
    with disturbed(model, layers[0], 1.005):
        run = capture(tmp_path / "a.arrow", model, ids(1, 8)).run["model"]
    assert run["residual"] == "other" or run["residual_scale"] == 1
