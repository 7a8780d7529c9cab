"""`Dump`: a context manager that captures what a model computes while it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from . import provenance
from .capture import Capture, DecoderCapture, ModuleCapture, Piece
from .device_stats import device_stats
from .engine import Engine, TransformersEngine
from .errors import DumpError
from .limits import Limits
from .modes import DEFAULT_TOP_K, Modes
from .module_tree import compiled_modules, find_decoder, first_tensor
from .parts import Parts
from .points import Point
from .reader import load
from .replay import Replay
from .stream import BackgroundWriter
from .target import check_target
from .tensor import HostTensor, host_tensor
from .writer import DumpWriter

# While one Dump looks for its points, another of the same model must not take the four tokens for a sample.
_LOOKING: ContextVar[bool] = ContextVar("npu_dump_looking", default=False)


class Dump:
    """Captures every forward pass of a model inside a ``with`` block into one file.

    ::

        with Dump(model, "cpu.arrow") as dump:
            model(**inputs)

    Of a transformers decoder it stores ``input_ids``, ``embed``, ``layers.i.attn``, ``layers.i.mlp``, ``layers.i``,
    ``norm`` and ``logits``, one ``[T, width]`` tensor a sample, without padding; ``layers.i.router`` of a mixture of
    experts; ``position_ids`` where they are not 0…T-1. A forward with a filled cache is the next step of its samples.
    Of any other module it stores the first tensor argument as ``input.0`` and the first tensor that each
    submodule returns under its module path, whole, one sample a forward.

    Nothing is changed by looking: outputs are bit-identical with and without it, and every hook is gone when the
    block ends, however it ends. Before the block, a transformers model runs four tokens without gradients, to see
    which module hands what to the residual sum.

    Tensors go to the disk while the model runs. Host memory beyond the model's is at most 64 MiB and two tensors of
    one sample; device memory at most a contiguous copy of one sample's tensor, where the device needs it to copy.

    Args:
        model: a transformers ``AutoModelForCausalLM`` (decoder only), or any ``nn.Module``.
        path: the file to make; must end in ``.arrow``. Its name ends in ``.partial`` until the block ends well.
        select: globs on canonical names, or on module paths, e.g. ``["layers.*", "logits"]``. Default: all canonical.
        mode: ``full``, ``hidden``, ``topk`` or ``stats``, and others by pattern: ``["stats", "layers.7.*=full"]``;
            see `Modes`.
        top_k: how many of the most likely tokens mode ``topk`` stores.
        replay: a dump whose residual stream is put in the place of the model's own, block by block; see `Replay`.
            The block must feed that dump's samples and steps in its order.
        run: metadata to add to what is found out; objects are merged one level deep.
        overwrite: replace an existing file.
        limits: sizes of chunks, batches and the buffer.

    Raises:
        DumpError: on entry, in a forward or on exit; see its ``code``.
    """

    def __init__(
        self,
        model: nn.Module,
        path: str | os.PathLike[str],
        *,
        select: str | Sequence[str] | None = None,
        mode: str | Sequence[str] | None = None,
        top_k: int = DEFAULT_TOP_K,
        replay: str | os.PathLike[str] | None = None,
        run: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.model = model
        self.path = Path(path)
        self._select = select
        self._modes = Modes(mode)
        self._top_k = top_k
        self._replay = None if replay is None else Replay(load(replay))
        self._extra = dict(run or {})
        self._overwrite = overwrite
        self._limits = limits or Limits()
        self._stack: ExitStack | None = None
        self._paused = False
        self._unfinished = 0

    def __enter__(self) -> Dump:
        if self._stack is not None:
            raise DumpError(
                "dump-entered",
                "this Dump is being written already",
                facts=[("file", self.path.name), ("entered", "twice, and not left in between")],
                help="make a second Dump with a file of its own",
            )
        check_target(self.path, overwrite=self._overwrite)
        if compiled := compiled_modules(self.model):
            raise _compiled(self.model, compiled)
        engine = self._engine()
        with _looking():
            if engine is not None:
                self._capture: Capture = DecoderCapture(engine, self._select, self._modes, self._top_k, self._replay)
            elif self._replay is None:
                self._capture = ModuleCapture(self.model, self._select, self._modes)
            else:
                raise _no_decoder(self.model)
        run = self._describe()
        run["model"] |= self._capture.facts
        run["capture"] = self._capture.plan | {"replay_of": None if self._replay is None else self._replay.of}
        writer = DumpWriter(self.path, run=_merged(run, self._extra), overwrite=self._overwrite, limits=self._limits)
        # Left in reverse: the hooks go first, then the file is closed, or kept as it is where anything went wrong.
        with ExitStack() as stack:
            self._writer = stack.enter_context(BackgroundWriter(writer, self._limits))
            stack.push(self._finish)
            stack.callback(self.model.register_forward_pre_hook(self._begin, with_kwargs=True).remove)
            for remove in [] if engine is None else engine.hooks():
                stack.callback(remove)
            for point in self._capture.points:
                stack.callback(self._attach(engine, point))
            stack.callback(self.model.register_forward_hook(self._end).remove)
            self._unfinished = 0
            self._parts = Parts()
            self._stack = stack.pop_all()
        return self

    def _engine(self) -> Engine | None:
        """Return how the model's decoder is run; None for any other module."""
        decoder = find_decoder(self.model)
        return None if decoder is None else TransformersEngine(self.model, decoder)

    def _describe(self) -> dict[str, Any]:
        return provenance.describe(self.model)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, trace)

    def _finish(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Refuse what is not whole, and add what is known only now."""
        if error is not None:
            return
        self._parts.check_whole()
        if self._unfinished:
            raise DumpError(
                "forward-unfinished",
                "a forward pass began and did not end, so its samples are not whole",
                facts=[("file", self.path.name), ("forwards that did not end", self._unfinished)],
                help="let what the model raises leave the block, and capture again without the forward that fails",
            )
        if self.samples and (unused := self._capture.unused()):
            raise DumpError(
                "select-unused",
                "modules that were selected have not been called, or have returned no tensor",
                facts=[("select", ", ".join(unused[:4])), ("samples", self.samples)],
                help="leave them out; an engine may do their work elsewhere: logits stand for the head's output",
            )
        self._writer.writer.end |= {"peak_memory_bytes": provenance.peak_memory(self.model)}

    def write(self, name: str, value: Any, *, sample: int = 0, **row: Any) -> None:
        """Store a tensor of your own beside the captured ones, as `DumpWriter.write` does."""
        self._writer.put(
            host_tensor(value, row.pop("dtype", None), row.pop("shape", None)), name=name, sample=sample, **row
        )

    def write_text(self, name: str, text: str, *, sample: int = 0, repeat: int = 0) -> None:
        """Store a text of your own, as `DumpWriter.write_text` does."""
        data = text.encode("utf-8", "replace")
        self.write(name, data, sample=sample, repeat=repeat, dtype="U8", shape=[len(data)])

    def checkpoint(self) -> None:
        """Let the tensors that are whole go to the disk now: whatever ends this process then does not lose them."""
        self._writer.flush()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Capture nothing inside this block, e.g. while the model generates."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    @property
    def run(self) -> dict[str, Any]:
        """The metadata of the dump."""
        return self._writer.writer.run

    @property
    def samples(self) -> int:
        """How many samples were started so far."""
        return self._capture.samples

    @property
    def _watching(self) -> bool:
        return not self._paused and not _LOOKING.get()

    def _attach(self, engine: Engine | None, point: Point) -> Callable[[], None]:
        """Watch a point; what is taken there may be replaced in the same moment."""
        if engine is not None:
            return engine.watch(point, lambda tensor: self._take(point, tensor))

        def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            self._take(point, first_tensor(output))

        return point.module.register_forward_hook(after).remove

    def _begin(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._watching:
            self._unfinished += 1
            self._put(self._capture.begin(args, kwargs))

    def _take(self, point: Point, tensor: torch.Tensor | None) -> torch.Tensor | None:
        """Store what a point shows and return what the model goes on with; None: with that tensor."""
        if tensor is None or not self._watching:
            return None
        name = self._capture.name_of(point)
        if name is None:
            return None
        self._put(self._capture.take(point, name, tensor))
        return self._capture.instead(point, name, tensor)

    def _end(self, _model: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        if self._watching:
            self._put(self._capture.end(output))
            self._unfinished -= 1

    def _put(self, pieces: Iterator[Piece]) -> None:
        """Copy or reduce each piece here, in the hook: the kernels after it may overwrite it."""
        for piece in pieces:
            whole = piece if piece.whole is None else self._parts.add(piece)
            if whole is None:
                continue
            reduced = whole.encoding == "stats"
            self._writer.put(
                _statistics(whole.tensor) if reduced else _on_host(whole.tensor),
                name=whole.name,
                sample=whole.sample,
                step=whole.step,
                kind=whole.kind,
                layer=whole.layer,
                module=whole.module,
                encoding=whole.encoding,
            )


@contextmanager
def _looking() -> Iterator[None]:
    token = _LOOKING.set(True)
    try:
        yield
    finally:
        _LOOKING.reset(token)


def _on_host(tensor: torch.Tensor) -> HostTensor:
    """Return a contiguous copy in host memory."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu").copy_(tensor.detach())
    host = host_tensor(copy)
    if tensor.device.type != "cpu":
        return host
    # The model waits for this, but has all of torch's threads for it; on the writer's thread it would cost the model
    # one of its cores, and the others wait for that one.
    return replace(host, stats=device_stats(copy))


def _statistics(tensor: torch.Tensor) -> HostTensor:
    """Return the statistics of a tensor without its data, computed where it is."""
    empty = host_tensor(torch.empty(0, dtype=tensor.dtype))
    return replace(empty, shape=tuple(tensor.shape), stats=device_stats(tensor.detach()))


def _compiled(model: nn.Module, paths: list[str]) -> DumpError:
    return DumpError(
        "model-compiled",
        "a compiled model cannot be captured: its code runs without the hooks, or is another with them",
        facts=[
            ("model", type(model).__name__),
            ("compiled", ", ".join(path or "the model itself" for path in paths[:4])),
        ],
        help="capture the model before torch.compile takes it",
    )


def _no_decoder(model: nn.Module) -> DumpError:
    return DumpError(
        "replay-decoder",
        "only a decoder of transformers can be replayed",
        facts=[("model", type(model).__name__), ("found", "no list of decoder layers")],
        help="capture this module without replay",
    )


def _merged(found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(found)
    for key, value in given.items():
        old = merged.get(key)
        merged[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
