"""The logits: another table, the soft cap left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ...modes import LOGITS
from ...module_tree import text_config
from ..change import Absent, Change, Proposal, attributes, single, weights
from ..subject import Subject

_CAP = "final_logit_softcapping"


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about the way from the final norm to the logits."""
    if subject.role != LOGITS:
        return
    model: Any = subject.model
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if isinstance(head, torch.Tensor) and head is not table and head.shape == table.shape:
        change = Change(patch=lambda: weights((head, table)))
        yield single("head/embedding", "cause/layer-weights", change, "the head has the embedding's table")
    configs = {id(config): config for config in (model.config, text_config(model)) if getattr(config, _CAP, None)}
    if configs:
        change = Change(patch=lambda: attributes(*((config, _CAP, None) for config in configs.values())))
        yield single("soft-cap", "cause/soft-cap", change, "soft cap of the logits left out")
    else:
        yield Absent("soft-cap", "cause/soft-cap", "the logits have no soft cap")
