"""How an engine runs a decoder: where its parts are, what they are handed and return, whose tokens the rows are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from .errors import DumpError
from .module_tree import (
    Decoder,
    first_tensor,
    head_path,
    stream_input,
    with_first_tensor,
    with_stream_input,
)
from .points import Point, router_points
from .probe import Anatomy, probe
from .router import RouterTap, expert_count
from .samples import Row, SampleTracker, Step

# Called with what a point shows; returns what the model goes on with, None: with that.
Take = Callable[[torch.Tensor | None], torch.Tensor | None]
Remove = Callable[[], None]


class Engine(Protocol):
    """One engine's decoder, as a capture sees it.

    Attributes:
        model: the module whose calls are the forward passes.
        decoder: its decoder.
        head: module path of the language model head, or None.
        has_positions: whether the model knows positions.
    """

    model: nn.Module
    decoder: Decoder
    head: str | None
    has_positions: bool

    @property
    def samples(self) -> int:
        """How many samples were started so far."""
        ...

    def anatomy(self) -> Anatomy:
        """Find where the tensors of the residual stream are."""
        ...

    def routers(self) -> list[Point]:
        """Return where router logits are."""
        ...

    def hooks(self) -> list[Remove]:
        """Place what the engine itself must see of a forward, and return how to take it away."""
        ...

    def watch(self, point: Point, take: Take) -> Remove:
        """Show ``take`` what a point holds in each call, and put what it returns in its place."""
        ...

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step | None:
        """Return what a forward with these arguments is; None for one that nobody asked for, such as a warm-up."""
        ...

    def positions(self, step: Step) -> torch.Tensor:
        """Return the positions ``[B, T]`` of a forward, on the CPU, after it has run."""
        ...

    def logits(self, output: Any, step: Step) -> Callable[[Row], torch.Tensor]:
        """Return what gives the logits ``[T, V]`` of each sample from what the model returned."""
        ...

    def end(self, output: Any) -> None:
        """End the forward that gave this output."""
        ...


class TransformersEngine:
    """A decoder of transformers, called by whoever likes."""

    def __init__(self, model: nn.Module, decoder: Decoder) -> None:
        self.model = model
        self.decoder = decoder
        self.head = head_path(model)
        self._tracker = SampleTracker(model)
        self.has_positions = self._tracker.has_positions
        self._positions: torch.Tensor | None = None

    @property
    def samples(self) -> int:  # noqa: D102 - see Engine
        return self._tracker.count

    def anatomy(self) -> Anatomy:  # noqa: D102
        return probe(self.model, self.decoder)

    def routers(self) -> list[Point]:  # noqa: D102
        return router_points(self.decoder, expert_count(self.model))

    def hooks(self) -> list[Remove]:  # noqa: D102
        first = self.decoder.layers[0][1]
        return [first.register_forward_pre_hook(self._note_positions, with_kwargs=True).remove]

    def _note_positions(self, _layer: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remember the positions that layer 0 is told: they are in force also where the model counts by itself."""
        positions = kwargs.get("position_ids")
        if positions is not None and positions.ndim == 3 and bool((positions == positions[0]).all()):
            # Models of images tell time, height and width ([3, B, T]); of text all three are the position.
            positions = positions[0]
        if positions is not None:
            self._positions = positions

    def watch(self, point: Point, take: Take) -> Remove:  # noqa: D102
        if point.kind == "router":
            return RouterTap(point.module, expert_count(self.model), take).remove
        if point.input:

            def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                instead = take(stream_input(args, kwargs))
                return None if instead is None else with_stream_input(args, kwargs, instead)

            return point.module.register_forward_pre_hook(before, with_kwargs=True).remove

        def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
            instead = take(first_tensor(output))
            return None if instead is None else with_first_tensor(output, instead)

        return point.module.register_forward_hook(after).remove

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Step:  # noqa: D102
        step = self._tracker.begin(args, kwargs)
        self._positions = step.position_ids
        return step

    def positions(self, step: Step) -> torch.Tensor:  # noqa: D102
        batch, length = step.shape
        positions = self._positions
        if positions is None or positions.ndim != 2 or positions.shape[-1] != length:
            positions = torch.arange(step.past, step.past + length)[None]
        return positions.to("cpu", torch.int64).expand(batch, length)

    def logits(self, output: Any, step: Step) -> Callable[[Row], torch.Tensor]:  # noqa: D102
        logits = getattr(output, "logits", None)
        if logits is None and isinstance(output, tuple):
            # Before them there may be a loss, which is a scalar.
            logits = next((item for item in output if isinstance(item, torch.Tensor) and item.ndim == 3), None)
        if logits is None or logits.shape[1] != step.shape[1]:
            raise DumpError(
                "logits-cut",
                "the model did not return logits for every token",
                facts=[
                    ("tokens fed", step.shape[1]),
                    ("logits for", "none" if logits is None else f"{logits.shape[1]} of them"),
                ],
                help="pass logits_to_keep=0, or select tensors without logits",
            )
        rows = logits.detach()
        return lambda row: rows[row.batch, row.tokens]

    def end(self, output: Any) -> None:  # noqa: D102
        self._tracker.end(output)
