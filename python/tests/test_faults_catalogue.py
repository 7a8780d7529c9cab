"""Every fault shows in its own module and nowhere else, and leaves no trace."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from bench.faults.catalogue import FAULTS, KINDS, Fault, Place, pairs
from bench.faults.catalogue.residual import factor_over_right
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from npu_dump.provenance import tied

from .architectures import ARCHITECTURES, VOCABULARY
from .forced import Forced, changed

# What the catalogue knows is how transformers builds models since version 5.
LEAST_TRANSFORMERS = 5
# Beyond 256 bf16 leaves positions out; beyond 32 keys a window shows.
TOKENS, STEPS, LONG = 40, 6, 300
MODELS = {
    # What the tiny configurations leave at values that make no difference.
    "llama": {},
    "llama-tied": {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "qwen2": {},
    "qwen3": {},
    "qwen3-moe": {"norm_topk_prob": True},
    "qwen3-next": {
        "num_experts_per_tok": 3,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    },
    "gpt-oss": {"swiglu_limit": 0.05},
    "gemma2": {},
    "gemma3": {},
    "olmo2": {},
    "granite": {"logits_scaling": 4.0},
    "mixtral": {"sliding_window": 12},
    "deepseek-v3": {"n_routed_experts": 8, "routed_scaling_factor": 2.5},
    "jamba": {},
}


def ids_of(tokens: int = TOKENS, batch: int = 2) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (batch, tokens), generator=torch.Generator().manual_seed(3))


def make(name: str, dtype: torch.dtype = torch.float32) -> Any:
    # Sinks and soft caps are not in scaled_dot_product_attention.
    attention = "eager" if name in ("gemma2", "gpt-oss") else "sdpa"
    return ARCHITECTURES[name].model(dtype, attn_implementation=attention, **MODELS[name])


def trace_of(model: Any) -> tuple[Any, ...]:
    """All that a fault might leave behind: weights, buffers, attributes, hooks, kernels."""
    tensors = {name: value.clone() for name, value in (*model.named_parameters(), *model.named_buffers())}
    objects = [(id(value), name) for name, value in model.named_parameters(remove_duplicate=False)]
    hooks = [(name, len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()]
    attributes = [(name, sorted(map(str, vars(module)))) for name, module in model.named_modules()]
    settings = [str(getattr(module, "config", "")) for module in model.modules()]
    return tensors, objects, hooks, attributes, settings, sorted(ALL_ATTENTION_FUNCTIONS.keys())


def same_trace(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    tensors, *rest = before
    now, *others = after
    return rest == others and set(tensors) == set(now) and all(torch.equal(tensors[name], now[name]) for name in now)


def allowed(fault: Fault, place: Place, names: set[str]) -> set[str]:
    """Where the fault's own error may show."""
    if place.systematic:
        role = place.module.rpartition(".")[2]
        roles = {"attn", "mlp"} if fault.group == "precision" else {role}
        return {name for name in names if name.rpartition(".")[2] in roles}
    return {place.module} | {f"layers.{place.layer}.{role}" for role in fault.beside}


def one_place(fault: Fault, model: Any) -> Place | None:
    """A place in the middle of the model: one in the first layer has less before it, one in the last less behind."""
    places = fault.places(model)
    return places[len(places) // 2] if places else None


@pytest.fixture(scope="module")
def shown() -> Counter[str]:
    """How often each severity of each kind was seen to change its module."""
    return Counter()


@pytest.mark.parametrize("name", MODELS)
def test_every_fault_shows_in_its_module_alone_and_leaves_no_trace(name: str, shown: Counter[str]) -> None:
    model = make(name)
    prompt, decode = Forced(model, ids_of()), Forced(model, ids_of(), STEPS)
    long = Forced(model, ids_of(LONG, 1)) if name == "llama" else prompt
    before = trace_of(model)
    assert not changed(prompt.clean, prompt.outputs())
    assert not changed(decode.clean, decode.outputs())
    wrong: list[str] = []
    for fault in FAULTS:
        place = one_place(fault, model)
        if place is None:
            continue
        forced = decode if fault.decode else long if "positions" in fault.severity else prompt
        with fault.apply(model, place):
            moved = changed(forced.clean, forced.outputs())
        label = f"{fault.kind} {fault.severity} at {place.module}"
        if place.module in moved:
            shown[f"{fault.kind} {fault.severity}"] += 1
        elif not fault.silent:
            wrong.append(f"{label} changes nothing")
        if beyond := moved - allowed(fault, place, set(forced.clean)):
            wrong.append(f"{label} changes {sorted(beyond)}")
    assert not wrong, "\n".join(wrong)
    assert same_trace(before, trace_of(model))
    assert not changed(prompt.clean, prompt.outputs())


def test_every_severity_was_seen_to_change_something(shown: Counter[str]) -> None:
    missing = [f"{fault.kind} {fault.severity}" for fault in FAULTS if not shown[f"{fault.kind} {fault.severity}"]]
    assert not missing


@pytest.mark.parametrize(
    ("name", "dtype"),
    # Products of experts take no float64.
    [(name, dtype) for name in ("llama", "gpt-oss") for dtype in (torch.bfloat16, torch.float16)]
    + [("llama", torch.float64)],
)
def test_a_fault_keeps_the_precision_that_a_model_computes_in(name: str, dtype: torch.dtype) -> None:
    model = make(name, dtype)
    forced = Forced(model, ids_of(16, 1))
    for fault in FAULTS:
        place = one_place(fault, model)
        if place is not None and not fault.decode:
            with fault.apply(model, place):
                outputs = forced.outputs()
            assert {value[0].dtype for value in outputs.values()} == {dtype}, fault.kind
    assert not changed(forced.clean, forced.outputs())


def test_kinds_are_split_so_that_each_family_is_in_both_halves() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 75
    families = {fault.group for fault in FAULTS}
    halves = {kind.name: {fault.half for fault in FAULTS if fault.kind == kind.name} for kind in KINDS}
    assert all(len(found) == 1 for found in halves.values())
    assert {(fault.group, fault.half) for fault in FAULTS} == {
        (family, half) for family in families for half in ("calibrate", "report")
    }
    counts = Counter(next(iter(found)) for found in halves.values())
    assert abs(counts["calibrate"] - counts["report"]) <= len(families)


def test_a_head_is_untied_only_where_it_is_tied_and_a_dump_tells() -> None:
    model = make("llama-tied")
    fault = next(fault for fault in FAULTS if fault.kind == "head-untied")
    assert fault.causes == {"cause/configuration"}
    assert not fault.places(make("llama"))
    [place] = fault.places(model)
    assert tied(model)
    with fault.apply(model, place):
        assert not tied(model)


def test_a_missing_bias_of_values_alone_takes_one_vector_off_all_tokens() -> None:
    model = make("qwen2", torch.float64)
    forced = Forced(model, ids_of())
    for fault in (fault for fault in FAULTS if fault.kind == "input-bias-missing"):
        place = one_place(fault, model)
        assert place is not None
        with fault.apply(model, place):
            [clean], [faulty] = forced.clean[place.module], forced.outputs()[place.module]
        missing = clean - faulty
        constant = bool((missing - missing[0, 0]).abs().max() < 1e-9 * missing.abs().max())
        assert constant == ("cause/bias" in fault.causes) == (fault.severity == "v_proj")


def test_the_factor_of_the_residual_sum_is_told_of_its_own_faults_alone() -> None:
    model = make("granite")
    right = model.model.layers[1].residual_multiplier
    for fault in FAULTS:
        for place in fault.places(model)[:2]:
            own = {"missing": 1 / right, "1.02": 1.02} if fault.kind == "residual-factor" else {}
            assert factor_over_right(fault, model, place) == pytest.approx(own.get(fault.severity, 1.0))


def test_pairs_are_apart_of_two_kinds_and_always_the_same() -> None:
    model = make("llama")
    found = pairs(model, "report", 1, 12)
    again = pairs(model, "report", 1, 12)
    assert [(pair.faults, pair.places) for pair in found] == [(pair.faults, pair.places) for pair in again]
    assert len(found) == 12
    forced = Forced(model, ids_of())
    for pair in found:
        (first, second), (early, late) = pair.faults, pair.places
        assert first.kind != second.kind
        assert early.layer is not None
        assert late.layer is not None
        assert late.layer - early.layer >= 2
        with pair.apply(model):
            moved = changed(forced.clean, forced.outputs())
        assert {early.module, late.module} <= moved, (first.kind, second.kind)
    assert not changed(forced.clean, forced.outputs())
