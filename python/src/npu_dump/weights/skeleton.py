"""A model made anew from config.json, without its weights, to compare constants and buffers with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook


def build(model: nn.Module, folder: Path) -> nn.Module | None:
    """Return a model of the same class as config.json describes it; None for a module that is not transformers'.

    Its parameters have no memory, its buffers do, in float32. No random numbers are drawn from the global generator.

    Raises:
        Exception: whatever the model's class raises.
    """
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        return None
    config = type(model.config).from_pretrained(folder, attn_implementation="eager")
    maker: Any = type(model)
    with _parameters_without_memory(), _float32(), torch.random.fork_rng(devices=[]):
        return maker(config).eval()


@contextmanager
def _parameters_without_memory() -> Iterator[None]:
    def move(_module: nn.Module, _name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if parameter.is_meta:
            return None
        return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    hook: Any = move  # torch's stubs say that it returns nothing
    handle = register_module_parameter_registration_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _float32() -> Iterator[None]:
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(kept)
