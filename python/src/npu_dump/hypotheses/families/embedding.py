"""The embedding: another table, learned positions moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ..change import Absent, Change, Hypothesis, Proposal, single, weights
from ..subject import Subject


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about the input of layer 0."""
    if subject.role != "embed":
        return
    model: Any = subject.model
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    other = getattr(head, "weight", None)
    if isinstance(other, torch.Tensor) and other is not table.weight and other.shape == table.weight.shape:
        change = Change(patch=lambda: weights((table.weight, other)))
        yield single("embedding/head", "cause/layer-weights", change, "the table of the language model head")
    layers = {id(module) for _, layer in subject.anatomy.decoder.layers for module in layer.modules()}
    positions = [
        module
        for module in subject.anatomy.decoder.module.modules()
        if isinstance(module, nn.Embedding) and module is not table and id(module) not in layers
    ]
    if len(positions) != 1:
        yield Absent("position", "cause/position", "it has no table of positions")
        return
    learned = positions[0].weight
    yield Hypothesis(
        "position",
        "cause/position",
        lambda at: Change(patch=lambda: weights((learned, learned.roll(-int(at), dims=0)))),
        lambda at: at,
        lambda at: f"positions {at:+.0f}",
        (-2.0, -1.0, 1.0, 2.0),
    )
