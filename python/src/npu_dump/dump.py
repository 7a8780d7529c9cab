"""`Dump`: a context manager that captures what a model computes while it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from . import provenance
from .capture import Capture, DecoderCapture, ModuleCapture, Piece
from .limits import Limits
from .module_tree import find_decoder, first_tensor, stream_input
from .probe import Point
from .stream import BackgroundWriter
from .target import check_target
from .tensor import HostTensor, host_tensor
from .writer import DumpWriter


class Dump:
    """Captures every forward pass of a model inside a ``with`` block into one file.

    ::

        with Dump(model, "cpu.arrow") as dump:
            model(**inputs)

    Of a transformers decoder it stores ``input_ids``, ``embed``, ``layers.i.attn``, ``layers.i.mlp``, ``layers.i``,
    ``norm`` and ``logits``, one ``[T, width]`` tensor a sample, without padding; ``position_ids`` where they are not
    0…T-1. Of any other module it stores the first tensor argument as ``input.0`` and the first tensor that each
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
        run: metadata to add to what is found out; objects are merged one level deep.
        overwrite: replace an existing file.
        limits: sizes of chunks, batches and the buffer.

    Raises:
        DumpError: on entry or in a forward; see its ``code``.
    """

    def __init__(
        self,
        model: nn.Module,
        path: str | os.PathLike[str],
        *,
        select: str | Sequence[str] | None = None,
        run: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.model = model
        self.path = Path(path)
        self._select = select
        self._extra = dict(run or {})
        self._overwrite = overwrite
        self._limits = limits or Limits()
        self._hooks = ExitStack()
        self._paused = False

    def __enter__(self) -> Dump:
        check_target(self.path, overwrite=self._overwrite)
        decoder = find_decoder(self.model)
        if decoder is None:
            self._capture: Capture = ModuleCapture(self.model, self._select)
        else:
            self._capture = DecoderCapture(self.model, decoder, self._select)
        run = provenance.describe(self.model)
        run["model"] |= self._capture.facts
        run["capture"] = {"mode": "full", "select": self._capture.globs, "replay_of": None}
        writer = DumpWriter(self.path, run=_merged(run, self._extra), overwrite=self._overwrite, limits=self._limits)
        self._writer = BackgroundWriter(writer, self._limits)
        self._hooks.callback(self.model.register_forward_pre_hook(self._begin, with_kwargs=True).remove)
        if decoder is not None:
            first = decoder.layers[0][1]
            self._hooks.callback(first.register_forward_pre_hook(self._note_positions, with_kwargs=True).remove)
        for point in self._capture.points:
            self._hooks.callback(self._attach(point))
        self._hooks.callback(self.model.register_forward_hook(self._end).remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()
        if error is not None:
            self._writer.abort()
            return
        self._writer.writer.end |= {"peak_memory_bytes": provenance.peak_memory(self.model)}
        self._writer.close()

    def write(self, name: str, value: Any, *, sample: int = 0, **row: Any) -> None:
        """Store a tensor of your own beside the captured ones, as `DumpWriter.write` does."""
        self._writer.put(
            host_tensor(value, row.pop("dtype", None), row.pop("shape", None)), name=name, sample=sample, **row
        )

    def write_text(self, name: str, text: str, *, sample: int = 0) -> None:
        """Store a text of your own, as `DumpWriter.write_text` does."""
        data = text.encode("utf-8", "replace")
        self.write(name, data, sample=sample, dtype="U8", shape=[len(data)])

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Capture nothing inside this block, e.g. while the model generates."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    @property
    def run(self) -> dict[str, Any]:
        """The metadata of the dump."""
        return self._writer.writer.run

    @property
    def samples(self) -> int:
        """How many samples were started so far."""
        return self._capture.samples

    def _attach(self, point: Point) -> Callable[[], None]:
        if point.input:

            def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                self._take(point, stream_input(args, kwargs))

            return point.module.register_forward_pre_hook(before, with_kwargs=True).remove

        def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            self._take(point, first_tensor(output))

        return point.module.register_forward_hook(after).remove

    def _begin(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._paused:
            self._put(self._capture.begin(args, kwargs))

    def _note_positions(self, _layer: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(self._capture, DecoderCapture):
            self._capture.note_positions(kwargs.get("position_ids"))

    def _take(self, point: Point, tensor: torch.Tensor | None) -> None:
        if tensor is not None and not self._paused:
            self._put(self._capture.take(point, tensor))

    def _end(self, _model: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        if not self._paused:
            self._put(self._capture.end(output))

    def _put(self, pieces: Iterator[Piece]) -> None:
        """Copy each piece to host memory here, in the hook: the kernels after it may overwrite it."""
        for piece in pieces:
            self._writer.put(
                _on_host(piece.tensor),
                name=piece.name,
                sample=piece.sample,
                step=piece.step,
                kind=piece.kind,
                layer=piece.layer,
                module=piece.module,
            )


def _on_host(tensor: torch.Tensor) -> HostTensor:
    """Return a contiguous copy in host memory."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu").copy_(tensor.detach())
    return host_tensor(copy)


def _merged(found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(found)
    for key, value in given.items():
        old = merged.get(key)
        merged[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
