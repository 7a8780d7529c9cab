"""The hypotheses that are tested, one file a family."""

from __future__ import annotations

from collections.abc import Iterator

from ..change import Proposal
from ..subject import Subject
from . import embedding, feedforward, head, layer_weights, mask, norm, output, residual, rotary, router, scores

_FAMILIES = (
    scores,
    rotary,
    mask,
    norm,
    layer_weights,
    feedforward,
    router,
    residual,
    embedding,
    head,
    output,
)


def proposals(subject: Subject) -> Iterator[Proposal]:
    """Yield every hypothesis about a module, and those that its model has no place for."""
    for family in _FAMILIES:
        yield from family.propose(subject)
