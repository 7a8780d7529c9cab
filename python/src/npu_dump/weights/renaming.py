"""What a tensor of a checkpoint is called in the model: as transformers renames, and by prefix."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

# transformers 4.x renames these in every model.
_LEGACY = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))


@dataclass(frozen=True)
class Renamer:
    """Renames tensors of a checkpoint.

    Attributes:
        rename: from the name in the checkpoint to the one in the model, and the pattern of the conversion that takes
            part, or None.
        conversions: transformers' ``WeightConverter`` of each pattern.
    """

    rename: Callable[[str], tuple[str, str | None]]
    conversions: dict[str, Any] = field(default_factory=dict)


def renamer(model: nn.Module, names: set[str]) -> Renamer:
    """Return how the names of a checkpoint become those of a model.

    Args:
        model: any module; a transformers model renames as its library does.
        names: of the model's parameters and persistent buffers.
    """
    prefix = str(getattr(model, "base_model_prefix", ""))
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter
    except ImportError:
        return Renamer(_by_patterns(model, prefix, names))
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        return Renamer(lambda name: (name, None))
    mapping = get_model_conversion_mapping(model)
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    renamings = [entry for entry in mapping if not isinstance(entry, WeightConverter)]

    def rename(name: str) -> tuple[str, str | None]:
        renamed = name
        for entry in renamings:
            renamed, _ = entry.rename_source_key(renamed)
        pattern = None
        for entry in converters:
            renamed, pattern = entry.rename_source_key(renamed)
            if pattern is not None:
                break
        renamed = _with_prefix(renamed, prefix, names)
        if renamed not in names and name in names:
            return name, None
        return renamed, pattern

    return Renamer(rename, {pattern: entry for entry in converters for pattern in entry.source_patterns})


def _by_patterns(model: Any, prefix: str, names: set[str]) -> Callable[[str], tuple[str, None]]:
    """Rename as transformers 4.x does: by the class's patterns, the first that matches."""
    patterns = dict(getattr(model, "_checkpoint_conversion_mapping", None) or {})

    def rename(name: str) -> tuple[str, None]:
        renamed = name
        for pattern, replacement in (*patterns.items(), *_LEGACY):
            renamed, count = re.subn(pattern, replacement.removeprefix("^"), renamed)
            if count:
                break
        found = _with_prefix(renamed, prefix, names)
        return (found if found in names else _with_prefix(name, prefix, names)), None

    return rename


def _with_prefix(name: str, prefix: str, names: set[str]) -> str:
    """Add or remove the base model's prefix where the model has the tensor under that name alone."""
    if name in names or not prefix:
        return name
    if name.startswith(f"{prefix}.") and name.removeprefix(f"{prefix}.") in names:
        return name.removeprefix(f"{prefix}.")
    return f"{prefix}.{name}" if f"{prefix}.{name}" in names else name


def common_prefix(checkpoint: Iterable[str], model: Iterable[str]) -> tuple[str, str] | None:
    """Return the prefix to remove from and the one to add to the checkpoint's names so that most of a model is met.

    ``module.`` of data parallel training and ``model.`` of an inner model are such. Layers are matched, not tensors,
    whose own names may differ as well. None unless at least half of the model's layers are met that way: a prefix
    that concerns a few belongs to another part of the model.
    """
    layers = {_layer(name) for name in model}
    endings: dict[str, list[str]] = {}
    for layer in layers:
        for prefix, rest in _splits(layer):
            endings.setdefault(rest, []).append(prefix)
    votes = Counter(
        (removed, added)
        for layer in {_layer(name) for name in checkpoint}
        for removed, rest in _splits(layer)
        for added in endings.get(rest, ())
        if not (removed and added)
    )
    best = max(votes, key=lambda pair: (votes[pair], -len(pair[0]) - len(pair[1])), default=None)
    return best if best and best != ("", "") and 2 * votes[best] >= len(layers) else None


def _layer(name: str) -> str:
    """Return the path of the layer that a tensor belongs to, else that of its module."""
    match = re.match(r"(?:[^.]+\.)*?\d+(?=\.)", name)
    return match[0] if match else name.rpartition(".")[0]


def _splits(path: str) -> list[tuple[str, str]]:
    """Return a path cut after none to three of its parts, as prefix with its dot and rest."""
    parts = path.split(".")
    return [(".".join(parts[:cut]) + "." if cut else "", ".".join(parts[cut:])) for cut in range(min(4, len(parts)))]
