"""Constants and buffers of the live modules against config.json on the disk."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..module_tree import find_decoder
from . import rope, skeleton
from .checkpoint import first_line
from .config_file import number, read_text_config
from .difference import same
from .findings import Findings, form

_FREQUENCIES = re.compile(r"(^|_)inv_freq$")
_EPSILONS = ("eps", "variance_epsilon", "epsilon")
_EPSILON_KEYS = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon")
_ROPE_NAMES = re.compile(r"rope|rotary|attention_scaling")
# What a module keeps of its last forward, or of how it runs.
_STATE = re.compile(r"^_|^training$|^gradient_checkpointing$|^max_seq_len_cached$|^name_or_path$")


@dataclass
class Constants:
    """What came of the comparison.

    Attributes:
        count: buffers and constants compared.
        right: buffers that are what config.json makes them.
        judged: buffers and attributes, by path, that need no other judgement.
    """

    count: int = 0
    right: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)


def compare(model: nn.Module, folder: Path, state: Mapping[str, torch.Tensor], findings: Findings) -> Constants:
    """Compare what the modules hold with what config.json says; report the differences.

    Inverse frequencies are computed here from config.json. Every other buffer that is not stored in checkpoints, and
    every number, flag and text that a module keeps as an attribute, is compared with a model of the same class that
    is made anew from config.json. For modules that are not transformers', epsilons and head sizes are looked up.
    """
    done = Constants()
    config = read_text_config(folder)
    if not config:
        _unknown(model, state, findings, done, "no config.json")
        return done
    _frequencies(model, config, findings, done)
    try:
        fresh = skeleton.build(model, folder)
    except Exception as error:  # the class is another's
        _unknown(model, state, findings, done, f"{type(error).__name__}: {first_line(error)}")
        return done
    if fresh is None:
        _own_module(model, config, findings, done)
        _unknown(model, state, findings, done, "a module that transformers does not know")
        return done
    _attributes(model, fresh, findings, done)
    _configuration(model, config, findings, done)
    _buffers(model, fresh, state, findings, done)
    return done


def _frequencies(model: nn.Module, config: Mapping[str, Any], findings: Findings, done: Constants) -> None:
    described = rope.ropes(config)
    decoder = find_decoder(model)
    # Towers for images and sound have frequencies of their own.
    text = f"{decoder.path}." if decoder and decoder.path else ""
    for name, held in model.named_buffers():
        module, _, leaf = name.rpartition(".")
        if not described or not name.startswith(text) or not _FREQUENCIES.search(leaf) or "original" in leaf:
            continue
        if held.ndim != 1 or held.is_meta:
            continue
        wanted = [one.frequencies(held.numel()) for one in described]
        if any(one is None for one in wanted):
            continue
        done.count += 1
        live = held.detach().cpu()
        matching = [
            one for one, values in zip(described, wanted, strict=True) if values is not None and _close(live, values)
        ]
        if matching:
            scale = getattr(model.get_submodule(module), leaf.replace("inv_freq", "attention_scaling"), None)
            allowed = [one.scaling() for one in matching]
            if isinstance(scale, float) and not any(right is None or math.isclose(scale, right) for right in allowed):
                _wrong(findings, "config/rope", f"{module}.attention_scaling", scale, allowed[0])
                done.judged.add(f"{module}.{leaf.replace('inv_freq', 'attention_scaling')}")
            continue
        done.judged |= {name, _original(name)}
        told = rope.implied_theta(live)
        findings.add(
            "config/rope",
            "error",
            [name],
            "are not the inverse frequencies that config.json asks for",
            ("model", f"{form(held.dtype, held.shape)}" + (f", rope_theta {told:.6g} by its second" if told else "")),
            ("config.json", "; ".join(f"{one.kind}, rope_theta {one.theta:.6g}" for one in described)),
        )


def _attributes(model: nn.Module, fresh: nn.Module, findings: Findings, done: Constants) -> None:
    twins = dict(fresh.named_modules())
    for path, module in model.named_modules():
        twin = twins.get(path)
        if twin is None:
            continue
        for name, wanted in vars(twin).items():
            if name not in vars(module) or _STATE.search(name) or not _is_constant(wanted):
                continue
            held, where = vars(module)[name], f"{path}.{name}" if path else name
            done.count += 1
            if _is_constant(held) and not _equal(held, wanted) and where not in done.judged:
                _wrong(findings, _rule(path, name), where, held, wanted)


def _configuration(model: Any, config: Mapping[str, Any], findings: Findings, done: Constants) -> None:
    """Compare the numbers that modules may read from the live configuration while they run, e.g. soft caps."""
    live = model.config.get_text_config()
    for name, wanted in config.items():
        held = getattr(live, name, None)
        if isinstance(wanted, float) and number(held) is not None:
            done.count += 1
            if not _equal(held, wanted):
                findings.add(
                    "config/value",
                    "warning",
                    [f"config.{name}"],
                    "is not what config.json says; modules may read it while they run",
                    ("model", str(held)),
                    ("config.json", str(wanted)),
                )


def _buffers(
    model: nn.Module, fresh: nn.Module, state: Mapping[str, torch.Tensor], findings: Findings, done: Constants
) -> None:
    twins = dict(_named_buffers(fresh))
    for name, held in _named_buffers(model):
        if name in done.judged:
            continue
        wanted = twins.get(name)
        if _moves(model, name):
            name, held, wanted = _original(name), *(_tensor(tree, _original(name)) for tree in (model, fresh))
            if held is None:
                findings.not_compared(
                    [name], "is not kept", ("model", "moves with the length"), ("config.json", "fixed")
                )
                continue
        if wanted is None or wanted.is_meta or held.is_meta:
            if name not in state:
                findings.not_compared(
                    [name],
                    "is a buffer that config.json says nothing of",
                    ("model", form(held.dtype, held.shape)),
                    ("config.json", "makes none"),
                )
            continue
        done.count += 1
        if _alike(held.detach().cpu(), wanted):
            done.right.add(name)
        elif name not in state:
            findings.add(
                "config/rope" if _ROPE_NAMES.search(name) else "config/buffer",
                "error",
                [name],
                "is not what config.json makes it",
                ("model", f"{form(held.dtype, held.shape)} {_few(held)}"),
                ("config.json", f"{form(wanted.dtype, wanted.shape)} {_few(wanted)}"),
            )


def _named_buffers(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a model's buffers, and the frequencies that transformers before 5 keeps beside them as an attribute."""
    yield from model.named_buffers()
    for path, module in model.named_modules():
        original = vars(module).get("original_inv_freq")
        if isinstance(original, torch.Tensor):
            yield f"{path}.original_inv_freq" if path else "original_inv_freq", original


def _moves(model: nn.Module, name: str) -> bool:
    """Return whether a buffer follows the length of the last forward; what `_original` names does not."""
    module, _, leaf = name.rpartition(".")
    kind = getattr(model.get_submodule(module), "rope_type", None)
    return kind in ("dynamic", "longrope") and bool(_FREQUENCIES.search(leaf)) and "original" not in leaf


def _original(name: str) -> str:
    return name.replace("inv_freq", "original_inv_freq")


def _tensor(model: nn.Module, name: str) -> torch.Tensor | None:
    """Return a tensor of a module, be it a buffer or, as in transformers 4.x, an attribute."""
    module, _, leaf = name.rpartition(".")
    value = getattr(model.get_submodule(module), leaf, None)
    return value if isinstance(value, torch.Tensor) else None


def _own_module(model: nn.Module, config: Mapping[str, Any], findings: Findings, done: Constants) -> None:
    """Look up what a module of the user's own has in common with others: epsilons, head sizes."""
    epsilons = [value for key in _EPSILON_KEYS if (value := number(config.get(key))) is not None]
    heads, hidden = number(config.get("num_attention_heads")), number(config.get("hidden_size"))
    size = number(config.get("head_dim")) or (hidden // heads if heads and hidden else None)
    for path, module in model.named_modules():
        for name, held in vars(module).items():
            wanted = size if name == "head_dim" else epsilons[0] if name in _EPSILONS and epsilons else None
            if wanted is not None and number(held) is not None:
                done.count += 1
                if not _equal(held, wanted):
                    _wrong(findings, _rule(path, name), f"{path}.{name}", held, wanted)


def _unknown(
    model: nn.Module, state: Mapping[str, torch.Tensor], findings: Findings, done: Constants, reason: str
) -> None:
    """Report the buffers that nothing tells the values of."""
    names = [name for name, _ in model.named_buffers() if name not in state and name not in done.judged]
    if names or reason == "no config.json":
        findings.not_compared(
            names or ["config.json"],
            "could not be compared with config.json",
            ("model", f"{len(names)} buffers that checkpoints do not hold"),
            ("reason", reason),
        )


def _wrong(findings: Findings, rule: str, name: str, held: Any, wanted: Any) -> None:
    findings.add(
        rule, "error", [name], "is not what config.json says", ("model", str(held)), ("config.json", str(wanted))
    )


def _rule(path: str, name: str) -> str:
    if name in _EPSILONS:
        return "config/norm"
    return "config/rope" if _ROPE_NAMES.search(f"{path}.{name}") else "config/constant"


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) or isinstance(second, float):
        a, b = number(first), number(second)
        return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-12)
    return first == second


def _close(held: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Return whether float32 values are those, to the rounding of another order of operations."""
    if held.dtype.itemsize < 4:
        return False
    return bool(((held.double() - wanted.double()).abs() <= rope.CLOSE * wanted.double().abs()).all())


def _alike(held: torch.Tensor, wanted: torch.Tensor) -> bool:
    if held.shape != wanted.shape:
        return False
    if not (held.is_floating_point() and wanted.is_floating_point()):
        return same(held, wanted)
    narrow = held.dtype if held.dtype.itemsize <= wanted.dtype.itemsize else wanted.dtype
    return same(held.to(narrow), wanted.to(narrow)) or _close(held, wanted)


def _few(tensor: torch.Tensor) -> str:
    shown = [f"{value:.6g}" for value in tensor.detach().reshape(-1)[:4].tolist()]
    return ", ".join(shown) + (", …" if tensor.numel() > len(shown) else "")
