"""Compares a checkpoint with the model that was loaded from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import DumpError
from . import absent, constants
from .checkpoint import Checkpoint, first_line
from .difference import Difference, comparable, lossless, measure
from .explain import Explainer
from .findings import Findings, WeightFinding, dtype_name, form
from .heads import Head, judge_head
from .layout import Layout, Piece, arrange


@dataclass(frozen=True)
class Report:
    """What comparing a checkpoint with a model gave.

    Attributes:
        architecture: class of the model; None where it could not be loaded.
        files: safetensors that were read.
        tensors: of the checkpoint.
        compared: of these, how many the model's were compared with.
        bytes: in them.
        constants: buffers and constants of modules compared with config.json.
        findings: errors first.
    """

    architecture: str | None
    files: int
    tensors: int
    compared: int
    bytes: int
    constants: int
    findings: tuple[WeightFinding, ...]

    @property
    def ok(self) -> bool:
        """Whether the model holds what the checkpoint says: no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)


def check_weights(model: nn.Module, folder: str | Path, *, dtype: torch.dtype | None = None) -> list[WeightFinding]:
    """Compare a loaded model with the safetensors and the config.json of a folder; change neither.

    Every parameter and persistent buffer is compared element by element, in the dtype that the model holds; other
    buffers and the constants of modules (inverse frequencies, epsilons, scales) with what config.json says. What
    cannot be compared is a finding of its own, never a pass.

    Args:
        model: a transformers model or any module, from whichever loader, on whichever device.
        folder: the checkpoint.
        dtype: precision that was asked for; a cast to it is no finding. None: the checkpoint's own.

    Returns:
        The findings, errors first; empty where the model is what the folder says.

    Raises:
        DumpError: the folder holds no safetensors, or files that cannot be read.
    """
    return list(compare(model, Path(folder), dtype=dtype).findings)


def compare(
    model: nn.Module,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Return the whole report of `check_weights`; ``progress`` is called with pieces done and in all."""
    with Checkpoint(folder) as checkpoint, torch.no_grad():
        return _Comparison(checkpoint, model, dtype).run(progress)


def broken(folder: Path) -> Report | None:
    """Return the report of a checkpoint whose files are absent or damaged, which cannot be loaded; None if whole.

    Raises:
        DumpError: the folder holds no safetensors, or an index that is none.
    """
    with Checkpoint(folder) as checkpoint:
        if checkpoint.complete:
            return None
        findings = tuple(checkpoint.findings.sorted())
        return Report(None, checkpoint.files, len(checkpoint.names), 0, 0, 0, findings)


class _Comparison:
    def __init__(self, checkpoint: Checkpoint, model: nn.Module, dtype: torch.dtype | None) -> None:
        self.checkpoint, self.model, self.asked = checkpoint, model, dtype
        self.findings = Findings()
        self.findings.extend(checkpoint.findings.sorted())
        self.state = _tensors(model, self.findings)
        self.dtype = _prevailing(self.state)
        self.layout = arrange(checkpoint.names, model, self.state)
        self.head = Head.of(model, self.state, checkpoint.folder)
        self.explainer = Explainer(_candidates(self.layout, checkpoint))
        self.compared = self.bytes = 0

    def run(self, progress: Callable[[int, int], None] | None) -> Report:
        config = constants.compare(self.model, self.checkpoint.folder, self.state, self.findings)
        for done, piece in enumerate(self.layout.pieces, start=1):
            self._piece(piece)
            if progress:
                progress(done, len(self.layout.pieces))
        judge_head(self.head, self.state, self.explainer.read, self.findings)
        absent.missing(self.layout, self.state, self.checkpoint, self.head, config, self.findings)
        absent.unused(self.layout, self.state, self.checkpoint, self.model, self.findings)
        return Report(
            architecture=type(self.model).__name__,
            files=self.checkpoint.files,
            tensors=len(self.checkpoint.names),
            compared=self.compared,
            bytes=self.bytes,
            constants=config.count,
            findings=tuple(self.findings.sorted()),
        )

    def _piece(self, piece: Piece) -> None:
        if piece.absent:
            self.findings.add(
                "weights/missing",
                "error",
                piece.absent,
                f"is not in the checkpoint, and belongs into {', '.join(piece.targets)}",
                ("checkpoint", f"{len(piece.sources)} of {len(piece.sources) + len(piece.absent)} tensors"),
                ("model", ", ".join(form(self.state[name].dtype, self.state[name].shape) for name in piece.targets)),
            )
        try:
            made = piece.make(self.checkpoint.read)
        except Exception as error:  # of operations that are not ours; what they raise is not known
            if not piece.absent:
                self.findings.not_compared(
                    piece.targets,
                    "cannot be made from the checkpoint's tensors",
                    ("checkpoint", f"{len(piece.sources)} tensors, {piece.sources[0]} the first"),
                    (type(error).__name__, error.facts[-1][1] if isinstance(error, DumpError) else first_line(error)),
                )
            return
        for name in piece.targets:
            if name in made:
                self._tensor(name, made[name], piece)
            else:
                self.findings.not_compared(
                    [name],
                    "is not among what transformers makes of the checkpoint's tensors",
                    ("checkpoint", ", ".join(piece.sources[:3])),
                    ("made", ", ".join(made)),
                )
        self.compared += len(piece.sources)

    def _tensor(self, name: str, wanted: torch.Tensor, piece: Piece) -> None:
        held = self.state[name]
        self.bytes += wanted.numel() * wanted.dtype.itemsize
        if held.is_meta:
            self.findings.not_compared(
                [name], "has no values in memory", ("model", "on the meta device"), ("checkpoint", "has values")
            )
            return
        if wanted.is_floating_point() and wanted.dtype.itemsize == 1 and held.dtype != wanted.dtype:
            self.findings.not_compared(
                [name],
                "is stored in 8 bits, with scales that only its quantiser knows",
                ("checkpoint", dtype_name(wanted.dtype)),
                ("model", dtype_name(held.dtype)),
            )
            return
        if wanted.shape != held.shape:
            if not piece.absent:
                self._misshapen(name, wanted, held)
            return
        difference = measure(wanted, held)
        if difference.differ and not self.head.replaces(name):
            self._differs(name, wanted, held, difference)
        elif not difference.differ and not piece.decoded:
            self._cast(name, wanted.dtype, held.dtype, difference)
        self._finite(name, difference)

    def _misshapen(self, name: str, wanted: torch.Tensor, held: torch.Tensor) -> None:
        cause = self.explainer.explain(name, wanted, held.detach().cpu())
        self._cause(name, cause) if cause else self.findings.add(
            "weights/shape",
            "error",
            [name],
            "has another shape than in the checkpoint",
            ("model", form(held.dtype, held.shape)),
            ("checkpoint", form(wanted.dtype, wanted.shape)),
        )

    def _differs(self, name: str, wanted: torch.Tensor, held: torch.Tensor, difference: Difference) -> None:
        cause = self.explainer.explain(name, wanted, held.detach().cpu())
        if cause:
            self._cause(name, cause)
            return
        share = difference.differ / difference.elements
        self.findings.add(
            "weights/values",
            "error",
            [name],
            "holds other values than the checkpoint",
            ("model", f"{difference.differ} of {difference.elements} elements differ ({share:.2%})"),
            ("largest difference", f"{difference.max_abs:.6g}; {_range(held)} against {_range(wanted)}"),
        )

    def _cause(self, name: str, cause: tuple[str, str, Any, Any]) -> None:
        rule, what, first, second = cause
        self.findings.add(rule, "error", [name], what, first, second)

    def _cast(self, name: str, stored: torch.dtype, held: torch.dtype, difference: Difference) -> None:
        facts = (("checkpoint", dtype_name(stored)), ("model", dtype_name(held)))
        if difference.overflow:
            what = f"lost {difference.overflow} values, too large for {dtype_name(held)}"
            self.findings.add("weights/overflow", "error", [name], what, *facts)
        if difference.underflow:
            what = f"has zeros for values too small for {dtype_name(held)}"
            count = ("zeros", f"{difference.underflow} of {difference.elements} elements, in {dtype_name(held)}")
            self.findings.add("weights/underflow", "warning", [name], what, facts[0], count)
        if stored == held or self.asked == held:
            return
        if lossless(stored, held):
            # Some parts are kept in float32 whatever the rest is in; that is no cast of the model.
            if self.asked is None and held == self.dtype:
                self.findings.add("weights/cast", "info", [name], "was cast; no value changed", *facts)
        elif difference.changed:
            self.findings.add("weights/cast", "warning", [name], "was cast unasked, and lost digits", *facts)
        else:
            self.findings.add("weights/cast", "info", [name], "was cast; no value changed", *facts)

    def _finite(self, name: str, difference: Difference) -> None:
        if difference.nonfinite:
            self.findings.add(
                "weights/not-finite",
                "error",
                [name],
                "holds NaN or infinite elements",
                ("model", f"{difference.nonfinite} of {difference.elements} elements"),
                ("checkpoint", f"{difference.inherited} of them"),
            )


def _range(tensor: torch.Tensor) -> str:
    """Return the extremes of a tensor's values."""
    low, high = (float(value) for value in comparable(tensor.detach()).aminmax())
    return f"{low:.4g} … {high:.4g}"


def _tensors(model: nn.Module, findings: Findings) -> dict[str, torch.Tensor]:
    """Return parameters and persistent buffers by name."""
    state: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            state[name] = value
        else:
            findings.not_compared(
                [name],
                "is a state of the module's own, not a tensor",
                ("model", type(value).__name__),
                ("known", "tensors"),
            )
    return state


def _prevailing(state: dict[str, torch.Tensor]) -> torch.dtype | None:
    """Return the dtype of most elements."""
    counts: Counter[torch.dtype] = Counter()
    for tensor in state.values():
        counts[tensor.dtype] += tensor.numel()
    return max(counts, key=counts.__getitem__, default=None)


def _candidates(layout: Layout, checkpoint: Checkpoint) -> dict[str, Callable[[], torch.Tensor | None]]:
    """Return ways to read every tensor that the checkpoint has for a model; also those that the model has not."""

    def of_piece(piece: Piece, target: str) -> torch.Tensor | None:
        try:
            return piece.make(checkpoint.read).get(target)
        except Exception:  # reported where the piece itself is compared
            return None

    def of_name(name: str) -> torch.Tensor | None:
        try:
            return checkpoint.read(name)
        except DumpError:
            return None

    found: dict[str, Callable[[], torch.Tensor | None]] = {}
    for piece in layout.pieces:
        for target in piece.targets:
            found.setdefault(target, lambda piece=piece, target=target: of_piece(piece, target))
    for name in layout.unused:
        found.setdefault(name, lambda name=name: of_name(name))
    return found
