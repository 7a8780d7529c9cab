"""`check_weights` on clean loads, on modules that are not transformers', and `npu-dump weights`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from npu_dump import DumpError, check_weights
from npu_dump.cli import main
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


def weights(*arguments: object) -> int:
    return main(["weights", *map(str, arguments)])


def test_the_command_on_a_clean_model(model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert weights("--model", model_folder) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == "the model holds what the checkpoint says"
    assert "tied" in err
    assert weights("--model", model_folder, "--dtype", "bfloat16", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    stored = load_file(model_folder / "model.safetensors")
    assert report["findings"] == []
    assert report["model"] == {"id": model_folder.name, "architecture": "LlamaForCausalLM"}
    assert report["compared"]["count"] == len(stored)
    assert report["compared"]["bytes"] == sum(value.nbytes for value in stored.values())


def test_the_command_names_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A tensor that is missing does not keep the model from being loaded here."""
    build().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    tensors["evil\x1b[31m.weight"] = torch.ones(2)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert weights("--model", tmp_path) == 1
    out = capfd.readouterr().out
    assert "error[weights/missing]: model.layers.1.self_attn.q_proj.weight" in out
    assert "warning[weights/unused]: evil\\x1b[31m.weight" in out
    assert out.splitlines()[-1] == "the model does not hold what the checkpoint says: 1 error, 1 warning"
    assert weights("--model", tmp_path, "--json") == 1
    report = json.loads(capfd.readouterr().out)
    assert [finding["rule"] for finding in report["findings"]] == ["weights/missing", "weights/unused"]


def test_the_command_on_files_that_cannot_be_loaded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build().save_pretrained(tmp_path, max_shard_size="40KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:200])
    assert weights("--model", tmp_path) == 1
    out = capfd.readouterr().out
    assert f"error[weights/shard-absent]: {shards[0].name}" in out
    assert f"error[weights/shard-damaged]: {shards[1].name}" in out


def test_what_cannot_be_compared_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert weights("--model", tmp_path) == 2
    assert "error[checkpoint-unsupported]" in capfd.readouterr().err
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    assert weights("--model", gguf) == 2
    assert "error[checkpoint-unsupported]" in capfd.readouterr().err


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


def test_without_config_json_nothing_is_a_pass(tmp_path: Path) -> None:
    engine = checkpoint(tmp_path)
    (tmp_path / "config.json").unlink()
    assert [finding.rule for finding in check_weights(engine, tmp_path)] == ["weights/not-compared"]
