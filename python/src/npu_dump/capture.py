"""What is taken from a forward pass: of a decoder its canonical tensors, of other modules what their parts return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from .contract import Encoding, Kind
from .engine import Engine
from .errors import DumpError
from .modes import LOGITS, REDUCED_LOGITS, Form, Modes
from .module_tree import first_tensor
from .points import Point, in_turns
from .reduce import reduced_logits
from .replay import Replay
from .samples import Row, Step
from .select import Selection, matches


@dataclass(frozen=True)
class Piece:
    """One tensor of one sample, or a part of it, still where the model left it: a view, valid only inside the hook.

    ``start`` and ``whole`` are the first of its tokens and all tokens of the tensor, where this is a part.
    """

    name: str
    tensor: torch.Tensor
    sample: int
    step: int = 0
    start: int = 0
    whole: int | None = None
    kind: Kind | None = None
    layer: int | None = None
    module: str | None = None
    encoding: Encoding = "dense"


class Capture(Protocol):
    """How one sort of model is captured.

    Attributes:
        points: where hooks go, in the order of a forward.
        facts: what was found out about the model, for the metadata.
        plan: what is captured, for the metadata.
    """

    points: list[Point]
    facts: dict[str, Any]
    plan: dict[str, Any]

    @property
    def samples(self) -> int:
        """How many samples were started so far."""
        ...

    def unused(self) -> list[str]:
        """Return the globs of the selection for which no module has shown a tensor yet."""
        ...

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Piece]:
        """Start a forward with these arguments."""
        ...

    def name_of(self, point: Point) -> str | None:
        """Return the tensor's name in this call of the point's module, asked once a call; None: not its turn."""
        ...

    def take(self, point: Point, name: str, tensor: torch.Tensor) -> Iterator[Piece]:
        """Cut what a point shows into samples."""
        ...

    def instead(self, point: Point, name: str, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return what the model goes on with in place of a tensor that was taken; None: with that tensor."""
        ...

    def end(self, output: Any) -> Iterator[Piece]:
        """End the forward that gave this output."""
        ...


class DecoderCapture:
    """Captures a transformers decoder under canonical names, sample by sample, without padding.

    Raises:
        DumpError: the model cannot run the probe, ``select`` or a mode matches nothing, or a replay does not fit.
    """

    def __init__(
        self,
        engine: Engine,
        select: str | Sequence[str] | None,
        modes: Modes,
        top_k: int,
        replay: Replay | None,
    ) -> None:
        anatomy = engine.anatomy()
        self.facts = {"residual": anatomy.residual, "residual_scale": anatomy.residual_scale}
        self._engine = engine
        self._modes = modes
        self._top_k = top_k
        modules = _submodules(engine.model)
        points = in_turns([*anatomy.points, *engine.routers()], engine.decoder)
        names = [point.name for point in points] + ([LOGITS] if engine.head else [])
        wanted = Selection(select, names, modules)
        modes.check(wanted.canonical | wanted.paths)
        self._selection = wanted
        self._shown: set[str] = set()
        self._wanted = wanted.canonical
        self._replay = replay
        if replay is not None:
            replay.check({point.name: point.path for point in points if point.kind != "router"}, self.facts)
        # The user's own points first: a module's hooks run in this order, and those after may see what was replaced.
        self.points = [Point(path, path, modules[path], kind="other") for path in modules if path in wanted.paths]
        # A replay needs its place at every point, stored or not.
        self.points += [point for point in points if point.name in self._wanted or replay is not None]
        self._logits = modes.form(LOGITS) if LOGITS in self._wanted else "none"
        self.plan = {"mode": modes.label, "select": _promised(wanted, self._logits)}
        if modes.patterns:
            self.plan["modes"] = modes.given
        if self._logits == "topk":
            self.plan["top_k"] = top_k
        self._wanted |= wanted.paths
        self._step: Step | None = None

    @property
    def samples(self) -> int:  # noqa: D102 - see Capture
        return self._engine.samples

    def unused(self) -> list[str]:  # noqa: D102
        return self._selection.unused(self._shown)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Piece]:  # noqa: D102
        step = self._step = self._engine.begin(args, kwargs)
        if step is None or step.input_ids is None:
            return
        if self._replay is not None:
            self._replay.check_tokens(step)
        yield from self._pieces(step, step.input_ids, Piece("input_ids", step.input_ids, 0))

    def name_of(self, point: Point) -> str | None:  # noqa: D102
        return None if self._step is None else self._step.name_of(point)

    def take(self, point: Point, name: str, tensor: torch.Tensor) -> Iterator[Piece]:  # noqa: D102
        step = self._step
        if step is None or point.name not in self._wanted:
            return
        self._shown.add(point.path)
        like = Piece(
            name,
            tensor,
            0,
            kind=point.kind,
            layer=point.layer,
            module=point.path,
            encoding=self._modes.encoding(point.name),
        )
        yield from self._pieces(step, tensor, like)

    def instead(self, point: Point, name: str, tensor: torch.Tensor) -> torch.Tensor | None:  # noqa: D102
        if self._replay is None or self._step is None or point.kind == "other":
            return None
        return self._replay.fill(name, self._step, tensor)

    def end(self, output: Any) -> Iterator[Piece]:  # noqa: D102
        step, self._step = self._step, None
        if step is None:
            return
        self._check_reached(step)
        self._engine.end(output)
        if self._engine.has_positions:
            yield from self._position_pieces(step)
        if self._logits == "none":
            return
        logits_of = self._engine.logits(output, step)
        if self._logits == "topk":
            yield from self._reduced(step, logits_of)
            return
        encoding = self._modes.encoding(LOGITS)
        for row in step.rows:
            yield _piece(row, Piece(LOGITS, logits_of(row), 0, module=self._engine.head, encoding=encoding))

    def _check_reached(self, step: Step) -> None:
        """Refuse a forward that passed a point by: it would be promised and absent, or replayed and not replaced."""
        passed = [
            point.name
            for point in self.points
            if point.kind != "other"
            and not step.reached(point)
            # Routers may keep their logits to themselves, but not in a replay that has others for them.
            and (point.kind != "router" or (self._replay is not None and self._replay.holds(point.name, step)))
        ]
        if passed:
            raise DumpError(
                "points-passed-by",
                "a forward pass did not come to every place where tensors are taken",
                facts=[
                    ("not seen", f"{len(passed)} of {len(self.points)}: {', '.join(passed[:4])}"),
                    ("steps", ", ".join(map(str, sorted({row.step for row in step.rows})))),
                ],
                help="let every forward call all layers and blocks as modules, and capture without torch.compile",
            )

    def _reduced(self, step: Step, logits_of: Callable[[Row], torch.Tensor]) -> Iterator[Piece]:
        ids = step.input_ids
        if ids is None:
            raise DumpError(
                "tokens-absent",
                "reduced logits need the token ids, and embeddings were fed",
                facts=[("mode", "topk"), ("input_ids", "none")],
                help="store them whole: mode full, or 'logits=full'",
            )
        for row in step.rows:
            mine, tokens = logits_of(row), ids[row.batch, row.tokens]
            reduced = reduced_logits(mine, tokens, step.last.get(row.sample), self._top_k)
            step.last[row.sample] = mine[-1].clone()
            for name, value in reduced.items():
                yield _piece(row, Piece(name, value, 0, module=self._engine.head))

    def _pieces(self, step: Step, tensor: torch.Tensor, like: Piece) -> Iterator[Piece]:
        for row, mine in step.cut(tensor, like.name):
            yield _piece(row, replace(like, tensor=mine))

    def _position_pieces(self, step: Step) -> Iterator[Piece]:
        positions = self._engine.positions(step)
        for row in step.rows:
            mine = positions[row.batch, row.tokens]
            if self._replay is not None:
                self._replay.check_positions(row, mine.tolist())
            if not torch.equal(mine, torch.arange(row.start, row.start + row.length)):
                yield _piece(row, Piece("position_ids", mine, 0))


class ModuleCapture:
    """Captures any module: its first tensor argument, and what its submodules return, one sample a forward.

    Raises:
        DumpError: ``select`` matches no submodule.
    """

    def __init__(self, model: nn.Module, select: str | Sequence[str] | None, modes: Modes) -> None:
        modules = _submodules(model)
        wanted = Selection(select or "*", [], modules)
        modes.check(wanted.paths)
        self._selection = wanted
        self._shown: set[str] = set()
        self._modes = modes
        self.plan = {"mode": modes.label, "select": wanted.globs} | ({"modes": modes.given} if modes.patterns else {})
        self.points = [Point(path, path, modules[path], kind="other") for path in modules if path in wanted.paths]
        self.facts: dict[str, Any] = {}
        self._forwards = 0
        self._model = type(model).__name__
        self._step: Step | None = None

    @property
    def samples(self) -> int:  # noqa: D102 - see Capture
        return self._forwards

    def unused(self) -> list[str]:  # noqa: D102
        return self._selection.unused(self._shown)

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Piece]:  # noqa: D102
        fed = first_tensor((args, kwargs))
        if fed is None:
            raise DumpError(
                "input-absent",
                "the module was called without a tensor",
                facts=[("module", self._model)],
                help="call it with at least one tensor argument",
            )
        self._step = Step()
        self._forwards += 1
        yield Piece("input.0", fed, self._forwards - 1, kind="other")

    def name_of(self, point: Point) -> str | None:  # noqa: D102
        return None if self._step is None else self._step.name_of(point)

    def take(self, point: Point, name: str, tensor: torch.Tensor) -> Iterator[Piece]:  # noqa: D102
        self._shown.add(point.path)
        encoding = self._modes.encoding(point.name)
        yield Piece(name, tensor, self._forwards - 1, kind="other", module=point.path, encoding=encoding)

    def instead(self, point: Point, name: str, tensor: torch.Tensor) -> torch.Tensor | None:  # noqa: ARG002, D102
        return None

    def end(self, output: Any) -> Iterator[Piece]:  # noqa: ARG002, D102
        self._step = None
        return iter(())


def _piece(row: Row, like: Piece) -> Piece:
    """Return a piece as that of a sample's row."""
    return replace(like, sample=row.sample, step=row.step, start=row.start, whole=row.whole if row.is_part else None)


def _submodules(model: nn.Module) -> dict[str, nn.Module]:
    return {path: module for path, module in model.named_modules() if path}


def _promised(wanted: Selection, logits: Form) -> list[str]:
    """Return the selection for the metadata, which promises only what is stored."""
    if logits in ("dense", "stats") or LOGITS not in wanted.canonical:
        return wanted.globs
    globs: list[str] = []
    for glob in wanted.globs:
        if matches(glob, LOGITS):
            globs += sorted(name for name in wanted.canonical if name != LOGITS and matches(glob, name))
        else:
            globs.append(glob)
    return globs + (list(REDUCED_LOGITS) if logits == "topk" else [])
