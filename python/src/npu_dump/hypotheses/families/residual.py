"""The sum of a layer: another factor, a part left out."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..change import Change, Hypothesis, Proposal, factor, single
from ..subject import Subject

_PARTS = {"stream": "what the layer read", "attn": "what attention handed over", "mlp": "what the MLP handed over"}


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about the residual sum of one layer."""
    if subject.layer is None or subject.role != "layers":
        return
    yield Hypothesis(
        "residual-factor",
        "cause/scale",
        lambda at: Change(inputs=lambda role, tensor: tensor if role == "stream" else tensor * (1 + at)),
        lambda at: 1 + at,
        lambda at: factor("blocks in the residual sum", 1 + at),
        (0.02,),
        "size",
        (-0.7, 100.0),
    )
    skipped = Change(inputs=lambda role, tensor: tensor if role == "stream" else torch.zeros_like(tensor))
    yield single("residual/blocks", "cause/skipped", skipped, "neither attention nor MLP is in the sum")
    for part, words in _PARTS.items():
        change = Change(inputs=lambda role, tensor, part=part: _without(part, role, tensor))
        yield single(f"residual/{part}", "cause/skipped", change, f"{words} is not in the sum")


def _without(part: str, role: str, tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if part == role else tensor
