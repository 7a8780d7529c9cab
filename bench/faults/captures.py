"""Dumps of a case, made in this process: reference and floors once for many candidates, then each candidate's own."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from npu_dump import Dump
from npu_dump.feed import Feeder
from npu_dump.precision import float64_throughout
from npu_dump.tokens import Sample

from .models import REFERENCE, ModelSpec
from .texts import Text


@dataclass(frozen=True)
class Feed:
    """How samples are fed.

    Attributes:
        samples: the samples.
        together: whether in one batch.
        padding: where a batch is padded.
    """

    samples: tuple[Sample, ...]
    together: bool
    padding: Literal["left", "right"] = "right"


def capture(
    model: Any,
    path: Path,
    feed: Feed,
    *,
    replay: Path | None = None,
    fault: AbstractContextManager[Any] | None = None,
) -> Path:
    """Write a dump of a model that is fed these samples, or, with ``replay``, the residual stream of that dump.

    With ``fault`` the model has a fault while it is fed, but not while it is looked at before: a replay is refused
    where the blocks do not add up as the dump's did, which is what some faults are about.

    Raises:
        DumpError: as `npu_dump.Dump`.
    """
    with float64_throughout(model), Dump(model, path, replay=replay, overwrite=True) as dump, fault or nullcontext():
        feeder = Feeder(dump.model, torch.device("cpu"), feed.padding)
        for batch in [feed.samples] if feed.together else [[sample] for sample in feed.samples]:
            feeder.feed(batch)
    return path


class Pair:
    """The two models of a comparison: the reference's, and the candidate's in its own precision, of the same weights.

    Args:
        spec: the model.
        dtype: precision of the candidate.
    """

    def __init__(self, spec: ModelSpec, dtype: str) -> None:
        self.spec = spec
        self.wide = spec.make(REFERENCE[dtype], checkpoint=dtype)
        self.narrow = spec.make(dtype, checkpoint=dtype)


class Base:
    """What all candidates of one model, precision and text share: reference, floors, and the floors' forced ones.

    Args:
        pair: the models.
        text: what is fed.
        folder: where the dumps go.
    """

    def __init__(self, pair: Pair, text: Text, folder: Path) -> None:
        self.pair = pair
        self.text = text
        self.folder = folder
        samples = tuple(text.samples(pair.spec.ids))
        # Prompts of one length need no padding: together they are one forward, which costs less.
        self.feed = Feed(samples, together=text.even)
        self.reference = capture(pair.wide, folder / "reference.arrow", self.feed)
        self.floors = [self._floor(number, name) for number, name in enumerate(pair.spec.attentions, 1)]
        self.forced_floors = [self.forced(floor) for floor in self.floors]

    def _floor(self, number: int, attention: str) -> Path:
        model = self.pair.narrow
        model.set_attn_implementation(attention)
        try:
            return capture(model, self.folder / f"floor.{number}.arrow", self.feed)
        finally:
            model.set_attn_implementation(self.pair.spec.attentions[0])

    def forced(self, dump: Path, name: str = "forced", fault: AbstractContextManager[Any] | None = None) -> Path:
        """Write what the reference's model, with a fault where one is given, answers to a dump's residual stream."""
        return capture(self.pair.wide, dump.with_name(f"{name}.{dump.name}"), self.feed, replay=dump, fault=fault)
