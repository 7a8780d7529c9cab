"""Tensors that only one side has: missing in the checkpoint, or unused by the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import DumpError
from .checkpoint import Checkpoint
from .config_file import number, read_text_config
from .constants import Constants
from .findings import Findings, Level, dtype_name, form
from .heads import Head, judge_absent_head, shares
from .layout import Layout

_SPECULATIVE = re.compile(r"(^|\.)(mtp|nextn|eagle|medusa)", re.IGNORECASE)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d{1,6})\.")


def missing(
    layout: Layout,
    state: Mapping[str, torch.Tensor],
    checkpoint: Checkpoint,
    head: Head,
    constants: Constants,
    findings: Findings,
) -> None:
    """Report what the model has and the checkpoint has not."""
    targets = layout.targets
    held = [state[name] for name in targets]
    for name, tensor in state.items():
        if name in targets or name in constants.right or any(shares(tensor, other) for other in held):
            continue
        if name == head.head:
            judge_absent_head(head, state, findings)
            continue
        lost = checkpoint.lost.get(name) or (
            f"no tensor of that name; {len(checkpoint.lost)} tensors cannot be read" if checkpoint.lost else None
        )
        findings.add(
            "weights/missing",
            "error",
            [name],
            "is not in the checkpoint, and holds what it was initialised with",
            ("model", form(tensor.dtype, tensor.shape)),
            ("checkpoint", lost or "no tensor of that name"),
        )


def unused(
    layout: Layout,
    state: Mapping[str, torch.Tensor],
    checkpoint: Checkpoint,
    model: Any,
    findings: Findings,
) -> None:
    """Report what the checkpoint has and the model has not."""
    owners = {name.rpartition(".")[0] for name in state}
    layers = number(read_text_config(checkpoint.folder).get("num_hidden_layers"))
    patterns: list[str] = list(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ())
    for name, renamed in layout.unused.items():
        level, reason = _judge(renamed, owners, layers, patterns)
        findings.add(
            "weights/unused",
            level,
            [name],
            "is not used by the model",
            ("checkpoint", _dtype(checkpoint, name)),
            ("model", reason),
        )


def _judge(name: str, owners: set[str], layers: float | None, patterns: list[str]) -> tuple[Level, str]:
    """Return how grave it is that a tensor is unused, and what the model has in its place."""
    if _SPECULATIVE.search(name):
        return "info", "no part for speculative decoding"
    if any(re.search(pattern, name) for pattern in patterns):
        return "info", "its class says that it is not needed"
    layer = _LAYER.search(name)
    if layer and layers is not None and int(layer[1]) >= layers:
        return "info", "no such layer, in config.json neither"
    owner, _, leaf = name.rpartition(".")
    if owner in owners:
        return "error", f"the module, but no {leaf} in it"
    if layer and layers is not None:
        return "error", "no such module in a layer that config.json counts"
    return "warning", "no such module"


def _dtype(checkpoint: Checkpoint, name: str) -> str:
    try:
        return f"in {dtype_name(checkpoint.read(name).dtype)}"
    except DumpError as error:
        return error.facts[-1][1]
