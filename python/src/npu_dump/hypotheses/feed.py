"""What a dump says was fed, and how a model is run only as far as it is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import DumpError
from ..inputs import Request, check_samples
from ..models import accepted_arguments
from ..modes import LOGITS
from ..module_tree import Decoder, find_decoder, head_path, text_config
from ..points import Point, in_turns, router_points
from ..probe import probe
from ..reader import DumpFile
from ..replay import Replay
from ..router import expert_count
from ..samples import Row, Step
from ..tokens import Sample, samples_of_dump


class Stop(Exception):  # noqa: N818 - not an error: the rest of a forward is not needed
    """Ends a forward where what was wanted is there."""


@dataclass(frozen=True)
class Anatomy:
    """A model, and where its modules are.

    Attributes:
        model: a transformers decoder.
        decoder: its layers.
        points: places of the residual stream by their names in a dump.
        routers: places of router logits.
        head: module path of the language model head, or None.
        facts: how blocks are added up, as in the metadata of a dump.
    """

    model: Any
    decoder: Decoder
    points: dict[str, Point]
    routers: dict[str, Point]
    head: str | None
    facts: dict[str, Any]

    @property
    def last_layer(self) -> str:
        """Name of the output of the last layer."""
        return f"layers.{len(self.decoder.layers) - 1}"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the model."""
        return next(self.model.parameters()).dtype

    def width(self, name: str) -> int:
        """Return how many columns a tensor of that name must have."""
        if name in self.routers:
            return expert_count(self.model)
        if name == LOGITS:
            head: Any = self.model.get_output_embeddings()
            return int(head.weight.shape[0])
        return self.decoder.hidden_size


def anatomy_of(model: nn.Module) -> Anatomy:
    """Look where the modules of a model are, with four tokens.

    Raises:
        DumpError: it is no decoder of transformers, or cannot run four tokens.
    """
    decoder = find_decoder(model)
    if decoder is None:
        raise DumpError(
            "probe-decoder",
            "only a decoder of transformers can be probed",
            facts=[("model", type(model).__name__), ("found", "no list of decoder layers")],
            help="give the model that the dump was made from",
        )
    found = probe(model, decoder)
    points = {point.name: point for point in in_turns(found.points, decoder)}
    routers = {point.name: point for point in router_points(decoder, expert_count(model))}
    facts = {"residual": found.residual, "residual_scale": found.residual_scale}
    return Anatomy(model, decoder, points, routers, head_path(model), facts)


@dataclass
class Fed:
    """One sample: its prompt and its decode steps as one sequence, cut to ``length`` tokens.

    With the dump's stream at the input of every block the two are the same: a token sees what came before it.
    """

    anatomy: Anatomy
    replay: Replay
    source: DumpFile
    number: int
    sample: Sample
    length: int
    _rows: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def positions(self) -> torch.Tensor:
        """Positions of the tokens, ``[T]``."""
        calls = (self.sample.prefill, *self.sample.steps)
        positions = [position for call in calls for position in call.positions]
        return torch.tensor(positions[: self.length], device=self.anatomy.device)

    @property
    def ids(self) -> torch.Tensor:
        """Token ids, ``[T]``."""
        calls = (self.sample.prefill, *self.sample.steps)
        ids = [token for call in calls for token in call.ids]
        return torch.tensor(ids[: self.length], device=self.anatomy.device)

    @property
    def inputs(self) -> dict[str, Any]:
        """What the model is called with."""
        ids, accepted = self.ids, accepted_arguments(self.anatomy.model)
        inputs: dict[str, Any] = {"input_ids": ids[None], "use_cache": False}
        if not self.sample.natural:
            inputs |= {"attention_mask": torch.ones_like(ids)[None], "position_ids": self.positions[None]}
        return {name: value for name, value in inputs.items() if name in accepted}

    def holds(self, name: str) -> bool:
        """Return whether the dump has the whole tensor at every step."""
        steps = range(len(self.sample.steps) + 1)
        return all(self.source.encoding((name, self.number, step)) == "dense" for step in steps)

    def rows(self, name: str) -> torch.Tensor:
        """Return the dump's tensor over all steps, ``[1, T, W]`` in the model's precision and residual scale."""
        if name not in self._rows:
            parts: list[torch.Tensor] = []
            calls = (self.sample.prefill, *self.sample.steps)
            for number, call in enumerate(calls):
                parts.append(self._step(name, number, len(call.ids)))
            self._rows[name] = torch.cat(parts, dim=1)[:, : self.length].to(self.anatomy.device)
        return self._rows[name]

    def _step(self, name: str, number: int, count: int) -> torch.Tensor:
        row = Row(self.number, number, 0, slice(0, count), count)
        empty = torch.empty((1, count, self.anatomy.width(name)), dtype=self.anatomy.dtype)
        filled = self.replay.fill(name, Step(shape=(1, count), rows=[row]), empty)
        return empty if filled is None else filled


def fed_samples(anatomy: Anatomy, source: DumpFile, tokens: int) -> list[Fed]:
    """Return the longest samples of a dump, at most so many tokens together, at least one sample.

    Raises:
        DumpError: the dump cannot be replayed on the model.
    """
    replay = Replay(source)
    replay.check({name: point.path for name, point in anatomy.points.items()}, anatomy.facts)
    samples = samples_of_dump(Path(source.path), steps=None)
    check_samples(samples, text_config(anatomy.model), Request(model="", output=Path()))
    taken: list[Fed] = []
    for number in sorted(range(len(samples)), key=lambda number: -samples[number].length):
        length = min(samples[number].length, tokens - sum(fed.length for fed in taken))
        if length > 0:
            taken.append(Fed(anatomy, replay, source, number, samples[number], length))
    return sorted(taken, key=lambda fed: fed.number)


@torch.no_grad()
def recorded(anatomy: Anatomy, fed: Fed, *, layer: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Run the model as far as a layer and return what that is called with."""
    point = anatomy.points[f"layers.{layer}"]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((tuple(map(_uncached, args)), {name: _uncached(value) for name, value in kwargs.items()}))
        if len(calls) > point.turn:
            raise Stop

    handle = point.module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        anatomy.model(**fed.inputs)
    except Stop:
        pass
    finally:
        handle.remove()
    return calls[point.turn]


def _uncached(argument: Any) -> Any:
    """Return an argument without a cache, which would grow with every run of the layer."""
    return None if hasattr(argument, "get_seq_length") else argument
