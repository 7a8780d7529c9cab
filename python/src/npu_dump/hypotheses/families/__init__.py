"""The hypotheses that are tested, one file a family."""

from __future__ import annotations

from collections.abc import Iterator

from ..change import Proposal
from ..subject import Subject
from . import embedding, feedforward, head, layer_weights, mask, norm, output, residual, rotary, router, scores

# Of two that fit alike the first is named: what is said of the answer alone comes before what is said of the inside.
_FAMILIES = (
    output,
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
)


def proposals(subject: Subject) -> Iterator[Proposal]:
    """Yield every hypothesis about a module, and those that its model has no place for."""
    for family in _FAMILIES:
        yield from family.propose(subject)
