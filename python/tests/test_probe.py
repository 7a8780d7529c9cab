"""The probe of a module: each fault has its name and its size, and a correct engine has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from npu_dump import Dump, DumpError, DumpFile, hypotheses, load

from . import fault_injection as faults
from .architectures import ARCHITECTURES, VOCABULARY, build
from .fault_injection import Fault

TOKENS = 48
ATTN, MLP, LAYER = (f"layers.{faults.FAULTY}{role}" for role in (".attn", ".mlp", ""))


def captured(model: Any, path: Path, *, samples: int = 3) -> DumpFile:
    generator = torch.Generator().manual_seed(5)
    with Dump(model, path, overwrite=True), torch.inference_mode():
        for _ in range(samples):
            model(torch.randint(5, VOCABULARY, (1, TOKENS), generator=generator), use_cache=False)
    return load(path)


def made(name: str, dtype: torch.dtype, **changes: Any) -> Any:
    return faults.sharpened(build(name, **changes)).to(dtype)


def kernels(name: str) -> tuple[str | None, str | None]:
    """The attention of the candidate, another one where the model has two, and of the floor."""
    try:
        build(name, attn_implementation="sdpa")
    except ValueError:
        return None, None
    return "eager", "sdpa"


def reference(name: str, **changes: Any) -> Any:
    """The same weights as the candidate's, which bfloat16 can hold, in float32."""
    return made(name, torch.bfloat16, **changes).float()


@dataclass(frozen=True)
class Case:
    model: str
    module: str
    fault: Fault
    cause: str
    id: str
    estimate: float | None = None
    tolerance: float = 0.0
    changes: tuple[tuple[str, Any], ...] = ()


CASES = {
    "attention scale": Case(
        "llama",
        ATTN,
        faults.attribute("self_attn.scaling", lambda old: old * 1.1),
        "attention-scale",
        "attention-scale",
        1.1,
        0.02,
    ),
    "scale left out": Case(
        "llama", ATTN, faults.attribute("self_attn.scaling", 1.0), "attention-scale", "attention-scale", 8**0.5, 0.1
    ),
    "rotary base": Case(
        "llama",
        ATTN,
        faults.arguments("self_attn", "position_embeddings", faults.with_base(5_000.0)),
        "rotary-base",
        "rotary-base",
        5_000,
        500,
    ),
    "rotary base of old": Case(
        "llama",
        ATTN,
        faults.arguments("self_attn", "position_embeddings", faults.with_base(10_000.0)),
        "rotary-base",
        "rotary-base",
        10_000,
        800,
        (("rope_theta", 500_000.0), ("rope_parameters", {"rope_type": "default", "rope_theta": 500_000.0})),
    ),
    "queries one further": Case(
        "llama", ATTN, faults.function("apply_rotary_pos_emb", faults.queries_later), "position", "position", 1
    ),
    "neighbours paired": Case(
        "llama",
        ATTN,
        faults.function("apply_rotary_pos_emb", faults.neighbours_paired),
        "rotary-layout",
        "rotary-layout",
    ),
    "key heads tiled": Case("llama", ATTN, faults.function("repeat_kv", faults.tiled), "kv-heads", "kv-heads/tiled"),
    "a token to come": Case(
        "llama",
        ATTN,
        faults.arguments("self_attn", "attention_mask", faults.seeing(lambda age: age >= -1)),
        "mask",
        "mask",
        1,
    ),
    "not itself": Case(
        "llama",
        ATTN,
        faults.arguments("self_attn", "attention_mask", faults.seeing(lambda age: age >= 1)),
        "mask",
        "mask",
        -1,
    ),
    "a window": Case(
        "llama",
        ATTN,
        faults.arguments("self_attn", "attention_mask", faults.seeing(lambda age: (age >= 0) & (age < 21))),
        "window",
        "window",
        21,
    ),
    "window one short": Case(
        "mistral",
        ATTN,
        faults.arguments("self_attn", "attention_mask", faults.seeing(lambda age: (age >= 0) & (age < 7))),
        "window",
        "window",
        7,
        0,
        (("sliding_window", 8),),
    ),
    "window left out": Case(
        "mistral",
        ATTN,
        faults.arguments("self_attn", "attention_mask", faults.seeing(lambda age: age >= 0)),
        "window",
        "window/none",
        changes=(("sliding_window", 8),),
    ),
    "a head is silent": Case(
        "llama",
        ATTN,
        faults.inputs("self_attn.o_proj", lambda x: torch.cat([x[..., :16], 0 * x[..., 16:24], x[..., 24:]], -1)),
        "head",
        "head",
        2,
    ),
    "no sinks": Case("gpt-oss", ATTN, faults.weights("self_attn.sinks", lambda old: old - 1e4), "sink", "sink"),
    "no soft cap": Case(
        "gemma2", ATTN, faults.attribute("self_attn.attn_logit_softcapping", None), "soft-cap", "soft-cap"
    ),
    "no query norm": Case("qwen3", ATTN, faults.bypassed("self_attn.q_norm"), "qk-norm", "norm/q_norm/none"),
    "no norm": Case(
        "llama", MLP, faults.bypassed("post_attention_layernorm"), "norm-weight", "norm/post_attention_layernorm/none"
    ),
    "norm weight one more": Case(
        "llama",
        ATTN,
        faults.weights("input_layernorm.weight", lambda old: old + 1),
        "norm-weight",
        "norm/input_layernorm/one",
        1,
    ),
    "norm weight one less": Case(
        "gemma2",
        MLP,
        faults.weights("post_feedforward_layernorm.weight", lambda old: old - 1),
        "norm-weight",
        "norm/post_feedforward_layernorm/one",
        -1,
    ),
    "norm of the layer before": Case(
        "llama",
        ATTN,
        faults.of_neighbour("input_layernorm", -1),
        "norm-weight",
        "norm/input_layernorm/previous-layer",
    ),
    "epsilon": Case(
        "llama",
        ATTN,
        faults.attribute("input_layernorm.variance_epsilon", 1e-2),
        "norm-weight",
        "norm/input_layernorm/epsilon",
        1e-2,
        1e-3,
    ),
    "attention of the next layer": Case(
        "llama", ATTN, faults.of_neighbour("self_attn", 1), "layer-weights", "layer-weights", 2
    ),
    "keys of the layer before": Case(
        "llama", ATTN, faults.of_neighbour("self_attn.k_proj", -1), "layer-weights", "layer-weights/k_proj", 0
    ),
    "gelu": Case("llama", MLP, faults.attribute("mlp.act_fn", nn.GELU()), "activation", "activation/gelu"),
    "relu": Case(
        "opt",
        MLP,
        faults.attribute("activation_fn", nn.GELU(approximate="tanh")),
        "activation",
        "activation/gelu-tanh",
    ),
    "gate and up": Case(
        "phi3",
        MLP,
        faults.outputs("mlp.gate_up_proj", lambda x: torch.cat([x[..., 48:], x[..., :48]], -1)),
        "gate-up",
        "gate-up",
    ),
    "output scaled": Case(
        "llama", MLP, faults.outputs("mlp", lambda x: x * 1.03125), "scale", "output-gain", 1.03125, 0.002
    ),
    "sign": Case("llama", MLP, faults.outputs("mlp", lambda x: -x), "sign", "output-sign"),
    "nothing": Case("llama", ATTN, faults.outputs("self_attn", lambda x: 0 * x), "skipped", "output-zero"),
    "gate and up in two": Case(
        "llama",
        MLP,
        lambda model: faults.exchanged(faults.layer_of(model).mlp.gate_proj, faults.layer_of(model).mlp.up_proj),
        "gate-up",
        "gate-up",
    ),
    "norm of too large a width": Case(
        "llama",
        ATTN,
        faults.weights("input_layernorm.weight", lambda old: old * 1.125),
        "norm-weight",
        "norm/input_layernorm/gain",
        1.125,
        0.005,
    ),
    "norm weight not loaded": Case(
        "llama",
        MLP,
        faults.weights("post_attention_layernorm.weight", torch.ones_like),
        "norm-weight",
        "norm/post_attention_layernorm/ones",
    ),
    "eight tokens to come": Case(
        "llama",
        ATTN,
        faults.arguments("self_attn", "attention_mask", faults.seeing(lambda age: age >= -8)),
        "mask",
        "mask",
        8,
    ),
    "heads exchanged": Case(
        "llama",
        ATTN,
        faults.inputs(
            "self_attn.o_proj", lambda x: torch.cat([x[..., :8], x[..., 16:24], x[..., 8:16], x[..., 24:]], -1)
        ),
        "head",
        "head/exchanged",
        1,
    ),
    "rotary backwards": Case(
        "llama",
        ATTN,
        faults.arguments("self_attn", "position_embeddings", lambda given: (given[0], -given[1])),
        "rotary-layout",
        "rotary-layout/backwards",
    ),
    "values rolled": Case(
        "llama",
        ATTN,
        faults.outputs("self_attn.v_proj", lambda x: x.roll(8, -1)),
        "kv-heads",
        "kv-heads/next/values",
    ),
    "rows shifted": Case(
        "llama", MLP, faults.outputs("mlp", lambda x: torch.cat([x[:, :1], x[:, :-1]], 1)), "shift", "row-shift", 1
    ),
    "channels rolled": Case(
        "llama", ATTN, faults.outputs("self_attn", lambda x: x.roll(5, -1)), "permutation", "channel-roll", 5
    ),
    "weights not normalised": Case(
        "qwen3-moe",
        MLP,
        faults.attribute("mlp.gate.norm_topk_prob", value=False),
        "router",
        "router/normalisation",
        changes=(("norm_topk_prob", True),),
    ),
    "one expert fewer": Case("qwen3-moe", MLP, faults.attribute("mlp.gate.top_k", 1), "router", "router/count", 1),
    "experts in another order": Case(
        "qwen3-moe",
        MLP,
        lambda model: [
            faults.weights(f"mlp.experts.{name}", lambda old: old.roll(1, 0))(model)
            for name in ("gate_up_proj", "down_proj")
        ],
        "router",
        "router/previous",
    ),
    "shared expert": Case(
        "deepseek-v3", MLP, faults.outputs("mlp.shared_experts", lambda x: 0 * x), "router", "router/shared"
    ),
}


# An old transformers does not have all of the models.
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.model in ARCHITECTURES])
def test_a_fault_is_named(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    mine, floors = kernels(case.model)
    changes = dict(case.changes)
    candidate = made(case.model, torch.bfloat16, attn_implementation=mine, **changes)
    case.fault(candidate)
    floor = captured(
        made(case.model, torch.bfloat16, attn_implementation=floors, **changes), tmp_path / "floor.arrow"
    )
    dump = captured(candidate, tmp_path / "candidate.arrow")
    for given in ([floor], []):
        found = hypotheses.test(reference(case.model, **changes), dump, case.module, given)
        assert found.best is not None, [vars(finding) for finding in found.hypotheses[:3]]
        assert (found.best.id, found.best.cause) == (case.id, f"cause/{case.cause}")
        if case.estimate is not None:
            assert found.best.estimate == pytest.approx(case.estimate, abs=case.tolerance or 1e-9)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_is_named_where_nothing_is_wrong(tmp_path: Path, name: str) -> None:
    """Whatever the module is, and whether or not a floor is given."""
    mine, floors = kernels(name)
    dump = captured(made(name, torch.bfloat16, attn_implementation=mine), tmp_path / "candidate.arrow", samples=2)
    floor = captured(made(name, torch.bfloat16, attn_implementation=floors), tmp_path / "floor.arrow", samples=2)
    model = reference(name)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    names = {key[0] for key in dump}
    for module in sorted(names & {"embed", ATTN, MLP, LAYER, "norm", "logits"}):
        for given in ([floor], []):
            try:
                found = hypotheses.test(model, dump, module, given)
            except DumpError as error:
                assert (module, error.code) == ("logits", "module-unreachable")
                continue
            assert found.best is None, (module, found.best)
            assert found.rows == 2 * TOKENS
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
