"""`check_weights` on modules that are not transformers', and on files that nobody should have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from npu_dump import DumpError, check_weights
from npu_dump.weights import compare


class Block(nn.Module):
    """A layer of an engine that joins projections."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv_proj = nn.Linear(32, 64, bias=False)
        self.gate_up_proj = nn.Linear(32, 96, bias=False)
        self.down_proj = nn.Linear(48, 32, bias=False)


class Engine(nn.Module):
    """A module of the user's own, with names of its own: `model.` before, no head."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.layers = nn.ModuleList(Block() for _ in range(12))


def checkpoint(folder: Path, *, prefix: str = "") -> Engine:
    """Write the checkpoint of an engine, projections apart; return the engine, loaded by hand."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"q_proj": 32, "k_proj": 16, "v_proj": 16, "gate_proj": 48, "up_proj": 48}
    tensors = {}
    engine = Engine()
    for layer, block in enumerate(engine.model.layers):
        parts = {name: torch.randn(rows, 32, generator=generator) for name, rows in shapes.items()}
        parts["down_proj"] = torch.randn(32, 48, generator=generator)
        tensors |= {f"{prefix}layers.{layer}.{name}.weight": part for name, part in parts.items()}
        block.qkv_proj.weight.data = torch.cat([parts["q_proj"], parts["k_proj"], parts["v_proj"]])
        block.gate_up_proj.weight.data = torch.cat([parts["gate_proj"], parts["up_proj"]])
        block.down_proj.weight.data = parts["down_proj"].clone()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text('{"rms_norm_eps": 1e-6, "num_hidden_layers": 12}')
    return engine


@pytest.mark.parametrize("prefix", ["model.", "", "module.model.", "language_model.model."])
def test_an_engine_that_joins_projections(prefix: str, tmp_path: Path) -> None:
    engine = checkpoint(tmp_path, prefix=prefix)
    report = compare(engine, tmp_path)
    assert report.findings == ()
    assert report.compared == 12 * 6


def test_faults_of_an_engine(tmp_path: Path) -> None:
    engine = checkpoint(tmp_path)
    blocks: Any = engine.model.layers
    blocks[1].gate_up_proj.weight.data = blocks[1].gate_up_proj.weight.data.roll(48, 0)
    blocks[2].qkv_proj.weight.data[40] = 0
    blocks[3].norm = nn.RMSNorm(32, eps=1e-5)
    found = {finding.rule: finding for finding in check_weights(engine, tmp_path)}
    assert found["weights/halves-swapped"].names == ("model.layers.1.gate_up_proj.weight",)
    assert found["weights/values"].facts[0][1].startswith("32 of 2048 elements differ")
    assert found["weights/missing"].names == ("model.layers.3.norm.weight",)
    assert found["config/norm"].names == ("model.layers.3.norm.eps",)
    assert len(found) == 4


def test_a_buffer_that_nothing_tells_of_is_not_a_pass(tmp_path: Path) -> None:
    engine = checkpoint(tmp_path)
    engine.register_buffer("mask", torch.ones(4), persistent=False)
    (found,) = check_weights(engine, tmp_path)
    assert (found.rule, found.level, found.names) == ("weights/not-compared", "error", ("mask",))


def test_stacked_experts_of_an_engine(tmp_path: Path) -> None:
    """Twelve experts: the order is that of numbers, not of text."""
    generator = torch.Generator().manual_seed(0)
    parts = {
        f"layers.0.experts.{expert}.{part}.weight": torch.randn(shape, generator=generator)
        for expert in range(12)
        for part, shape in (("w1", (6, 4)), ("w3", (6, 4)), ("w2", (4, 6)))
    }
    save_file(parts, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 1}')
    engine, experts = nn.Module(), nn.Module()
    engine.layers = nn.ModuleList([nn.Module()])
    engine.layers[0].experts = experts

    def stack(order: list[int]) -> None:
        at = "layers.0.experts.{}.{}.weight"
        experts.w13_weight = nn.Parameter(
            torch.stack([torch.cat([parts[at.format(n, "w1")], parts[at.format(n, "w3")]]) for n in order])
        )
        experts.w2_weight = nn.Parameter(torch.stack([parts[at.format(n, "w2")] for n in order]))

    stack(list(range(12)))
    assert check_weights(engine, tmp_path) == []
    stack(sorted(range(12), key=str))
    found = check_weights(engine, tmp_path)
    assert {(finding.rule, name) for finding in found for name in finding.names} == {
        ("weights/permuted", "layers.0.experts.w13_weight"),
        ("weights/permuted", "layers.0.experts.w2_weight"),
    }
    assert "2 holds 10" in found[0].facts[0][1]


def test_eight_bits_with_scales_are_not_taken_for_a_pass(tmp_path: Path) -> None:
    engine = checkpoint(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = "layers.3.down_proj.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    save_file(tensors, tmp_path / "model.safetensors")
    engine.model.get_submodule("layers.3.down_proj").weight.data = tensors[name].float()
    (found,) = check_weights(engine, tmp_path)
    assert (found.rule, found.level, found.names) == ("weights/not-compared", "error", (f"model.{name}",))
    engine.model.get_submodule("layers.3.down_proj").weight.data = tensors[name]
    assert check_weights(engine, tmp_path) == []


@pytest.mark.parametrize(
    "index",
    [
        "no JSON",
        "[]",
        '{"weight_map": ["a"]}',
        '{"weight_map": {"a": "../../secret.safetensors"}}',
        '{"weight_map": {"a": 1}}',
    ],
)
def test_a_hostile_index(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DumpError) as error:
        check_weights(Engine(), tmp_path)
    assert error.value.code == "checkpoint-unreadable"


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_theta": 1e308, "rope_scaling": {"rope_type": "yarn", "factor": 1e300, "beta_fast": -1}},
        {"rope_theta": -1, "rope_scaling": 7},
        {"rope_parameters": {"rope_type": ["x"], "rope_theta": True}, "rms_norm_eps": "x"},
        {"rope_theta": 10**400, "num_hidden_layers": 10**400, "text_config": []},
        {
            "rope_theta": 5,
            "rope_scaling": {
                "rope_type": "llama3",
                "factor": 1e-300,
                "original_max_position_embeddings": -1,
                "low_freq_factor": 1,
                "high_freq_factor": 1e-320,
            },
        },
    ],
)
@pytest.mark.parametrize("frequency", [1e-45, 0.5, float("nan")])
def test_a_hostile_configuration(changes: dict[str, Any], frequency: float, tmp_path: Path) -> None:
    engine = checkpoint(tmp_path)
    rotary = nn.Module()
    rotary.register_buffer("inv_freq", torch.full((64,), frequency), persistent=False)
    engine.rotary_emb = rotary
    (tmp_path / "config.json").write_text(json.dumps(changes))
    rules = [finding.rule for finding in check_weights(engine, tmp_path)]
    assert rules in (["config/rope"], ["weights/not-compared"])


def test_without_config_json_nothing_is_a_pass(tmp_path: Path) -> None:
    engine = checkpoint(tmp_path)
    (tmp_path / "config.json").unlink()
    assert [finding.rule for finding in check_weights(engine, tmp_path)] == ["weights/not-compared"]
