"""Rotary embedding: its base, layout and width, a scaling left out, queries at other positions than keys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from ...module_tree import text_config
from ...weights.rope import implied_theta, ropes
from ..attention import AttentionCall
from ..change import Absent, Arguments, Change, Hypothesis, Proposal, single
from ..subject import Subject, close_to

_BASES = (1e4, 5e5, 1e6)
_IDENTITIES = (("rotary-base", "cause/rotary-base"), ("rotary-layout", "cause/rotary-layout"))
Layout = Literal["halves", "pairs"]


@dataclass(frozen=True)
class Rotary:
    """A rotation of the channels of queries and keys by the position of their token.

    Attributes:
        frequencies: angle a position of each pair of channels, ``[R/2]`` float64.
        scaling: factor of sine and cosine.
        start: first of the R channels that are rotated.
        layout: a pair is two neighbours, or a channel and the one R/2 after it.
    """

    frequencies: torch.Tensor
    scaling: float
    start: int
    layout: Layout

    @property
    def width(self) -> int:
        """R, how many channels are rotated."""
        return 2 * len(self.frequencies)

    def of(self, plain: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return ``[1, heads, T, D]`` rotated; angles are float64."""
        angles = positions.double()[:, None] * self.frequencies
        cos = (angles.cos() * self.scaling).to(plain.dtype)
        sin = (angles.sin() * self.scaling).to(plain.dtype)
        end = self.start + self.width
        turned = plain[..., self.start : end]
        if self.layout == "halves":
            first, second = turned.chunk(2, dim=-1)
            turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
        else:
            first, second = turned[..., ::2], turned[..., 1::2]
            pairs = (first * cos - second * sin, second * cos + first * sin)
            turned = torch.stack(pairs, dim=-1).flatten(-2)
        return torch.cat([plain[..., : self.start], turned, plain[..., end:]], dim=-1)


def propose(subject: Subject) -> Iterator[Proposal]:
    """Yield what is about the rotary embedding of one attention module."""
    if subject.role != "attn":
        return
    own = _own(subject)
    if own is None:
        for identity, cause in (*_IDENTITIES, ("position", "cause/position")):
            yield Absent(identity, cause, "its queries and keys are not rotated by what the layer is given")
        return
    yield from _bases(subject, own)
    yield Hypothesis(
        "position",
        "cause/position",
        lambda at: _changed(own, queries_by=int(at)),
        lambda at: at,
        lambda at: f"queries at positions {at:+.0f} against the keys",
        (-1.0, 1.0),
    )
    yield from _layouts(subject, own)


def _bases(subject: Subject, own: Rotary) -> Iterator[Proposal]:
    base = _base(subject, own)
    if base is None:
        yield Absent(*_IDENTITIES[0], "the base of its rotary embedding is not known")
        return
    count = len(own.frequencies)
    steps = torch.arange(count, dtype=torch.float64, device=own.frequencies.device) / count
    logs = {math.log(0.9), math.log(10), -math.log(10), *(math.log(other / base) for other in _BASES)}
    yield Hypothesis(
        *_IDENTITIES[0],
        lambda at: _changed(replace(own, frequencies=own.frequencies * torch.exp(-at * steps))),
        lambda at: base * math.exp(at),
        lambda at: f"rotary base {base * math.exp(at):.5g} instead of {base:.5g}",
        tuple(sorted(log for log in logs if abs(log) > 1e-6)),
        "size",
        (-math.log(1e4), math.log(1e4)),
    )
    plain = base**-steps
    if own.scaling == 1 and torch.allclose(plain, own.frequencies, rtol=1e-4):
        yield Absent("rotary-scaling", "cause/rotary-base", "its rotary embedding has no scaling")
    else:
        change = _changed(replace(own, frequencies=plain, scaling=1.0))
        yield single("rotary-scaling", "cause/rotary-base", change, "scaling of the rotary embedding left out")


def _layouts(subject: Subject, own: Rotary) -> Iterator[Proposal]:
    other: Layout = "pairs" if own.layout == "halves" else "halves"
    identity, cause = _IDENTITIES[1]
    yield single(identity, cause, _changed(replace(own, layout=other)), f"rotary layout in {other}")
    still = replace(own, frequencies=torch.zeros_like(own.frequencies))
    yield single(f"{identity}/none", cause, _changed(still), "no rotary embedding")
    backwards = replace(own, frequencies=-own.frequencies)
    yield single(f"{identity}/backwards", cause, _changed(backwards), "rotary embedding turns the other way")
    base, call = _base(subject, own), subject.attention
    if base is None or call is None:
        return
    channels = call.query.shape[-1] if own.start == 0 else own.width
    widths = {own.width // 2, own.width // 4, channels} - {own.width}
    yield Hypothesis(
        f"{identity}/width",
        cause,
        lambda at: _changed(replace(own, frequencies=_plain(base, int(at), own))),
        lambda at: at,
        lambda at: f"rotary embedding on {at:.0f} of {channels} channels",
        tuple(float(width) for width in sorted(widths) if width and width % 2 == 0),
    )


def _plain(base: float, width: int, like: Rotary) -> torch.Tensor:
    steps = torch.arange(width // 2, dtype=torch.float64, device=like.frequencies.device)
    return base ** -(steps / (width // 2))


def _changed(other: Rotary, queries_by: int = 0) -> Change:
    """Return the change to a rotation, of queries at positions so many further."""

    def turn(call: AttentionCall) -> AttentionCall:
        positions = call.positions
        return replace(call, query=other.of(call.query, positions + queries_by), key=other.of(call.key, positions))

    return Change(arguments=_unrotated, attention=turn)


def _unrotated(arguments: Arguments) -> Arguments:
    """Return the layer's arguments with a rotation by nothing."""
    args, kwargs = arguments
    cos, sin = kwargs["position_embeddings"]
    return args, kwargs | {"position_embeddings": (torch.ones_like(cos), torch.zeros_like(sin))}


def _own(subject: Subject) -> Rotary | None:
    """Return the rotation that the layer's arguments describe, if it gives the module's answer."""
    if subject.attention is None:
        return None
    longest = max(range(len(subject.samples)), key=lambda number: subject.lengths[number])
    given = subject.arguments[longest][1].get("position_embeddings")
    if not isinstance(given, (tuple, list)) or len(given) != 2 or not all(map(torch.is_tensor, given)):
        return None
    cos, sin = (tensor.reshape(-1, *tensor.shape[-2:])[0].double() for tensor in given)
    positions = subject.samples[longest].positions
    if cos.shape != sin.shape or len(cos) != len(positions) or len(cos) < 2:
        return None
    for layout in ("halves", "pairs"):
        frequencies, scaling = _frequencies(cos, sin, positions, layout)
        width = 2 * len(frequencies)
        for start in {0, subject.attention.query.shape[-1] - width}:
            own = Rotary(_exact(subject, frequencies), scaling, start, layout)
            if start >= 0 and close_to(subject.answer(_changed(own)), subject.expected):
                return own
    return None


def _frequencies(
    cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor, layout: Layout
) -> tuple[torch.Tensor, float]:
    """Return the angle a position of each pair of channels, and the factor of cosine and sine."""
    width = cos.shape[-1]
    if width % 2 == 0 and layout == "halves" and torch.equal(cos[:, : width // 2], cos[:, width // 2 :]):
        cos, sin = cos[:, : width // 2], sin[:, : width // 2]
    elif width % 2 == 0 and layout == "pairs" and torch.equal(cos[:, ::2], cos[:, 1::2]):
        cos, sin = cos[:, ::2], sin[:, ::2]
    # Between two neighbours the angle grows by one frequency, at most 1 radian.
    step = int((positions[1:] - positions[:-1] == 1).int().argmax())
    first, second = torch.complex(cos[step], sin[step]), torch.complex(cos[step + 1], sin[step + 1])
    return torch.angle(second * first.conj()), float(first.abs().mean())


def _exact(subject: Subject, frequencies: torch.Tensor) -> torch.Tensor:
    """Return the model's own frequencies where one of its buffers holds them: angles lose digits."""
    for name, buffer in subject.model.named_buffers():
        if name.endswith("inv_freq") and buffer.shape == frequencies.shape:
            held: Any = buffer.double()
            if torch.allclose(held, frequencies, rtol=1e-3, atol=1e-6):
                return held
    return frequencies


def _base(subject: Subject, own: Rotary) -> float | None:
    """Return the base of plain frequencies; of scaled ones the configuration's, where it has only one."""
    implied = implied_theta(own.frequencies)
    if implied is not None and torch.allclose(_plain(implied, own.width, own), own.frequencies, rtol=1e-3):
        return float(f"{implied:.5g}")
    config = text_config(subject.model)
    told = {rope.theta for rope in ropes(config.to_dict())} if config is not None else set()
    return told.pop() if len(told) == 1 else None
