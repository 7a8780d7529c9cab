"""Models loaded as people load them, and ways to spoil them, for the tests of `check_weights`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from npu_dump import WeightFinding, models

from .conftest import build


def load(folder: Path, dtype: torch.dtype | None = None) -> Any:
    """A model as `npu-dump weights` loads it; without a dtype, as the checkpoint has it."""
    source = models.locate(str(folder), trust_remote_code=True, allow_download=False)
    device = torch.device("cpu")
    return models.load_model(source, device=device, dtype=dtype, attention=None, note=lambda _: None, refuse=False)


def stored(architecture: str) -> list[str]:
    """Names of all tensors of an untied architecture."""
    return list(build(architecture).state_dict())


def by_name(found: Iterable[WeightFinding]) -> list[tuple[str, str, str]]:
    return sorted((finding.rule, finding.level, name) for finding in found for name in finding.names)


def edit(folder: Path, **changes: Any) -> None:
    """Rewrite the checkpoint: a value of None drops a tensor, a function makes it anew."""
    tensors = load_file(folder / "model.safetensors")
    for name, change in changes.items():
        if change is None:
            del tensors[name]
        else:
            tensors[name] = change(tensors.get(name))
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")


def weight(model: Any, name: str) -> nn.Parameter:
    return model.get_parameter(name)


def put(model: Any, name: str, value: torch.Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(value.clone(), requires_grad=False))


def swap(model: Any, first: str, second: str) -> None:
    one, other = weight(model, first).detach().clone(), weight(model, second).detach().clone()
    put(model, first, other)
    put(model, second, one)


def copy_values(change: Callable[[torch.Tensor], torch.Tensor], name: str) -> Callable[[Any, Path], None]:
    def inject(model: Any, _folder: Path) -> None:
        put(model, name, change(weight(model, name).detach()))

    return inject


def set_element(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        changed = tensor.clone()
        changed.view(-1)[5] = value
        return changed

    return change
