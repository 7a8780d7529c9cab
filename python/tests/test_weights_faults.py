"""Every fault of a loader, injected into a really loaded model or its files, is found and named; nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from npu_dump import check_weights

from .conftest import ARCHITECTURES, build
from .weights_support import by_name, copy_values, edit, load, put, set_element, stored, swap, weight

LAYER = "model.layers.{}.{}"
Q, K, OUT = (LAYER.format(1, f"self_attn.{part}_proj.weight") for part in "qko")
GATE, UP = (LAYER.format(1, f"mlp.{part}_proj.weight") for part in ("gate", "up"))
EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"
Expected = list[tuple[str, str, list[str]]]


@dataclass(frozen=True)
class Fault:
    """One fault, and the findings that it must give.

    Attributes:
        inject: changes the loaded model, or the folder it came from.
        expected: rule, level and names of every finding.
        tells: words of the facts.
        architecture: of the model.
        changes: of its configuration.
        asked: dtype that the loader is asked for, and that the check is told of.
        loaded: dtype that the loader really takes.
    """

    inject: Callable[[Any, Path], None]
    expected: Expected
    tells: tuple[str, ...] = ()
    architecture: str = "llama"
    changes: dict[str, Any] = field(default_factory=dict)
    asked: torch.dtype | None = None
    loaded: torch.dtype | None = None


def reload_without(name: str) -> Callable[[Any, Path], None]:
    """The checkpoint lacks a tensor when the model is loaded: transformers makes it up."""

    def inject(model: Any, folder: Path) -> None:
        edit(folder, **{name: None})
        model.load_state_dict(load(folder).state_dict())

    return inject


def stored_value(value: float) -> Callable[[Any, Path], None]:
    """The checkpoint holds one such value, and the model is loaded from it."""

    def inject(model: Any, folder: Path) -> None:
        edit(folder, **{Q: set_element(value)})
        model.load_state_dict(load(folder, model.dtype).state_dict())

    return inject


def tie(model: Any, _folder: Path) -> None:
    model.lm_head.weight = model.model.embed_tokens.weight


def untie(model: Any, _folder: Path) -> None:
    model.lm_head.weight = nn.Parameter(torch.randn_like(model.lm_head.weight))


def back_to_float32(model: Any, _folder: Path) -> None:
    for name, value in list(model.named_parameters()):
        put(model, name, value.detach().float())


def wrong_theta(model: Any, _folder: Path) -> None:
    frequencies = model.model.rotary_emb.inv_freq
    half = len(frequencies)
    model.model.rotary_emb.inv_freq = 500000.0 ** -(torch.arange(half) / half)


def wrong_epsilon(model: Any, _folder: Path) -> None:
    model.model.layers[2].input_layernorm.variance_epsilon = 1e-5


def wrong_scaling(model: Any, _folder: Path) -> None:
    model.model.layers[0].self_attn.scaling = 0.5


def wrong_rotary_scaling(model: Any, _folder: Path) -> None:
    model.model.rotary_emb.attention_scaling = 1.5


def wrong_head_dim(model: Any, _folder: Path) -> None:
    model.model.layers[0].self_attn.head_dim = 4


def everything_to_bfloat16(model: Any, _folder: Path) -> None:
    model.to(torch.bfloat16)


def wrong_embedding_scale(model: Any, _folder: Path) -> None:
    model.model.embed_tokens.embed_scale.fill_(1.0)


def wrong_soft_cap(model: Any, _folder: Path) -> None:
    model.config.final_logit_softcapping = 15.0


def drop_bias(model: Any, _folder: Path) -> None:
    model.model.layers[0].self_attn.q_proj.bias = None


def drop_layer(model: Any, _folder: Path) -> None:
    del model.model.layers[2]


def add_speculative_head(_model: Any, folder: Path) -> None:
    edit(folder, **{"mtp.layers.0.input_layernorm.weight": lambda _: torch.ones(32)})


def shift_layers(model: Any, _folder: Path) -> None:
    """A loader that counts from one: layer i holds what belongs to layer i + 1."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for name in stored("llama"):
        if ".layers.0." in name:
            put(model, name, state[name.replace(".layers.0.", ".layers.1.")])


def wrong_shape(model: Any, folder: Path) -> None:
    edit(folder, **{K: lambda tensor: tensor[:8]})
    model.load_state_dict(load(folder).state_dict())


def interleave_heads(tensor: torch.Tensor) -> torch.Tensor:
    """The rows of a rotary projection in the other convention: pairs side by side instead of in halves."""
    return tensor.view(4, 2, 4, 32).transpose(1, 2).reshape(32, 32)


FAULTS = {
    "missing": Fault(reload_without(Q), [("weights/missing", "error", [Q])], ("no tensor of that name",)),
    "missing-head": Fault(reload_without(HEAD), [("weights/head-missing", "error", [HEAD])], ("not tied",)),
    "tied-with-own-head": Fault(tie, [("weights/tied", "error", [HEAD])], (f"shares the memory of {EMBED}",)),
    "untied": Fault(
        untie, [("weights/untied", "error", [HEAD])], ("no head of its own",), changes={"tie_word_embeddings": True}
    ),
    "silent-cast": Fault(
        lambda _model, _folder: None,
        [("weights/cast", "warning", sorted(stored("llama")))],
        ("F32", "BF16"),
        loaded=torch.bfloat16,
    ),
    "rounded-on-the-way": Fault(
        back_to_float32, [("weights/rounded", "error", sorted(stored("llama")))], ("BF16",), loaded=torch.bfloat16
    ),
    "overflow": Fault(
        stored_value(1e6),
        [("weights/overflow", "error", [Q]), ("weights/not-finite", "error", [Q])],
        ("F16", "1 of 1024 elements", "0 of them"),
        asked=torch.float16,
        loaded=torch.float16,
    ),
    "underflow": Fault(
        stored_value(1e-9),
        [("weights/underflow", "warning", [Q])],
        ("1 of 1024 elements",),
        asked=torch.float16,
        loaded=torch.float16,
    ),
    "transposed": Fault(copy_values(lambda t: t.T, Q), [("weights/transposed", "error", [Q])]),
    "transposed-shape": Fault(copy_values(lambda t: t.T, UP), [("weights/transposed", "error", [UP])], ("[32, 48]",)),
    "re-initialised": Fault(
        copy_values(lambda t: torch.full_like(t, 1.0), "model.norm.weight"),
        [("weights/values", "error", ["model.norm.weight"])],
        ("32 of 32 elements differ", "1 … 1 against"),
    ),
    "one-element": Fault(
        copy_values(set_element(0.625), OUT), [("weights/values", "error", [OUT])], ("1 of 1024 elements differ",)
    ),
    "shape": Fault(wrong_shape, [("weights/shape", "error", [K])], ("[16, 32]", "[8, 32]")),
    "swapped-layers": Fault(
        lambda model, _: swap(model, Q, Q.replace("1", "2")),
        [
            ("weights/swapped", "error", [Q]),
            ("weights/swapped", "error", [Q.replace("1", "2")]),
        ],
        (f"the values of {Q.replace('1', '2')}", f"the values of {Q}"),
    ),
    "shifted-layers": Fault(
        shift_layers,
        [("weights/swapped", "error", [name]) for name in stored("llama") if ".layers.0." in name],
        ("the values of model.layers.1.mlp.down_proj.weight",),
    ),
    "swapped-gate-and-up": Fault(
        lambda model, _: swap(model, GATE, UP),
        [("weights/swapped", "error", [GATE]), ("weights/swapped", "error", [UP])],
        (f"the values of {UP}",),
    ),
    "permuted-rows": Fault(
        copy_values(interleave_heads, Q), [("weights/permuted", "error", [Q])], ("along dimension 0: 1 holds 4",)
    ),
    "permuted-columns": Fault(
        copy_values(lambda t: t.roll(3, 1), OUT), [("weights/permuted", "error", [OUT])], ("dimension 1: 0 holds 29",)
    ),
    "swapped-halves": Fault(
        copy_values(lambda t: t.roll(24, 0), UP), [("weights/halves-swapped", "error", [UP])], ("dimension 0",)
    ),
    "nan": Fault(
        copy_values(set_element(float("nan")), OUT),
        [("weights/values", "error", [OUT]), ("weights/not-finite", "error", [OUT])],
        ("1 of 1024 elements",),
    ),
    "nan-in-the-checkpoint": Fault(
        stored_value(float("inf")),
        [("weights/not-finite", "error", [Q])],
        ("1 of them",),
    ),
    "dropped-bias": Fault(
        drop_bias,
        [("weights/unused", "error", [LAYER.format(0, "self_attn.q_proj.bias")])],
        ("the module, but no bias in it",),
        architecture="qwen2",
    ),
    "dropped-layer": Fault(
        drop_layer,
        [("weights/unused", "error", sorted(name for name in stored("llama") if ".layers.2." in name))],
        ("no such module in a layer that config.json counts",),
    ),
    "speculative-head": Fault(
        add_speculative_head,
        [("weights/unused", "info", ["mtp.layers.0.input_layernorm.weight"])],
        ("speculative",),
    ),
    "rope-theta": Fault(
        wrong_theta,
        [("config/rope", "error", ["model.rotary_emb.inv_freq"])],
        ("rope_theta 500000", "rope_theta 10000"),
    ),
    "rope-in-bfloat16": Fault(
        everything_to_bfloat16,
        [("config/rope", "error", ["model.rotary_emb.inv_freq"])],
        ("BF16 [4]",),
        asked=torch.bfloat16,
    ),
    "rope-scaling": Fault(
        wrong_rotary_scaling, [("config/rope", "error", ["model.rotary_emb.attention_scaling"])], ("1.5", "1.0")
    ),
    "norm-epsilon": Fault(
        wrong_epsilon,
        [("config/norm", "error", [LAYER.format(2, "input_layernorm.variance_epsilon")])],
        ("1e-05", "1e-06"),
    ),
    "attention-scaling": Fault(
        wrong_scaling, [("config/constant", "error", [LAYER.format(0, "self_attn.scaling")])], ("0.5", "0.35355")
    ),
    "head-dim": Fault(
        wrong_head_dim, [("config/constant", "error", [LAYER.format(0, "self_attn.head_dim")])], ("4", "8")
    ),
    "embedding-scale": Fault(
        wrong_embedding_scale,
        [("config/buffer", "error", ["model.embed_tokens.embed_scale"])],
        ("5.65685",),
        architecture="gemma3",
    ),
    "soft-cap": Fault(
        wrong_soft_cap,
        [("config/value", "warning", ["config.final_logit_softcapping"])],
        ("15.0", "3.0"),
        architecture="gemma2",
    ),
}


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.architecture in ARCHITECTURES])
def test_a_fault_is_found_and_named(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    build(fault.architecture, **fault.changes).save_pretrained(tmp_path)
    model = load(tmp_path, fault.loaded)
    assert check_weights(model, tmp_path, dtype=fault.loaded) == []
    fault.inject(model, tmp_path)
    found = check_weights(model, tmp_path, dtype=fault.asked)
    assert by_name(found) == sorted((rule, level, name) for rule, level, names in fault.expected for name in names)
    facts = " | ".join(text for finding in found for _, text in finding.facts)
    for words in fault.tells:
        assert words in facts


def stacks_experts(architecture: str) -> bool:
    """Whether this transformers keeps all experts of a layer in one tensor; 4.x keeps them apart."""
    return any(name.endswith("experts.gate_up_proj") for name in stored(architecture))


FUSED = [name for name in ("mixtral", "qwen3-moe") if name in ARCHITECTURES and stacks_experts(name)]


@pytest.mark.parametrize("architecture", FUSED)
@pytest.mark.parametrize(
    ("change", "rule", "tells"),
    [
        (lambda t: t.roll(t.shape[1] // 2, 1), "weights/halves-swapped", "along dimension 1"),
        (lambda t: t[[1, 0, 2, 3]], "weights/permuted", "along dimension 0: 0 holds 1, 1 holds 0"),
        (lambda t: t + torch.eye(4)[2, :, None, None], "weights/values", "25.00%"),
    ],
)
def test_faults_of_stacked_experts(
    architecture: str, change: Callable[[torch.Tensor], torch.Tensor], rule: str, tells: str, tmp_path: Path
) -> None:
    build(architecture).save_pretrained(tmp_path)
    model = load(tmp_path)
    name = next(key for key in model.state_dict() if key.endswith("1.mlp.experts.gate_up_proj"))
    put(model, name, change(weight(model, name).detach()))
    (found,) = check_weights(model, tmp_path)
    assert (found.rule, found.names) == (rule, (name,))
    assert tells in f"{found.what} {found.facts}"
    assert rule != "weights/halves-swapped" or "gate and up" in found.what


@pytest.mark.parametrize("architecture", FUSED)
def test_an_expert_that_the_checkpoint_lacks(architecture: str, tmp_path: Path) -> None:
    build(architecture).save_pretrained(tmp_path)
    model = load(tmp_path)
    name = next(
        key for key in load_file(tmp_path / "model.safetensors") if "layers.2." in key and ".experts.3." in key
    )
    edit(tmp_path, **{name: None})
    found = check_weights(model, tmp_path)
    assert [(finding.rule, finding.names) for finding in found] == [("weights/missing", (name,))]


def sharded(folder: Path) -> tuple[Any, dict[str, str]]:
    build().save_pretrained(folder, max_shard_size="40KB")
    return load(folder), json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]


def test_an_absent_shard(tmp_path: Path) -> None:
    model, shards = sharded(tmp_path)
    (tmp_path / shards[Q]).unlink()
    held = sorted(name for name, shard in shards.items() if shard == shards[Q])
    absent, *missing = check_weights(model, tmp_path)
    assert (absent.rule, absent.names) == ("weights/shard-absent", (shards[Q],))
    assert {finding.rule for finding in missing} <= {"weights/missing", "weights/head-missing"}
    assert sorted(name for finding in missing for name in finding.names) == held


def test_a_shard_that_is_cut_short(tmp_path: Path) -> None:
    model, shards = sharded(tmp_path)
    path = tmp_path / shards[Q]
    path.write_bytes(path.read_bytes()[:-100])
    damaged, *_ = check_weights(model, tmp_path)
    assert (damaged.rule, damaged.names, damaged.level) == ("weights/shard-damaged", (shards[Q],), "error")
    assert f"{path.stat().st_size} bytes" in damaged.facts[1][1]


def test_a_shard_without_a_tensor_that_the_index_lists(tmp_path: Path) -> None:
    model, shards = sharded(tmp_path)
    tensors = load_file(tmp_path / shards[Q])
    del tensors[Q]
    save_file(tensors, tmp_path / shards[Q])
    (found,) = check_weights(model, tmp_path)
    assert (found.rule, found.names) == ("weights/missing", (Q,))
    assert shards[Q] in found.facts[1][1]
