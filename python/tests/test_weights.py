"""`check_weights` on models as transformers loads them: nothing is found where nothing is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from npu_dump import check_weights
from npu_dump.weights import compare

from .conftest import ARCHITECTURES, build
from .weights_support import by_name, load


def vision_of(architecture: str, folder: Path) -> list[str]:
    """The tensors of a checkpoint that its text model does not use; its class says so."""
    if architecture != "qwen3.5-conditional":
        return []
    files = folder.glob("*.safetensors")
    return sorted(name for file in files for name in load_file(file) if name.startswith("model.visual."))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_clean_load_has_no_finding(architecture: str, tmp_path: Path) -> None:
    build(architecture).save_pretrained(tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    report = compare(load(tmp_path), tmp_path)
    vision = vision_of(architecture, tmp_path)
    assert by_name(report.findings) == [("weights/unused", "info", name) for name in vision]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert report.compared + len(vision) == report.tensors == len(index["weight_map"])
    assert vision or report.bytes == index["metadata"]["total_size"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16])
def test_a_cast_that_was_asked_for_is_no_finding(
    architecture: str, dtype: torch.dtype | None, tmp_path: Path
) -> None:
    build(architecture, torch.bfloat16).save_pretrained(tmp_path)
    found = by_name(check_weights(load(tmp_path, dtype), tmp_path, dtype=dtype))
    vision = vision_of(architecture, tmp_path)
    assert [entry for entry in found if entry[1] != "warning"] == [
        ("weights/unused", "info", name) for name in vision
    ]
    # A random value may happen to be too small for float16, which is said.
    values = load_file(tmp_path / "model.safetensors").values()
    vanishing = any(bool(((value != 0) & (value.to(dtype or value.dtype) == 0)).any()) for value in values)
    assert {rule for rule, level, _ in found if level == "warning"} == ({"weights/underflow"} if vanishing else set())


def test_a_cast_that_was_not_asked_for_is_said(tmp_path: Path) -> None:
    build(dtype=torch.bfloat16).save_pretrained(tmp_path)
    (found,) = check_weights(load(tmp_path, torch.float32), tmp_path)
    assert (found.rule, found.level, found.facts) == (
        "weights/cast",
        "info",
        (("checkpoint", "BF16"), ("model", "F32")),
    )


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "qwen2"])
def test_a_tied_model(architecture: str, tmp_path: Path) -> None:
    """With and without a copy of the embedding under the head's name."""
    build(architecture, tie_word_embeddings=True).save_pretrained(tmp_path)
    assert check_weights(load(tmp_path), tmp_path) == []
    tensors = load_file(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors")
    assert check_weights(load(tmp_path), tmp_path) == []


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_scaled_rotary_embeddings(rope: dict[str, Any], tmp_path: Path) -> None:
    """transformers' own frequencies are those that config.json asks for, and others are not."""
    wide = {"head_dim": 32, "max_position_embeddings": 64}
    model = build(**wide)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("rope_parameters", None)
    (tmp_path / "config.json").write_text(json.dumps(config | {"rope_theta": 10000.0, "rope_scaling": rope}))
    loaded = load(tmp_path)
    assert not torch.equal(loaded.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)
    assert check_weights(loaded, tmp_path) == []
    loaded.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq
    assert [finding.rule for finding in check_weights(loaded, tmp_path)] == ["config/rope"]


def test_frequencies_that_followed_a_long_forward(tmp_path: Path, ids: Callable[..., torch.Tensor]) -> None:
    build(max_position_embeddings=8).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("rope_parameters", None)
    rope = {"rope_type": "dynamic", "factor": 2.0}
    (tmp_path / "config.json").write_text(json.dumps(config | {"rope_theta": 10000.0, "rope_scaling": rope}))
    model = load(tmp_path)
    before = model.model.rotary_emb.inv_freq.clone()
    model(ids(1, 20))
    assert not torch.equal(model.model.rotary_emb.inv_freq, before)
    assert check_weights(model, tmp_path) == []
    model.model.rotary_emb.original_inv_freq = before * 2
    assert [finding.rule for finding in check_weights(model, tmp_path)] == ["config/rope"]


def test_nothing_is_changed_by_looking(tmp_path: Path, ids: Callable[..., torch.Tensor]) -> None:
    build("gemma2").save_pretrained(tmp_path)
    model = load(tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random, wanted = torch.get_rng_state(), model(ids()).logits
    check_weights(model, tmp_path)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(ids()).logits, wanted)
    assert nn.Linear(2, 2).weight.device == torch.device("cpu")
