"""Tensors whose rows come in several forwards, as where a prompt is run in chunks."""

from __future__ import annotations

from dataclasses import replace

import torch

from .capture import Piece
from .errors import DumpError

Key = tuple[str, int, int]


class Parts:
    """Puts the parts of tensors together in host memory, which holds them until their last rows have come."""

    def __init__(self) -> None:
        self._whole: dict[Key, torch.Tensor] = {}
        self._filled: dict[Key, int] = {}

    def add(self, piece: Piece) -> Piece | None:
        """Return the whole tensor on the CPU where this was its last part, else None.

        Raises:
            DumpError: ``rows-unknown``: the part does not follow the one before.
        """
        key = (piece.name, piece.sample, piece.step)
        rows = piece.tensor.shape[0]
        if piece.whole is None or piece.start != self._filled.get(key, 0) or piece.start + rows > piece.whole:
            raise DumpError(
                "rows-unknown",
                f"the rows of {piece.name} did not come in order",
                facts=[
                    ("sample, step", f"{piece.sample}, {piece.step}"),
                    ("expected", f"from row {self._filled.get(key, 0)} to {piece.whole}"),
                    ("came", f"{rows} from row {piece.start}"),
                ],
                help="run each prompt in one piece: without chunked prefill",
            )
        if key not in self._whole:
            shape = (piece.whole, *piece.tensor.shape[1:])
            self._whole[key] = torch.empty(shape, dtype=piece.tensor.dtype, device="cpu")
        self._whole[key][piece.start : piece.start + rows] = piece.tensor.detach()
        self._filled[key] = piece.start + rows
        if self._filled[key] < piece.whole:
            return None
        del self._filled[key]
        return replace(piece, tensor=self._whole.pop(key), start=0, whole=None)

    def check_whole(self) -> None:
        """Raise a `DumpError` where a tensor lacks rows: it would be missing from the dump unsaid."""
        if self._whole:
            name, sample, step = next(iter(self._whole))
            raise DumpError(
                "rows-missing",
                f"{len(self._whole)} tensors did not get all their rows",
                facts=[("the first", f"{name} of sample {sample}, step {step}")],
                help="let every prompt run to its end inside the block",
            )
