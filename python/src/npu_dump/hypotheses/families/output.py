"""The answer as a whole: scaled, its tokens shifted, its channels rolled."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..change import Change, Hypothesis, Proposal, gain, single
from ..subject import Subject

_SHIFTS = (-2.0, -1.0, 1.0, 2.0)


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what needs nothing but the answer."""
    negated = Change(output=torch.neg)
    yield single("output-sign", "cause/sign", negated, "the answer negated")
    yield single("output-zero", "cause/skipped", Change(output=torch.zeros_like), "the answer is zero")
    yield gain("output-gain", "cause/scale", "output", lambda by: Change(output=lambda rows: rows * by))
    yield Hypothesis(
        "row-shift",
        "cause/shift",
        lambda at: Change(output=lambda rows: _shifted(rows, int(at))),
        lambda at: at,
        lambda at: f"rows of the answer moved by {at:+.0f} tokens",
        _SHIFTS,
    )
    yield Hypothesis(
        "channel-roll",
        "cause/permutation",
        lambda at: Change(output=lambda rows: rows.roll(int(at), dims=-1)),
        lambda at: at,
        lambda at: f"channels of the answer rolled by {at:.0f}",
        (float(_best_roll(subject.given, subject.expected)),),
    )


def _shifted(rows: torch.Tensor, by: int) -> torch.Tensor:
    """Return the rows moved down by so many tokens; the first, or the last, stay."""
    places = torch.arange(len(rows), device=rows.device) - by
    return rows[places.where((places >= 0) & (places < len(rows)), torch.arange(len(rows), device=rows.device))]


def _best_roll(given: torch.Tensor, expected: torch.Tensor) -> int:
    """Return by how many channels, at least 1, what was expected must be rolled to be most like what was given."""
    total = torch.zeros(given.shape[-1], dtype=torch.float64, device=given.device)
    for x, r in zip(given.split(256), expected.split(256), strict=True):
        product = torch.fft.rfft(x.double()) * torch.fft.rfft(r.double()).conj()
        like = torch.fft.irfft(product, n=x.shape[-1]) / r.double().square().sum(dim=-1, keepdim=True)
        total += like.nan_to_num(0.0, 0.0, 0.0).sum(dim=0)
    return int(total[1:].argmax()) + 1 if len(total) > 1 else 0
