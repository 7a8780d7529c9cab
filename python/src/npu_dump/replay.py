"""Feeds the residual stream of a dump to another run, so that every block answers to the same input."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .errors import DumpError
from .reader import DumpFile, Key
from .samples import Row, Step

_SHOWN = 6
_STREAM = re.compile(r"embed|norm|layers\.\d+(\.attn|\.mlp)?")


class Replay:
    """The tensors of a dump, to be put in the place of an engine's own.

    At each point the engine's value is stored first, then replaced by the dump's rows in the engine's precision: the
    input of layer 0, what each block hands to the residual sum, each layer's output, router logits where the dump
    has them, and the output of the final norm. No error is inherited from block to block, nor, through keys, values
    and recurrent states, from step to step. Rows of padding keep the engine's values.

    Args:
        source: the dump whose residual stream is fed; its samples must be fed in its order.
    """

    def __init__(self, source: DumpFile) -> None:
        self._source = source
        self._scales: tuple[Any, Any] = (1.0, 1.0)

    @property
    def of(self) -> dict[str, Any]:
        """What the metadata says of it."""
        return {"id": self._source.run["id"], "file": Path(self._source.path).name}

    def check(self, points: Mapping[str, str], facts: dict[str, Any]) -> None:
        """Refuse a dump that lacks a tensor of one of the points, has one more, or has another residual sum.

        A dump whose sum did not hold (``other``), as that of a device which adds wrongly, is taken where its tensors
        come from the very modules of this model: then its blocks hand over the same.

        Args:
            points: canonical names of what is replaced, and the paths of their modules.
            facts: ``residual`` and ``residual_scale`` of the model that is fed.

        Raises:
            DumpError: ``replay-incomplete``, ``replay-points``, ``replay-residual``, ``replay-part``.
        """
        self._check_whole()
        # As in the metadata: absent means sequential, and a factor of 1.
        model = self._source.run.get("model")
        model = model if isinstance(model, dict) else {}
        theirs, mine = model.get("residual", "sequential"), facts["residual"]
        if theirs == mine:
            self._scales = (model.get("residual_scale", 1.0), facts["residual_scale"])
        elif theirs != "other" or any(self._source.module(name) != path for name, path in points.items()):
            raise DumpError(
                "replay-residual",
                "dump and model add up their blocks in other ways",
                facts=[("dump", theirs), ("model", mine)],
                help="replay with the model that the dump was made from",
            )
        samples = self._source.samples()
        for name in points:
            for sample in samples:
                self._require((name, sample, 0))
        # Without a place, what the model has there would go on: an error is inherited, or layers are passed over.
        beside = {name for name, _, _ in self._source if _STREAM.fullmatch(name)} - set(points)
        if beside:
            raise DumpError(
                "replay-points",
                "the dump holds tensors of the residual stream that the model has no place for",
                facts=[
                    ("dump", f"{', '.join(sorted(beside)[:_SHOWN])}{' …' if len(beside) > _SHOWN else ''}"),
                    ("model", f"{len(points)} places, the last is {list(points)[-1]}" if points else "no place"),
                ],
                help="replay with the model that the dump was made from",
            )

    def _check_whole(self) -> None:
        parallel = self._source.run.get("parallel")
        ranks = parallel.get("world_size", 1) if isinstance(parallel, dict) else 1
        if ranks != 1:
            raise DumpError(
                "replay-part",
                "the dump is one rank's part of a run, whose tensors may be partial",
                facts=[("file", self._source.path.name), ("world size", ranks)],
                help="replay a dump of one rank",
            )
        capture = self._source.run.get("capture")
        if isinstance(capture, dict) and capture.get("replay_of") is not None:
            raise DumpError(
                "replay-part",
                "the dump is a replay itself: its tensors are answers to another stream, and no stream",
                facts=[("file", self._source.path.name), ("capture.replay_of", str(capture["replay_of"])[:200])],
                help="replay the dump that it was made from",
            )

    def _require(self, key: Key) -> None:
        if self._source.encoding(key) != "dense":
            name, sample, step = key
            stored = "only its statistics" if key in self._source else "nothing"
            raise DumpError(
                "replay-incomplete",
                "the dump does not hold the whole residual stream",
                facts=[("file", self._source.path.name), (f"{name} of sample {sample}, step {step}", stored)],
                help="capture it without --select, in mode full, topk or hidden",
            )

    def check_tokens(self, step: Step) -> None:
        """Refuse token ids other than the dump's.

        Raises:
            DumpError: ``replay-tokens``.
        """
        if step.input_ids is None:
            return
        for row, fed in step.cut(step.input_ids, "input_ids"):
            ids = self._source.get(("input_ids", row.sample, row.step))
            if ids is None or fed.tolist() != _part(ids, row).tolist():
                raise DumpError(
                    "replay-tokens",
                    "the token ids are not those of the dump that is replayed",
                    facts=[
                        ("fed", f"sample {row.sample}, step {row.step}: {_ids(fed.tolist())}"),
                        ("dump", "no such sample or step" if ids is None else _ids(ids.tolist())),
                    ],
                    help="feed the dump's samples and steps in its order; npu-dump replay does",
                )

    def check_positions(self, row: Row, fed: list[int]) -> None:
        """Refuse positions other than the dump's; at a decode step whose positions it does not tell, any will do.

        Raises:
            DumpError: ``replay-positions``.
        """
        stored = self._source.get(("position_ids", row.sample, row.step))
        counted = list(range(row.start, row.start + row.length))
        expected = counted if stored is None else _part(stored, row).tolist()
        if fed != expected and (stored is not None or row.step == 0):
            raise DumpError(
                "replay-positions",
                "the tokens are not at the positions of the dump that is replayed",
                facts=[
                    ("fed", f"sample {row.sample}, step {row.step}: {_ids(fed)}"),
                    ("dump", _ids(expected)),
                ],
                help="pass the dump's position_ids; npu-dump replay does",
            )

    def holds(self, name: str, step: Step) -> bool:
        """Return whether the dump has the whole tensor of every sample at this step."""
        return all(self._source.encoding((name, row.sample, row.step)) == "dense" for row in step.rows)

    def fill(self, name: str, step: Step, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return a copy of ``tensor`` with the dump's rows in it; None where the dump has no such tensor (routers).

        Raises:
            DumpError: the dump has it in another shape, or lacks it at this step.
        """
        if _role(name) == "router" and not self.holds(name, step):
            return None
        filled = tensor.clone()
        rows = step.by_token(filled, name)
        for row in step.rows:
            key = (name, row.sample, row.step)
            self._require(key)
            stored = _part(self._source[key], row)
            value = stored if isinstance(stored, torch.Tensor) else torch.from_numpy(stored.copy())
            shape = (row.length, *rows.shape[2:])
            if tuple(value.shape) != shape or not value.is_floating_point():
                raise DumpError(
                    "replay-shape",
                    f"{name} of the dump does not fit the model",
                    facts=[("dump", f"{list(value.shape)} {value.dtype}"), ("model", list(shape))],
                    help="replay with the model that the dump was made from",
                )
            rows[row.batch, row.tokens] = self._in_my_scale(name, value, tensor)
        return rows.reshape(filled.shape)

    def _in_my_scale(self, name: str, value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return ``value`` as the engine holds it: where the factors of the residual sum differ, times theirs."""
        if _role(name) in ("attn", "mlp"):
            layer = int(name.split(".")[1])
            theirs, mine = (_scale_of(scale, layer) for scale in self._scales)
            if theirs != mine:
                value = value.double() * (theirs / mine)
        return value.to(like.device, like.dtype)


def _role(name: str) -> str:
    """Return the last part of a name: ``mlp`` of ``layers.3.mlp#1``, the second call of that block."""
    return name.rpartition(".")[2].partition("#")[0]


def _scale_of(stated: Any, layer: int) -> float:
    """Return the factor of a layer by ``model.residual_scale``, one number or one a layer; 1 where it is no use."""
    scale: object = stated[layer] if isinstance(stated, list) and layer < len(stated) else stated
    # JSON has whole numbers that no float holds.
    if isinstance(scale, (int, float)) and 0 < abs(scale) <= sys.float_info.max:
        return float(scale)
    return 1.0


def _part(stored: Any, row: Row) -> Any:
    """Return what a row holds of a tensor of its sample's step; all of it where that is no part."""
    return stored[row.start : row.start + row.length] if row.is_part and len(stored) == row.whole else stored


def _ids(ids: list[int]) -> str:
    return f"{len(ids)}: {' '.join(map(str, ids[:_SHOWN]))}{' …' if len(ids) > _SHOWN else ''}"
