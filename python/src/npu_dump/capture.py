"""What is taken from a forward pass: of a decoder its canonical tensors, of other modules what their parts return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from .contract import Kind
from .errors import DumpError
from .module_tree import Decoder, first_tensor, head_path
from .probe import Point, probe
from .samples import SampleTracker, Step
from .select import Selection


@dataclass(frozen=True)
class Piece:
    """One tensor of one sample, still where the model left it: a view, valid only inside the hook."""

    name: str
    tensor: torch.Tensor
    sample: int
    step: int = 0
    kind: Kind | None = None
    layer: int | None = None
    module: str | None = None


class Capture(Protocol):
    """How one sort of model is captured.

    Attributes:
        points: where hooks go, in the order of a forward.
        globs: the selection, for the metadata.
        facts: what was found out about the model, for the metadata.
    """

    points: list[Point]
    globs: list[str]
    facts: dict[str, Any]

    @property
    def samples(self) -> int:
        """How many samples were started so far."""
        ...

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Piece]:
        """Start a forward with these arguments."""
        ...

    def take(self, point: Point, tensor: torch.Tensor) -> Iterator[Piece]:
        """Cut what a point shows into samples."""
        ...

    def end(self, output: Any) -> Iterator[Piece]:
        """End the forward that gave this output."""
        ...


class DecoderCapture:
    """Captures a transformers decoder under canonical names, sample by sample, without padding.

    Raises:
        DumpError: the model cannot run the probe, or ``select`` matches nothing.
    """

    def __init__(self, model: nn.Module, decoder: Decoder, select: str | Sequence[str] | None) -> None:
        anatomy = probe(model, decoder)
        self.facts = {"residual": anatomy.residual, "residual_scale": anatomy.residual_scale}
        self._head = head_path(model)
        modules = _submodules(model)
        names = [point.name for point in anatomy.points] + (["logits"] if self._head else [])
        wanted = Selection(select, names, modules)
        self.globs = wanted.globs
        self.points = [point for point in anatomy.points if point.name in wanted.canonical]
        self.points += [Point(path, path, modules[path], kind="other") for path in modules if path in wanted.paths]
        self._want_logits = "logits" in wanted.canonical
        self._tracker = SampleTracker(model)
        self._step: Step | None = None
        self._positions: torch.Tensor | None = None

    @property
    def samples(self) -> int:  # noqa: D102 - see Capture
        return self._tracker.count

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Piece]:  # noqa: D102
        step = self._step = self._tracker.begin(args, kwargs)
        self._positions = step.position_ids
        if step.input_ids is not None:
            yield from self._pieces(step, step.input_ids, Piece("input_ids", step.input_ids, 0))

    def note_positions(self, positions: torch.Tensor | None) -> None:
        """Remember the positions that layer 0 is told: they are in force also where the model counts by itself."""
        if positions is not None:
            self._positions = positions

    def take(self, point: Point, tensor: torch.Tensor) -> Iterator[Piece]:  # noqa: D102
        step = self._step
        if step is None:
            return
        name = step.numbered(point.name)
        yield from self._pieces(step, tensor, Piece(name, tensor, 0, 0, point.kind, point.layer, point.path))

    def end(self, output: Any) -> Iterator[Piece]:  # noqa: D102
        step, self._step = self._step, None
        if step is None:
            return
        self._tracker.end(output)
        yield from self._position_pieces(step)
        if self._want_logits:
            logits = _logits(output, step)
            yield from self._pieces(step, logits, Piece("logits", logits, 0, module=self._head))

    def _pieces(self, step: Step, tensor: torch.Tensor, like: Piece) -> Iterator[Piece]:
        batch, length = step.shape
        if tensor.shape[:2] != (batch, length):
            # Some modules, such as routers, see batch and tokens as one axis.
            if not tensor.ndim or tensor.shape[0] != batch * length:
                raise DumpError(
                    "rows-unknown",
                    f"{like.name} has no axes for batch and tokens",
                    facts=[("shape", list(tensor.shape)), ("batch and tokens", [batch, length])],
                    help=f"leave it out: select other tensors than {like.name}",
                )
            tensor = tensor.reshape(batch, length, *tensor.shape[1:])
        for row in step.rows:
            mine = tensor[row.batch, row.tokens]
            yield Piece(like.name, mine, row.sample, step.number, like.kind, like.layer, like.module)

    def _position_pieces(self, step: Step) -> Iterator[Piece]:
        batch, length = step.shape
        positions = self._positions
        if positions is None or positions.ndim != 2 or positions.shape[-1] != length:
            positions = torch.arange(step.past, step.past + length)[None]
        positions = positions.to("cpu", torch.int64).expand(batch, length)
        for row in step.rows:
            mine = positions[row.batch, row.tokens]
            if not torch.equal(mine, torch.arange(row.length)):
                yield Piece("position_ids", mine, row.sample, step.number)


class ModuleCapture:
    """Captures any module: its first tensor argument, and what its submodules return, one sample a forward.

    Raises:
        DumpError: ``select`` matches no submodule.
    """

    def __init__(self, model: nn.Module, select: str | Sequence[str] | None) -> None:
        modules = _submodules(model)
        wanted = Selection(select or "*", [], modules)
        self.globs = wanted.globs
        self.points = [Point(path, path, modules[path], kind="other") for path in modules if path in wanted.paths]
        self.facts: dict[str, Any] = {}
        self._forwards = 0
        self._model = type(model).__name__
        self._step: Step | None = None

    @property
    def samples(self) -> int:  # noqa: D102 - see Capture
        return self._forwards

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Piece]:  # noqa: D102
        fed = first_tensor((args, kwargs))
        if fed is None:
            raise DumpError(
                "input-absent",
                "the module was called without a tensor",
                facts=[("module", self._model)],
                help="call it with at least one tensor argument",
            )
        self._step = Step(number=0)
        self._forwards += 1
        yield Piece("input.0", fed, self._forwards - 1, kind="other")

    def take(self, point: Point, tensor: torch.Tensor) -> Iterator[Piece]:  # noqa: D102
        if self._step is not None:
            yield Piece(self._step.numbered(point.name), tensor, self._forwards - 1, kind="other", module=point.path)

    def end(self, output: Any) -> Iterator[Piece]:  # noqa: ARG002, D102
        self._step = None
        return iter(())


def _submodules(model: nn.Module) -> dict[str, nn.Module]:
    return {path: module for path, module in model.named_modules() if path}


def _logits(output: Any, step: Step) -> torch.Tensor:
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
    return logits
