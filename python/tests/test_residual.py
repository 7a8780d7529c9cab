"""What `model.residual` tells is right, and nothing is promised that does not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from npu_dump import Dump, load

from .conftest import ARCHITECTURES, build


@pytest.mark.parametrize("name", [name for name, one in ARCHITECTURES.items() if one.residual != "other"])
def test_what_the_mlp_reads_is_told_rightly(tmp_path: Path, ids: Callable[..., torch.Tensor], name: str) -> None:
    """A sequential MLP reacts to the attention's output of its own layer, a parallel one does not."""
    model = build(name)
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow"):
        model(ids(1, 8))
    clean = load(tmp_path / "a.arrow")
    module = next(row["module"] for row in _rows(tmp_path / "a.arrow") if row["name"] == "layers.1.attn")

    def disturb(_module: torch.nn.Module, _args: object, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0] * 1.5, *output[1:])
        return output * 1.5

    handle = model.get_submodule(module).register_forward_hook(disturb)
    with torch.no_grad(), Dump(model, tmp_path / "b.arrow"):
        model(ids(1, 8))
    handle.remove()
    disturbed = load(tmp_path / "b.arrow")
    same = torch.equal(torch.as_tensor(clean["layers.1.mlp", 0, 0]), torch.as_tensor(disturbed["layers.1.mlp", 0, 0]))
    assert same == (clean.run["model"]["residual"] == "parallel")


def _rows(path: Path) -> list[dict[str, object]]:
    import pyarrow as pa

    return pa.ipc.open_file(str(path)).read_all().to_pylist()


def test_layers_that_disagree_promise_nothing(
    tmp_path: Path, llama: torch.nn.Module, ids: Callable[..., torch.Tensor]
) -> None:
    def bend(_module: object, _args: object, output: Any) -> Any:
        return (output[0] * 1.01, *output[1:]) if isinstance(output, tuple) else output * 1.01

    handle = llama.get_submodule("model.layers.1").register_forward_hook(bend)
    with torch.no_grad(), Dump(llama, tmp_path / "a.arrow"):
        llama(ids())
    handle.remove()
    assert load(tmp_path / "a.arrow").run["model"]["residual"] == "other"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_scale_by_depth_is_found(
    tmp_path: Path, ids: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """As MiniCPM does it: every layer holds 1.4 and divides it by the root of the number of layers."""
    model = build("granite", dtype)
    for layer in model.model.layers:
        del layer.residual_multiplier
        layer.scale_depth = 1.4
    scale = property(lambda layer: layer.scale_depth / 3**0.5)
    monkeypatch.setattr(type(model.model.layers[0]), "residual_multiplier", scale, raising=False)
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow"):
        model(ids(1, 4))
    facts = load(tmp_path / "a.arrow").run["model"]
    assert facts["residual"] == "sequential"
    assert facts["residual_scale"] == 1.4 / 3**0.5
