"""Which tensors of a checkpoint make which tensors of a model, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from . import mxfp4
from .checkpoint import natural
from .renaming import common_prefix, renamer

Read = Callable[[str], torch.Tensor]
Make = Callable[[Read], dict[str, torch.Tensor]]

# Projections that engines join, and what they join, in order, along the rows.
_FUSED = {
    "qkv_proj": (("q_proj", "k_proj", "v_proj"),),
    "gate_up_proj": (("gate_proj", "up_proj"),),
}
# Experts that engines stack in one tensor: [E, rows, columns].
_STACKED = {
    "gate_up_proj": (("gate_proj", "up_proj"), ("w1", "w3")),
    "w13_weight": (("gate_proj", "up_proj"), ("w1", "w3")),
    "down_proj": (("down_proj",), ("w2",)),
    "w2_weight": (("down_proj",), ("w2",)),
}


@dataclass(frozen=True)
class Piece:
    """Tensors of a checkpoint that make one or more of a model's.

    Attributes:
        targets: names in the model.
        sources: names in the checkpoint.
        make: reads the sources and returns what each target should hold; raises where they do not fit together.
        absent: names that the checkpoint should have among the sources and has not.
        decoded: whether values were decoded from a quantised form, so that the stored dtype means nothing.
    """

    targets: tuple[str, ...]
    sources: tuple[str, ...]
    make: Make
    absent: tuple[str, ...] = ()
    decoded: bool = False


@dataclass
class Layout:
    """What a checkpoint's tensors are for.

    Attributes:
        pieces: what makes what.
        unused: tensors without a place in the model, and the name that they would have there.
    """

    pieces: list[Piece] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> set[str]:
        """Names of the model's tensors that the checkpoint holds."""
        return {target for piece in self.pieces for target in piece.targets}


def arrange(checkpoint: Iterable[str], model: nn.Module, state: Mapping[str, torch.Tensor]) -> Layout:
    """Return the layout of a checkpoint for a model.

    Args:
        checkpoint: names of its tensors, in natural order, so that expert 10 comes after expert 9.
        model: the model.
        state: the model's parameters and persistent buffers by name.
    """
    names = set(state)
    by_library = renamer(model, names)
    layout = Layout()
    parts: dict[str, list[tuple[str, str]]] = {}
    for name in checkpoint:
        target, pattern = by_library.rename(name)
        if target not in names:
            layout.unused[name] = target
        elif pattern is None:
            layout.pieces.append(_same(target, name))
        else:
            parts.setdefault(target, []).append((pattern, name))
    layout.pieces += [
        _converted(target, sources, by_library.conversions, model, state) for target, sources in parts.items()
    ]
    _by_prefix(layout, names)
    _quantised(layout, state)
    _fused(layout, state)
    return layout


def _same(target: str, name: str) -> Piece:
    return Piece((target,), (name,), lambda read: {target: read(name)})


def _converted(
    target: str,
    sources: list[tuple[str, str]],
    conversions: Mapping[str, Any],
    model: Any,
    state: Mapping[str, torch.Tensor],
) -> Piece:
    """Return the piece of a conversion of transformers: its operations, but our order and count of the sources."""
    converter = conversions[sources[0][0]]
    patterns = list(converter.target_patterns)
    targets = [target.replace(patterns[0], pattern) for pattern in patterns]

    def make(read: Read) -> dict[str, torch.Tensor]:
        running = deepcopy(converter)
        for pattern, name in sources:
            running.add_tensor(target, name, pattern, read(name))
        made = running.convert(target, model=model, config=model.config)
        return {name: value[0] if isinstance(value, list) else value for name, value in made.items()}

    present = {name for _, name in sources}
    absent = _absent_experts(present, len(state[target])) if any("*" in p for p, _ in sources) else ()
    return Piece(tuple(name for name in targets if name in state), tuple(name for _, name in sources), make, absent)


def _absent_experts(present: set[str], count: int) -> tuple[str, ...]:
    """Return the names that complete a list of experts."""
    wanted = {
        re.sub(r"(experts\.)\d+(\.)", rf"\g<1>{number}\g<2>", name) for name in present for number in range(count)
    }
    return tuple(sorted(wanted - present, key=natural))


def _by_prefix(layout: Layout, names: set[str]) -> None:
    """Place tensors whose names differ from the model's by a prefix alone."""
    change = common_prefix(layout.unused.values(), names - layout.targets)
    if change is None:
        return
    removed, added = change
    free = names - layout.targets
    for name, renamed in list(layout.unused.items()):
        if renamed.startswith(removed):
            target = added + renamed.removeprefix(removed)
            layout.unused[name] = target
            if target in free:
                layout.pieces.append(_same(target, name))
                del layout.unused[name]


def _quantised(layout: Layout, state: Mapping[str, torch.Tensor]) -> None:
    """Place MXFP4 blocks and scales whose values the model holds decoded."""
    by_target = {target: name for name, target in layout.unused.items()}
    for target, blocks in list(by_target.items()):
        plain = target.removesuffix("_blocks")
        scales = by_target.get(f"{plain}_scales")
        if plain == target or scales is None or plain not in state:
            continue
        layout.pieces.append(_decoded(plain, blocks, scales, state[plain]))
        del layout.unused[blocks], layout.unused[scales]


def _decoded(target: str, blocks: str, scales: str, held: torch.Tensor) -> Piece:
    dtype = held.dtype if held.dtype in (torch.bfloat16, torch.float64) else torch.float32

    def make(read: Read) -> dict[str, torch.Tensor]:
        if not held.is_floating_point():
            raise ValueError("the model keeps these weights packed, in a form of its own")
        values = mxfp4.decode(read(blocks), read(scales), dtype)
        # Blocks run along the input dimension, which comes last; stacked experts multiply from the left and hold
        # [E, in, out].
        return {target: values.transpose(1, 2) if values.ndim == 3 else values}

    return Piece((target,), (blocks, scales), make, decoded=True)


def _fused(layout: Layout, state: Mapping[str, torch.Tensor]) -> None:
    """Place projections that the model joins and the checkpoint does not, or the reverse."""
    by_target = {target: name for name, target in layout.unused.items()}
    found: list[Piece] = []
    for name in state.keys() - layout.targets:
        found += _joins(name, by_target)
        found += _stacks(name, by_target, state[name].shape[0] if state[name].ndim else 0)
    for fused, source in by_target.items():
        found += _splits(fused, source, state)
    for piece in found:
        layout.pieces.append(piece)
        for name in piece.sources:
            layout.unused.pop(name, None)


def _joins(name: str, by_target: Mapping[str, str]) -> Iterable[Piece]:
    owner, _, leaf = name.rpartition(".")
    parent, _, module = owner.rpartition(".")
    for parts in _FUSED.get(module, ()):
        sources = [by_target.get(f"{parent}.{part}.{leaf}") for part in parts]
        if all(sources):
            yield _joined(name, [[str(source)] for source in sources], stack=False)


def _stacks(name: str, by_target: Mapping[str, str], count: int) -> Iterable[Piece]:
    owner, _, leaf = name.rpartition(".")
    for parts in _STACKED.get(leaf, ()):
        sources = [[by_target.get(f"{owner}.{n}.{part}.weight") for n in range(count)] for part in parts]
        if sources and all(source for row in sources for source in row) and count:
            yield _joined(name, [[str(source) for source in row] for row in sources], stack=True)


def _joined(target: str, sources: list[list[str]], *, stack: bool) -> Piece:
    def make(read: Read) -> dict[str, torch.Tensor]:
        if stack:
            experts = zip(*sources, strict=True)
            return {target: torch.stack([torch.cat([read(name) for name in names]) for names in experts])}
        return {target: torch.cat([read(name) for (name,) in sources])}

    return Piece((target,), tuple(name for row in sources for name in row), make)


def _splits(fused: str, source: str, state: Mapping[str, torch.Tensor]) -> Iterable[Piece]:
    owner, _, leaf = fused.rpartition(".")
    parent, _, module = owner.rpartition(".")
    for parts in _FUSED.get(module, ()):
        targets = tuple(f"{parent}.{part}.{leaf}" for part in parts)
        if all(target in state for target in targets):
            rows = [len(state[target]) for target in targets]

            def make(
                read: Read, targets: tuple[str, ...] = targets, rows: list[int] = rows
            ) -> dict[str, torch.Tensor]:
                return dict(zip(targets, read(source).split(rows), strict=True))

            yield Piece(targets, (source,), make)
