"""Memory that a model takes, as the process that holds it knows it."""

from __future__ import annotations

import torch

from .. import devices
from .engine import Resources


def weights_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of all parameters and buffers; what is tied counts once."""
    held = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in held.values())


def peaks(device: torch.device) -> Resources:
    """Return the peak of memory since the process began: of the device's allocator, else of the process."""
    allocated, reserved = devices.peak_memory(device), devices.peak_reserved(device)
    metrics: dict[str, float] = {}
    absent: dict[str, str] = {}
    if allocated is None:
        absent["peak_memory_bytes"] = "this system does not tell the memory of a process"
    else:
        metrics["peak_memory_bytes"] = float(allocated)
    if reserved is None:
        absent["peak_reserved_bytes"] = f"{device.type} has no allocator that counts"
    else:
        metrics["peak_reserved_bytes"] = float(reserved)
    return Resources(metrics, absent)
