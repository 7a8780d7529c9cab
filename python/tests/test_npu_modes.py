"""What is reduced on an NPU is right without float64, and keeps data from going over the bus."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from npu_dump import Dump, DumpFile, check_weights, load

from .conftest import build

Chips = list[Any]
Ids = Callable[..., torch.Tensor]


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return build("llama", request.param).to("npu:0")


def captured(model: nn.Module, path: Path, fed: torch.Tensor, mode: str) -> DumpFile:
    with torch.no_grad(), Dump(model, path, mode=mode, top_k=5) as _:
        model(fed)
    return load(path)


@pytest.mark.usefixtures("chips")
def test_statistics_are_those_of_the_whole_tensors(tmp_path: Path, model: nn.Module, ids: Ids) -> None:
    fed = ids(batch=2, length=40).to("npu:0")
    whole, reduced = (captured(model, tmp_path / f"{mode}.arrow", fed, mode) for mode in ("full", "stats"))
    names = [key for key in whole if key[0] != "input_ids"]
    assert {reduced.encoding(key) for key in names} == {"stats"}
    for key in names:
        values = torch.as_tensor(whole[key]).double().numpy()
        stats = reduced.stats(key)
        assert stats is not None
        assert (stats["min"], stats["max"]) == (values.min(), values.max())
        assert (stats["nan"], stats["posinf"], stats["neginf"]) == (0, 0, 0)
        assert stats["rms"] == pytest.approx(np.sqrt((values**2).mean()), rel=1.6e-5)
        assert stats["mean"] == pytest.approx(values.mean(), abs=1.6e-5 * np.abs(values).mean())


@pytest.mark.usefixtures("chips")
def test_statistics_of_what_is_not_finite(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values

    module = nn.Sequential(Broken())
    values = torch.tensor([1.0, torch.nan, torch.inf, -torch.inf, -2.0, torch.nan]).to("npu:0")
    with Dump(module, tmp_path / "a.arrow", mode="stats"):
        module(values)
    stats = load(tmp_path / "a.arrow").stats(("0", 0, 0))
    assert stats is not None
    assert [stats[name] for name in ("nan", "posinf", "neginf", "min", "max", "mean")] == [2, 1, 1, -2.0, 1.0, -0.5]


@pytest.mark.usefixtures("chips")
def test_reduced_logits_are_those_of_the_whole_ones(tmp_path: Path, model: nn.Module, ids: Ids) -> None:
    fed = ids(batch=2, length=40)
    whole, reduced = (captured(model, tmp_path / f"{mode}.arrow", fed.to("npu:0"), mode) for mode in ("full", "topk"))
    for sample in range(2):
        logits = torch.as_tensor(whole["logits", sample, 0]).double().numpy()
        highest = logits.max(-1, keepdims=True)
        lse = (highest + np.log(np.exp(logits - highest).sum(-1, keepdims=True)))[:, 0]
        order = np.argsort(-logits, axis=-1, kind="stable")[:, :5]
        found = {name: np.asarray(reduced[name, sample, 0]) for name in ("lse", "topk_ids", "topk_logprobs")}
        np.testing.assert_allclose(found["lse"], lse, rtol=2e-6)
        assert np.array_equal(found["topk_ids"], order)
        expected = np.take_along_axis(logits, order, -1) - lse[:, None]
        np.testing.assert_allclose(found["topk_logprobs"], expected, rtol=0, atol=4e-6)
        told = np.asarray(reduced["token_logprob", sample, 0])
        ids_after = fed[sample, 1:].numpy()
        np.testing.assert_allclose(told[1:], logits[np.arange(39), ids_after] - lse[:-1], rtol=0, atol=4e-6)
        assert np.isnan(told[0])


def test_what_is_reduced_stays_on_the_device(tmp_path: Path, chips: Chips, model: nn.Module, ids: Ids) -> None:
    fed = ids(batch=2, length=60).to("npu:0")
    sent: dict[str, int] = {}
    for mode in ("full", "topk", "stats"):
        with torch.no_grad(), Dump(model, tmp_path / f"{mode}.arrow", mode=mode, top_k=5):
            chips[0].to_host.clear()
            logits = model(fed).logits
            sent[mode] = sum(chips[0].to_host)
    assert sent["stats"] < 0.1 * sent["full"]
    assert sent["full"] - sent["topk"] > 0.8 * logits.numel() * logits.element_size()


def test_statistics_take_a_bounded_piece_of_device_memory(tmp_path: Path, chips: Chips) -> None:
    module, inputs = nn.Sequential(nn.Identity()).to("npu:0"), torch.ones(8 << 20, device="npu:0")
    gc.collect()
    before = chips[0].peak = chips[0].allocated
    with torch.no_grad(), Dump(module, tmp_path / "a.arrow", mode="stats"):
        module(inputs)
    # A block is widened at a time, and each 256 values leave two sums.
    assert chips[0].peak - before < (4 << 20) + 4 * inputs.numel() * 4 // 256
    stats = load(tmp_path / "a.arrow").stats(("0", 0, 0))
    assert stats is not None
    assert (stats["mean"], stats["rms"]) == (1.0, 1.0)


@pytest.mark.usefixtures("chips")
def test_weights_on_the_device_are_compared_with_their_checkpoint(tmp_path: Path) -> None:
    model = build()
    model.save_pretrained(tmp_path)
    there = model.to("npu:0")
    assert check_weights(there, tmp_path) == []
    with torch.no_grad():
        there.model.layers[1].mlp.up_proj.weight[3, 4] += 1
    found = check_weights(there, tmp_path)
    assert [(finding.level, finding.names) for finding in found] == [
        ("error", ("model.layers.1.mlp.up_proj.weight",))
    ]
    assert "model.layers.1.mlp.up_proj.weight" in load_file(tmp_path / "model.safetensors")
