"""Faults of a block's output in memory: tiles, rows and elements that are stale, moved, lost, cut off or rounded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from .fault import Kind, Place, named
from .numbers import chosen, draw, rms, rounded, work
from .patch import on_output
from .structure import block_at, every_block

# Faults of single rows leave alone what is shorter: decode steps, and the few tokens of a look at the structure.
MIN_ROWS = 8


def on_block(change: Callable[[torch.Tensor, str, str], torch.Tensor]) -> Callable[..., Any]:
    """Return the ``apply`` of a fault of what a block hands to the residual sum.

    Args:
        change: called with ``[B, T, H]``, the name of the place and the severity.
    """

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        handed = block_at(model, place).handed
        return on_output(handed, lambda x: change(x, place.module, severity).to(x.dtype))

    return apply


def on_rows(change: Callable[[torch.Tensor, str, str], torch.Tensor]) -> Callable[..., Any]:
    """As `on_block`, of a fault of some rows: ``change`` is not called with fewer than `MIN_ROWS`, and may write."""
    return on_block(lambda x, name, severity: x if x.shape[1] < MIN_ROWS else change(x.clone(), name, severity))


def in_one_sample(change: Callable[[torch.Tensor, str, str], torch.Tensor]) -> Callable[..., Any]:
    """As `on_rows`, in the first sample that a model is given after the fault was put in, and in no other."""

    def apply(model: Any, place: Place, severity: str) -> AbstractContextManager[Any]:
        seen: list[bool] = []

        def once(x: torch.Tensor, name: str, severity: str) -> torch.Tensor:
            if not seen:
                seen.append(True)
                x[:1] = change(x[:1].clone(), name, severity)
            return x

        return on_rows(once)(model, place, severity)

    return apply


def _middle(x: torch.Tensor, name: str) -> int:
    """Return a row that is padding on neither side in most batches."""
    return x.shape[1] // 2 + int(chosen(name, 1, max(1, x.shape[1] // 8)))


def _tile(x: torch.Tensor, severity: str) -> tuple[slice, slice]:
    rows, columns = (int(part) for part in severity.split("x"))
    row, column = x.shape[1] // 2, x.shape[2] // 4
    return slice(row, row + rows), slice(column, column + columns)


def _unwritten(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    rows, columns = _tile(x, severity)
    x[:, rows, columns] = 0
    return x


def _stale(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    """A tile holds what was computed for the first rows."""
    rows, columns = _tile(x, severity)
    length = x[:, rows].shape[1]
    x[:, rows, columns] = x[:, :length, columns].clone()
    return x


def _tail(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    """Rows beyond the last whole tile are not written; the last one where all tiles are whole."""
    x[:, x.shape[1] - (x.shape[1] % int(severity) or 1) :] = 0
    return x


def _duplicated(x: torch.Tensor, name: str, _severity: str) -> torch.Tensor:
    row = _middle(x, name)
    x[:, row] = x[:, row - 1].clone()
    return x


def _one_row_off(x: torch.Tensor, name: str, severity: str) -> torch.Tensor:
    x[:, _middle(x, name)] *= float(severity)
    return x


def _shifted(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    return x.roll(int(severity), dims=1)


def _garbage(x: torch.Tensor, name: str, severity: str) -> torch.Tensor:
    """A share of the elements, one at least, is ten times the row's root mean square."""
    flat = torch.rand(x.shape[1:], generator=draw(name))
    count = max(1, round(float(severity) * flat.numel()))
    hit = flat <= flat.flatten().kthvalue(count).values
    return torch.where(hit, (10 * rms(x)).to(x.dtype), x)


def _dropout(x: torch.Tensor, name: str, severity: str) -> torch.Tensor:
    share = float(severity)
    kept = torch.rand(x.shape[1:], generator=draw(name)) >= share
    return torch.where(kept, x / (1 - share), 0)


def _flushed(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    """What is small beside the row's root mean square becomes zero."""
    return torch.where(x.abs() < float(severity) * rms(x).to(x.dtype), 0, x)


def _poisoned(x: torch.Tensor, name: str, severity: str) -> torch.Tensor:
    x[:, _middle(x, name), x.shape[2] // 3] = float(severity)
    return x


def _saturated(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    limit = float(severity) * x.abs().amax()
    return x.clamp(-limit, limit)


def _skipped(x: torch.Tensor, _name: str, _severity: str) -> torch.Tensor:
    return torch.zeros_like(x)


def _gain(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    return work(x) * float(severity)


def _offset(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    """A constant on every channel, as a share of the typical root mean square of a row."""
    return work(x) + float(severity) * rms(x).median()


def _bits(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    return rounded(x, int(severity))


def _cut(x: torch.Tensor, _name: str, severity: str) -> torch.Tensor:
    return rounded(x, int(severity), truncate=True)


KINDS = (
    Kind("tile-unwritten", "memory", ("8x16", "16x64"), every_block, on_rows(_unwritten), named("unwritten")),
    Kind("tile-stale", "memory", ("8x16", "16x64"), every_block, on_rows(_stale), named("unwritten")),
    Kind("tail-unwritten", "memory", ("16",), every_block, on_rows(_tail), named("unwritten", "token", "skipped")),
    Kind("token-duplicated", "memory", ("each",), every_block, on_rows(_duplicated), named("token")),
    Kind("token-duplicated-once", "memory", ("one",), every_block, in_one_sample(_duplicated), named("token")),
    Kind("token-gain", "memory", ("1.5", "1.05"), every_block, on_rows(_one_row_off), named("token")),
    Kind("rows-shifted", "memory", ("1", "-1"), every_block, on_rows(_shifted), named("shift")),
    Kind("garbage", "memory", ("1e-5", "1e-3"), every_block, on_rows(_garbage), named("sparse")),
    Kind("dropout", "memory", ("0.001", "0.1"), every_block, on_rows(_dropout), named("sparse")),
    Kind("flushed", "memory", ("0.01", "0.1"), every_block, on_block(_flushed), named("sparse")),
    Kind("not-a-number", "memory", ("nan",), every_block, on_rows(_poisoned), named("non-finite")),
    Kind("infinite", "memory", ("inf", "-inf"), every_block, in_one_sample(_poisoned), named("non-finite")),
    Kind("saturated", "memory", ("0.9", "0.5"), every_block, on_block(_saturated), named("saturation")),
    Kind("block-skipped", "memory", ("all",), every_block, on_block(_skipped), named("skipped")),
    Kind("gain", "memory", ("1.002", "1.005", "1.01", "1.05"), every_block, on_block(_gain), named("scale")),
    Kind("offset", "memory", ("0.003", "0.01", "0.05"), every_block, on_block(_offset), named("bias")),
    Kind("bits", "memory", ("7", "6", "5"), every_block, on_block(_bits), named("bits", "precision")),
    Kind("cut-off", "memory", ("7", "6"), every_block, on_block(_cut), named("bits", "precision")),
)
