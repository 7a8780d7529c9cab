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
from .contract import Kind, kind_of
from .errors import DumpError
from .limits import Limits
from .module_tree import Decoder, find_decoder, first_tensor, stream_input
from .probe import Point, probe
from .samples import Row, SampleTracker, Step
from .select import Selection
from .stream import BackgroundWriter
from .tensor import HostTensor, host_tensor
from .writer import DumpWriter, check_target


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
    one sample; device memory is not used, but for one contiguous copy of one sample's tensor where the device needs it.

    Args:
        model: a transformers ``AutoModelForCausalLM`` (decoder only), or any ``nn.Module``.
        path: the file to make; must end in ``.arrow``. It bears ``.partial`` until the block ends without an exception.
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
        self._step: Step | None = None
        self._paused = False

    def __enter__(self) -> Dump:
        check_target(self.path, overwrite=self._overwrite)
        decoder = find_decoder(self.model)
        run = provenance.describe(self.model)
        points, wanted = (self._plain if decoder is None else self._decoder)(decoder, run)
        run["capture"] = {"mode": "full", "select": wanted.globs, "replay_of": None}
        writer = DumpWriter(
            self.path, run=_merged(run, self._extra), overwrite=self._overwrite, limits=self._limits
        )
        self._writer = BackgroundWriter(writer, self._limits)
        self._peak_memory = provenance.PeakMemory(self.model)
        self._want_logits = "logits" in wanted.canonical
        # First in, first called: input_ids precede everything; logits are the last of a step.
        before, after = (
            (self._begin, self._end) if decoder is not None else (self._begin_plain, self._end_plain)
        )
        self._hooks.callback(self.model.register_forward_pre_hook(before, with_kwargs=True).remove)
        for point in points:
            self._hooks.callback(self._attach(point))
        self._hooks.callback(self.model.register_forward_hook(after).remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()
        self._step = None
        if error is not None:
            self._writer.abort()
            return
        self._writer.writer.end |= {"peak_memory_bytes": self._peak_memory.read()}
        self._writer.close()

    def write(self, name: str, value: Any, *, sample: int = 0, **row: Any) -> None:
        """Store a tensor of your own beside the captured ones, as `DumpWriter.write` does."""
        self._writer.put(host_tensor(value, row.pop("dtype", None), row.pop("shape", None)), name=name, sample=sample, **row)

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
        return self._tracker.count

    # What is captured.

    def _decoder(self, decoder: Decoder, run: dict[str, Any]) -> tuple[list[Point], Selection]:
        anatomy = probe(self.model, decoder)
        run["model"] |= {"residual": anatomy.residual, "residual_scale": anatomy.residual_scale}
        canonical = [point.name for point in anatomy.points]
        if provenance.gives_logits(self.model):
            canonical.append("logits")
        modules = {path: module for path, module in self.model.named_modules() if path}
        wanted = Selection(self._select, canonical, modules)
        self._tracker = SampleTracker(self.model)
        self._hidden_size = decoder.hidden_size
        # Layer 0 is told the positions that are in force, also where the model counts them itself.
        self._fed_positions: torch.Tensor | None = None
        self._hooks.callback(
            decoder.layers[0][1].register_forward_pre_hook(self._note_positions, with_kwargs=True).remove
        )
        points = [point for point in anatomy.points if point.name in wanted.canonical]
        return points + [Point(path, path, modules[path]) for path in modules if path in wanted.paths], wanted

    def _plain(self, _decoder: None, _run: dict[str, Any]) -> tuple[list[Point], Selection]:
        modules = {path: module for path, module in self.model.named_modules() if path}
        wanted = Selection(self._select or "*", [], modules)
        self._forwards = 0
        return [Point(path, path, modules[path]) for path in modules if path in wanted.paths], wanted

    def _attach(self, point: Point) -> Callable[[], None]:
        if point.input:

            def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                self._take(point, stream_input(args, kwargs))

            return point.module.register_forward_pre_hook(before, with_kwargs=True).remove

        def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            self._take(point, first_tensor(output))

        return point.module.register_forward_hook(after).remove

    # A forward of a decoder.

    def _begin(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._fed_positions = None
        self._step = None if self._paused else self._tracker.begin(args, kwargs)

    def _note_positions(self, _layer: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._fed_positions = kwargs.get("position_ids")

    def _end(self, _model: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        if step.input_ids is not None:
            self._put_rows(step, "input_ids", step.input_ids, None)
        self._put_positions(step)
        if self._want_logits:
            self._put_rows(step, "logits", _logits(output, step), provenance.head_path(self.model))
        self._tracker.end(output)

    def _put_positions(self, step: Step) -> None:
        batch, length = step.shape
        positions = self._fed_positions if self._fed_positions is not None else step.position_ids
        if positions is None or positions.ndim != 2 or positions.shape[-1] != length:
            positions = torch.arange(step.past, step.past + length)[None]
        positions = positions.to("cpu", torch.int64).expand(batch, length)
        for row in step.rows:
            mine = positions[row.batch, row.tokens]
            if not torch.equal(mine, torch.arange(row.length)):
                self._writer.put(_on_host(mine), name="position_ids", sample=row.sample, step=step.number)

    # A forward of any other module.

    def _begin_plain(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._paused:
            return
        fed = first_tensor((args, kwargs))
        if fed is None:
            raise DumpError(
                "input-absent",
                "the module was called without a tensor",
                facts=[("module", type(self.model).__name__)],
                help="call it with at least one tensor argument",
            )
        sample, self._forwards = self._forwards, self._forwards + 1
        whole = Row(sample, 0, slice(None), 0)
        self._step = Step(0, None, None, 0, (1, 0), [whole])
        self._writer.put(_on_host(fed), name="input.0", sample=sample, kind="other")

    def _end_plain(self, _model: nn.Module, _args: tuple[Any, ...], _output: Any) -> None:
        self._step = None

    # From the device to the writer.

    def _take(self, point: Point, tensor: torch.Tensor | None) -> None:
        """Store what a hook was shown, for every sample of the batch; copied here, since kernels reuse memory."""
        step = self._step
        if step is None or tensor is None:
            return
        count = step.taken.get(point.name, 0)
        step.taken[point.name] = count + 1
        name = f"{point.name}#{count}" if count else point.name
        canonical = kind_of(point.name) != "other" and point.name != point.path
        kind: Kind | None = None if canonical else "other"
        self._put_rows(step, name, tensor, point.path, kind_of(point.name) if canonical else kind)

    def _put_rows(
        self, step: Step, name: str, tensor: torch.Tensor, path: str | None, kind: Kind | None = None
    ) -> None:
        batch, length = step.shape
        if length and tensor.shape[:2] != (batch, length):
            if tensor.ndim == 0 or tensor.shape[0] != batch * length:
                raise DumpError(
                    "rows-unknown",
                    f"{name} has no axes for batch and tokens",
                    facts=[("shape", list(tensor.shape)), ("batch and tokens", [batch, length])],
                    help=f"leave it out: select other tensors than {name}",
                )
            tensor = tensor.reshape(batch, length, *tensor.shape[1:])
        for row in step.rows:
            mine = tensor[row.batch, row.tokens] if length else tensor
            self._writer.put(
                _on_host(mine), name=name, sample=row.sample, step=step.number, module=path, kind=kind
            )


def _on_host(tensor: torch.Tensor) -> HostTensor:
    """Return a contiguous copy in host memory."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu").copy_(tensor.detach())
    return host_tensor(copy)


def _logits(output: Any, step: Step) -> torch.Tensor:
    logits = getattr(output, "logits", None)
    if logits is None:
        # A tuple may begin with a loss, which is a scalar.
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


def _merged(found: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(found)
    for key, value in given.items():
        old = merged.get(key)
        merged[key] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
