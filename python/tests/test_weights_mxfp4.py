"""Checkpoints in MXFP4 against a model that holds their values decoded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from npu_dump import check_weights

from .weights_support import load


def quantise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return MXFP4 blocks, scales and the values they stand for, by the tables of the OCP specification."""
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    blocks = values.reshape(*values.shape[:-1], -1, 32)
    exponents = np.floor(np.log2(np.abs(blocks).max(-1, keepdims=True))) - 2
    codes = np.abs(blocks[..., None] / 2.0 ** exponents[..., None] - table).argmin(-1)
    decoded = (table[codes] * 2.0**exponents).reshape(values.shape)
    packed = (codes[..., 0::2] | codes[..., 1::2] << 4).astype(np.uint8)
    scales = (exponents[..., 0] + 127).astype(np.uint8, order="C")
    return np.ascontiguousarray(packed), scales, decoded


def test_mxfp4_is_decoded_as_the_specification_says() -> None:
    from npu_dump.weights.mxfp4 import decode

    values = np.random.default_rng(0).normal(size=(3, 5, 64))
    blocks, scales, decoded = quantise(values)
    scales[0, 0, 1] = 255
    found = decode(torch.from_numpy(blocks), torch.from_numpy(scales), torch.float32).numpy()
    assert found.shape == (3, 5, 64)
    assert np.isnan(found[0, 0, 32:]).all()
    decoded[0, 0, 32:] = np.nan
    np.testing.assert_array_equal(found, decoded.astype(np.float32))
    with pytest.raises(ValueError, match="do not belong"):
        decode(torch.from_numpy(blocks), torch.from_numpy(scales[:2]), torch.float32)


@pytest.fixture
def gpt_oss(tmp_path: Path) -> Path:
    """A gpt-oss checkpoint with MXFP4 experts, written by hand."""
    config = AutoConfig.for_model(
        "gpt_oss",
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=300,
        num_local_experts=4,
        num_experts_per_tok=2,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        blocks, scales, _ = quantise(tensors.pop(name).float().transpose(1, 2).numpy())
        tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = torch.from_numpy(blocks), torch.from_numpy(scales)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    described = json.loads((tmp_path / "config.json").read_text())
    described["quantization_config"] = {"quant_method": "mxfp4"}
    (tmp_path / "config.json").write_text(json.dumps(described))
    return tmp_path


GPT_OSS = ["gpt_oss"] if "gpt_oss" in CONFIG_MAPPING else []


@pytest.mark.parametrize("architecture", GPT_OSS)
def test_mxfp4_experts(architecture: str, gpt_oss: Path) -> None:
    model = load(gpt_oss)
    assert model.config.model_type == architecture
    assert check_weights(model, gpt_oss) == []
    name = "model.layers.1.mlp.experts.gate_up_proj"
    experts = model.get_parameter(name)
    assert experts.dtype == torch.bfloat16
    kept = experts.detach().clone()
    # gate and up lie side by side here: even and odd columns
    experts.data = kept.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    (found,) = check_weights(model, gpt_oss)
    assert (found.rule, found.names) == ("weights/halves-swapped", (name,))
    experts.data = kept.clone()
    experts.data[2, 5, 7] += 1
    (found,) = check_weights(model, gpt_oss)
    assert (found.rule, found.names) == ("weights/values", (name,))
    assert found.facts[0][1].startswith("1 of 16384 elements")
