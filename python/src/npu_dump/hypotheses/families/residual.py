"""The sum of a layer: another factor, a part left out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from ..change import Change, Proposal, gain, single
from ..subject import Subject

_PARTS = {"stream": "what the layer read", "attn": "what attention handed over", "mlp": "what the MLP handed over"}


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about the residual sum of one layer."""
    if subject.layer is None or subject.role != "layers":
        return
    skipped = Change(inputs=partial(_scaled, 0.0))
    yield single("residual/blocks", "cause/skipped", skipped, "neither attention nor MLP is in the sum")
    for part, words in _PARTS.items():
        change = Change(inputs=lambda role, tensor, part=part: _without(part, role, tensor))
        yield single(f"residual/{part}", "cause/skipped", change, f"{words} is not in the sum")
    words = "blocks in the residual sum"
    yield gain("residual-factor", "cause/scale", words, lambda by: Change(inputs=partial(_scaled, by)))


def _scaled(by: float, role: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor if role == "stream" else tensor * by


def _without(part: str, role: str, tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if part == role else tensor
