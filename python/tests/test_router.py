"""Router logits: those that transformers gives out, taken where routers keep them to themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from npu_dump import Dump, load
from npu_dump.router import RouterTap, find_routers

from .architectures import ARCHITECTURES, build

Ids = Callable[..., torch.Tensor]
# What gpt-oss gives out in transformers 4 are the weights of the chosen experts.
GIVES_LOGITS = ["mixtral", "qwen3-moe", "qwen3-next"] + ["gpt-oss"] * (not transformers.__version__.startswith("4."))


@pytest.mark.parametrize("name", [name for name in GIVES_LOGITS if name in ARCHITECTURES])
def test_they_are_those_that_the_model_gives_out(tmp_path: Path, ids: Ids, name: str) -> None:
    model, inputs = ARCHITECTURES[name].model(), ids(2, 9)
    with torch.no_grad():
        given = model(inputs, output_router_logits=True).router_logits
        with Dump(model, tmp_path / "a.arrow"):
            model(inputs)
    dump = load(tmp_path / "a.arrow")
    assert len(given) == 3
    for layer, logits in enumerate(given):
        for sample in (0, 1):
            stored = torch.tensor(dump[f"layers.{layer}.router", sample, 0])
            assert stored.shape == (9, 4)
            assert torch.equal(stored, logits.reshape(2, 9, 4)[sample])


SPARSE_LAYERS = {"deepseek-v3": {1, 2}, "jamba": {1}}


@pytest.mark.parametrize("name", [name for name in SPARSE_LAYERS if name in ARCHITECTURES])
def test_a_dense_layer_has_none(tmp_path: Path, ids: Ids, name: str) -> None:
    model = build(name)
    with torch.no_grad(), Dump(model, tmp_path / "a.arrow"):
        model(ids(1, 5))
    routers = {name for name, _, _ in load(tmp_path / "a.arrow") if name.endswith("router")}
    assert routers == {f"layers.{layer}.router" for layer in SPARSE_LAYERS[name]}


class _Router(nn.Module):
    """Keeps its logits to itself, as many do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 6))

    def forward(self, hidden: torch.Tensor, *, fail: bool = False) -> torch.Tensor:
        logits = nn.functional.linear(hidden.float(), self.weight.float())
        if fail:
            raise RuntimeError("broken")
        nn.functional.linear(logits, torch.eye(4))
        return logits.topk(2).indices


def test_a_router_is_watched_only_while_it_runs() -> None:
    router, seen = _Router(), []
    layer = nn.ModuleDict({"mlp": nn.ModuleDict({"gate": router, "gate_proj": nn.Linear(6, 4)})})
    assert list(find_routers(layer, 4)) == [("mlp.gate", router)]
    assert list(find_routers(layer, 5)) == []
    hidden = torch.randn(3, 6)

    def take(logits: torch.Tensor) -> torch.Tensor:
        seen.append(logits.clone())
        return -logits

    plain = router(hidden)
    tap = RouterTap(router, 4, take)
    reversed_ = router(hidden)
    with pytest.raises(RuntimeError, match="broken"):
        router(hidden, fail=True)
    nn.functional.linear(hidden, torch.randn(4, 6))
    tap.remove()
    assert torch.equal(router(hidden), plain)
    expected = hidden @ router.weight.T
    assert len(seen) == 2
    assert torch.allclose(seen[0], expected)
    assert torch.equal(reversed_, (-seen[0]).topk(2).indices)
    assert torch.overrides._get_current_function_mode() is None
