"""A float64 run is float64 from end to end, also where models go down to float32 by themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from npu_dump import DumpFile, load
from npu_dump.cli import main

from .architectures import ARCHITECTURES, build
from .conftest import save_model


def captured(folder: Path, prompts: Path, out: Path, dtype: str) -> DumpFile:
    given = ("--model", folder, "--prompts", prompts, "--dtype", dtype, "--attn", "eager", "-o", out)
    assert main(["run", *map(str, given)]) == 0
    return load(out)


def llama_logits(weights: dict[str, np.ndarray], config: dict[str, Any], ids: np.ndarray) -> np.ndarray:
    """Llama's logits in NumPy float64, from the formulae; frequencies of the rotary embedding are float32 numbers."""
    hidden, heads, groups = (config[name] for name in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    size, tokens = hidden // heads, len(ids)
    theta = (config.get("rope_parameters") or {}).get("rope_theta") or config["rope_theta"]
    inverse = (1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.int64).float() / size)).double().numpy()
    angle = np.concatenate([np.outer(np.arange(tokens), inverse)] * 2, axis=1)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weights[name]

    def turned(x: np.ndarray) -> np.ndarray:
        half = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], axis=-1)
        return x * np.cos(angle) + half * np.sin(angle)

    def split(x: np.ndarray, count: int) -> np.ndarray:
        return x.reshape(tokens, count, size).transpose(1, 0, 2)

    stream = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        x = norm(stream, f"{at}.input_layernorm.weight")
        query, key, value = (
            split(x @ weights[f"{at}.self_attn.{name}_proj.weight"].T, count)
            for name, count in (("q", heads), ("k", groups), ("v", groups))
        )
        key, value = (np.repeat(one, heads // groups, axis=0) for one in (turned(key), value))
        score = turned(query) @ key.transpose(0, 2, 1) / np.sqrt(size)
        score[:, np.triu(np.ones((tokens, tokens), dtype=bool), 1)] = -np.inf
        share = np.exp(score - score.max(-1, keepdims=True))
        mixed = (share / share.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(tokens, hidden)
        stream = stream + mixed @ weights[f"{at}.self_attn.o_proj.weight"].T
        x = norm(stream, f"{at}.post_attention_layernorm.weight")
        gate, up = (x @ weights[f"{at}.mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        stream = stream + (gate / (1 + np.exp(-gate)) * up) @ weights[f"{at}.mlp.down_proj.weight"].T
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return norm(stream, "model.norm.weight") @ head.T


def test_float64_agrees_with_the_formulae(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder)
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    config = json.loads((model_folder / "config.json").read_text())
    errors = {}
    for dtype in ("float64", "float32"):
        dump = captured(model_folder, prompts, tmp_path / f"{dtype}.arrow", dtype)
        expected = [llama_logits(weights, config, dump["input_ids", sample, 0]) for sample in dump.samples()]
        errors[dtype] = max(
            np.linalg.norm(dump["logits", sample, 0] - logits) / np.linalg.norm(logits)
            for sample, logits in enumerate(expected)
        )
    assert load(tmp_path / "float64.arrow").run["dtype"] == "F64"
    # Half a dozen roundings of float32 anywhere would cost 1e-7.
    assert errors["float64"] < 1e-13
    assert 1e-8 < errors["float32"] < 1e-5


KERNELS = [name for name in ("mixtral", "qwen3-moe", "gemma2", "mamba") if name in ARCHITECTURES]


@pytest.mark.parametrize("name", KERNELS)
def test_float64_where_kernels_know_less(tmp_path: Path, model_folder: Path, prompts: Path, name: str) -> None:
    folder = save_model(build(name), tmp_path / name, model_folder)
    fine, coarse = (captured(folder, prompts, tmp_path / f"{kind}.arrow", kind) for kind in ("float64", "float32"))
    for key in fine:
        if key[0] == "logits":
            assert fine[key].dtype == np.float64
            np.testing.assert_allclose(coarse[key], fine[key], rtol=1e-3, atol=1e-4)
